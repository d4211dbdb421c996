//! A decision point that this project did not write (Cerbos) decides over AuthZEN about the requests of a real Envoy.

use portcullis_tests::{Kind, Testbed, Token, cerbos::Cerbos, policy, until};
use serde_json::{Value, json};

/// Requests that wait at the same time, so that some are asked about together.
const TOGETHER: usize = 64;

/// Every route but the first one is decided about by Cerbos.
async fn testbed(cerbos: &Cerbos) -> Testbed {
    let routes = json!([
        {"name": "me", "match": {"path": "/me"}, "authenticated": true},
        {"name": "orders.list", "match": {"methods": ["GET"], "path": "/orders/{*rest}"},
         "require": {"all_of": ["orders:read"]}, "class": "orders"},
        {"name": "orders.change", "match": {"methods": ["PUT", "DELETE"], "path": "/orders/{*rest}"},
         "require": {"all_of": ["orders:write"]}, "class": "orders", "tags": ["pii"]},
    ]);
    let point = json!({"url": cerbos.url(), "timeout": "5s", "on_outage": "read_only"});
    let conditions = json!([{"authzen": point, "classes": ["orders"]}]);
    let configure = move |config: &mut Value| config["conditions"] = conditions;
    let testbed = Testbed::builder().policy(policy::with_routes(routes)).session(configure).start().await;
    testbed.ready().await;
    testbed
}

fn token(testbed: &Testbed, subject: &str) -> Token {
    testbed.issuer.token().subject(subject).session(subject).scopes("orders:read orders:write").sign()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fetches Cerbos from npm: part of `make test-faults`"]
async fn cerbos_decides_by_session_method_and_route_and_its_denials_are_audited() {
    let cerbos = Cerbos::start().await;
    let testbed = testbed(&cerbos).await;
    let (anna, ben) = (token(&testbed, "anna"), token(&testbed, "ben"));
    testbed.get("/orders/7").bearer(&ben).await.passes();
    testbed.call("PUT", "/orders/7").bearer(&anna).await.passes();
    testbed.call("PUT", "/orders/7").bearer(&ben).await.refused(403, "condition_failed");
    testbed.call("DELETE", "/orders/7").bearer(&anna).await.refused(403, "condition_failed");
    let audit = testbed.service.audit();
    let denials = audit.iter().filter(|line| line["event"] == "refused" && line["condition"] == "authzen");
    let denials: Vec<_> = denials.map(|line| line["subject"].as_str().unwrap_or_default()).collect();
    assert_eq!(denials, ["ben", "anna"], "{audit:?}");
    // What it is told are the scopes that the session has now.
    testbed.service.admin().narrow(&ben.session, &["orders:write"]).await;
    testbed.get("/orders/7").bearer(&ben).await.refused(403, "insufficient_scope");
    let calls = (0..TOGETHER).map(|number| {
        let (token, method) = if number % 2 == 0 { (&anna, "PUT") } else { (&ben, "PUT") };
        let call = testbed.call(method, "/orders/7").bearer(token);
        async move { (number % 2, call.await.status.as_u16()) }
    });
    for (whose, status) in futures_util::future::join_all(calls).await {
        assert_eq!(status, [200, 403][whose]);
    }
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fetches Cerbos from npm: part of `make test-faults`"]
async fn an_open_stream_that_cerbos_no_longer_permits_is_cut_and_without_it_only_reading_goes_on() {
    let cerbos = Cerbos::start().await;
    let testbed = testbed(&cerbos).await;
    let anna = token(&testbed, "anna");
    let headers = vec![("authorization".to_owned(), format!("Bearer {}", anna.text).into_bytes())];
    let opened = testbed.try_open_with(Kind::WebSocket, "www.example.com", "/orders/feed", headers).await;
    let mut stream = opened.expect("it is released");
    stream.flows().await;
    cerbos.change("actions: [GET]", "actions: [HEAD]");
    until("Cerbos has read its policies", async || {
        let answer = testbed.get("/orders/7").bearer(&anna).await;
        (answer.status == 403).then_some(())
    })
    .await;
    // It is asked again when something about the session changes.
    testbed.service.admin().attribute(&format!("session/{}", anna.session), "", "ticket", &json!("T1")).await;
    stream.is_cut().await;
    let audit = testbed.service.audit();
    assert!(audit.iter().any(|line| line["condition"] == "authzen"), "{audit:?}");

    cerbos.kill();
    testbed.get("/orders/7").bearer(&anna).await.passes();
    testbed.call("PUT", "/orders/7").bearer(&anna).await.refused(503, "session_unavailable");
    testbed.get("/me").bearer(&anna).await.passes();
}
