//! What operators can observe: counters, the access log and the service's audit lines.

use portcullis_tests::{Client, FakeService, Introspection, Reply, ServiceBehaviour, Testbed, policy, until};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_counted_by_code_and_route() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    for _ in 0..3 {
        testbed.get("/orders").await.refused(401, "no_credentials");
    }
    let name = "portcullis.decisions.code.no_credentials.route.orders.list";
    until("the counter says 3", async || (testbed.envoy.stat(name).await == 3).then_some(())).await;
    let prometheus = Client::new(testbed.envoy.admin).get("/stats/prometheus").await;
    let text = String::from_utf8_lossy(&prometheus.body).into_owned();
    let counted = text.lines().find(|line| {
        line.contains("portcullis_code=\"no_credentials\"") && line.contains("portcullis_route=\"orders.list\"")
    });
    assert!(counted.is_some_and(|line| line.ends_with(" 3")), "{counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_a_cluster_that_does_not_exist_and_is_not_flooded() {
    /// More retries than any number of workers makes at once.
    const RETRIES: u64 = 15;
    let mut policy = policy::patient();
    policy["session"]["cluster"] = json!("nowhere");
    policy["issuers"][0]["keys"]["cluster"] = json!("lost");
    let testbed = Testbed::with_policy(policy).await;
    until("every worker has retried often", async || {
        (testbed.envoy.stat("portcullis.check_stream.event.failed").await >= RETRIES).then_some(())
    })
    .await;
    let log = testbed.envoy.log();
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).count() as u64;
    for words in ["is there a cluster `nowhere`?", "/jwks through cluster `lost`; is there such a cluster?"] {
        assert!((1..RETRIES / 2).contains(&lines(words)), "{} lines: {words}\n{log}", lines(words));
    }
}

/// Requests with a good token, none of which has a verdict, and how many lines of the log have these words.
async fn lines_without_a_verdict(testbed: &Testbed, requests: usize, words: &str) -> usize {
    let token = testbed.issuer.token().sign();
    for _ in 0..requests {
        testbed.get("/orders").bearer(&token).await.refused(503, "session_unavailable");
    }
    let log = testbed.envoy.log();
    println!("{log}");
    log.lines().filter(|line| line.contains(words)).count()
}

fn introspected_through(cluster: &str) -> serde_json::Value {
    policy::introspected(json!({
        "protocol": "introspection", "cluster": cluster, "authority": "id.example.com", "path": "/introspect",
        "timeout": "1s", "credential": {"env": "PORTCULLIS_FILTER_CREDENTIAL"},
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_an_introspection_endpoint_whose_cluster_does_not_exist_and_is_not_flooded() {
    const REQUESTS: usize = 20;
    let testbed = Testbed::with_policy(introspected_through("nowhere")).await;
    let words = "Envoy did not send a call to the introspection endpoint at https://id.example.com/introspect through \
                 cluster `nowhere`; is there such a cluster?";
    let lines = lines_without_a_verdict(&testbed, REQUESTS, words).await;
    assert!((1..REQUESTS / 2).contains(&lines), "{lines} lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_an_introspection_endpoint_that_fails_or_rejects_the_credential_and_is_not_flooded() {
    const REQUESTS: usize = 20;
    let endpoint = Introspection::start().await;
    let builder = Testbed::builder().policy(introspected_through("oauth")).cluster("oauth", endpoint.address.port());
    let testbed = builder.start().await;
    let name = "the introspection endpoint at https://id.example.com/introspect through cluster `oauth`";
    for (status, words) in [
        (500, format!("a call to {name} was answered with status 500")),
        (401, format!("{name} rejected the filter's credential")),
    ] {
        endpoint.reply(Reply::Body(status, "text/plain", String::new()));
        let lines = lines_without_a_verdict(&testbed, REQUESTS, &words).await;
        assert!((1..REQUESTS / 2).contains(&lines), "{lines} lines: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_show_that_it_is_alive_is_not_used_and_the_log_says_why() {
    /// More attempts than any number of workers makes at once.
    const ATTEMPTS: usize = 15;
    let fake = FakeService::start().await;
    fake.behave(ServiceBehaviour::Beatless);
    let testbed = Testbed::builder().cluster("session", fake.address.port()).start().await;
    until("every worker has tried often", async || (fake.opened() >= ATTEMPTS).then_some(())).await;
    let token = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&token).await.refused(503, "session_unavailable");
    let log = testbed.envoy.log();
    let lines = log.lines().filter(|line| line.contains("session service fake is not used, because")).count();
    assert!((1..ATTEMPTS / 2).contains(&lines), "{lines} lines\n{log}");
    fake.behave(ServiceBehaviour::Good);
    testbed.get("/orders").bearer(&token).until("another service is used", |answer| answer.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_lists_the_filters_with_the_policy_that_they_enforce() {
    /// Two workers and the main thread.
    const STREAMS: u64 = 3;
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let admin = testbed.service.admin();
    until("every stream is there", async || (admin.streams().await == STREAMS).then_some(())).await;
    let filters = admin.filters().await;
    assert_eq!(filters.len(), 1, "{filters:?}");
    assert_eq!((&filters[0]["address"], &filters[0]["version"]), (&json!("127.0.0.1"), &json!("0.1.0")));
    let digest = filters[0]["policy_digest"].as_str().expect("a digest");
    assert!(testbed.envoy.log().contains(&format!("policy {digest} is in force")), "{digest}");
    drop(testbed.envoy);
    until("none is left", async || admin.filters().await.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_make_no_new_counters() {
    let testbed = Testbed::start().await;
    for number in 0..50 {
        testbed.get(&format!("/unknown-{number}")).await.refused(403, "no_route");
    }
    let counters = until("fifty refusals are counted", async || {
        let counters = testbed.envoy.stats("portcullis.decisions").await;
        let refusals: u64 = counters.iter().filter(|(name, _)| name.contains("no_route")).map(|(_, count)| count).sum();
        (refusals == 50).then_some(counters)
    })
    .await;
    assert!(counters.iter().all(|(name, _)| !name.contains("unknown")), "{counters:?}");
    let no_route: Vec<_> = counters.iter().filter(|(name, _)| name.contains("no_route")).collect();
    assert_eq!(no_route.len(), 1, "{counters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_says_code_route_and_session() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    testbed.get("/orders?secret=1").bearer(&token).await.passes();
    testbed.service.admin().revoke(&token.session).await;
    testbed.get("/orders").bearer(&token).await.refused(401, "session_revoked");
    let lines = until("both lines are there", async || {
        let lines = testbed.envoy.access_log();
        let ours: Vec<_> = lines.into_iter().filter(|line| line["path"] == "/orders").collect();
        (ours.len() == 2).then_some(ours)
    })
    .await;
    let [passed, refused] = &lines[..] else { panic!("two lines") };
    assert_eq!((&passed["status"], &refused["status"]), (&200.into(), &401.into()));
    for (line, code) in [(passed, ""), (refused, "session_revoked")] {
        let said = line["portcullis"].to_string();
        for part in [code, "orders.list", &token.session] {
            assert!(said.contains(part), "`{part}` is not in {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_writes_an_audit_line_for_what_matters() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().session("audited").scopes("orders:read");
    let id = token.sign().session;
    testbed.get("/orders").bearer(token.sign()).await.passes();
    let more = token.clone().scopes("orders:read admin").sign();
    testbed.get("/orders").bearer(&more).await.refused(403, "scope_escalation");
    testbed.service.admin().revoke(&id).await;
    testbed.get("/orders").bearer(token.sign()).await.refused(401, "session_revoked");
    for what in ["opened", "\"beyond_grant\":\"admin\"", "session_revoked"] {
        until(what, async || {
            let lines = testbed.service.audit();
            let said = |line: &serde_json::Value| line.to_string().contains(&id) && line.to_string().contains(what);
            lines.iter().any(said).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_and_no_metric_holds_a_token_or_a_credential() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&token).await.passes();
    testbed.get("/orders").bearer(format!("{}x", token.text)).await.refused(401, "invalid_token");
    let metrics = testbed.service.admin().call("GET", "/metrics").await;
    metrics.status(200);
    let stats = Client::new(testbed.envoy.admin).get("/stats").await;
    let seen = [
        testbed.envoy.log(),
        testbed.service.output(),
        format!("{:?}", testbed.envoy.access_log()),
        String::from_utf8_lossy(&metrics.body).into_owned(),
        String::from_utf8_lossy(&stats.body).into_owned(),
    ]
    .concat();
    let (_, signature) = token.text.rsplit_once('.').expect("three parts");
    for secret in [signature, &testbed.admin_credential] {
        assert!(!seen.contains(secret), "a secret is in a log");
    }
}
