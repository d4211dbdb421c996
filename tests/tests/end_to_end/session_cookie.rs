//! Browsers that hold a handle in place of a token: what the filter makes of it, with a session service that says what the test
//! wants. `browser.rs` and `oauth_server/` have the real one.

use portcullis_contract::wire::Outcome;
use portcullis_tests::{Answer, Call, FakeService, Kind, PATIENCE, ServiceBehaviour, Testbed, policy, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(crate) const COOKIE: &str = "__Host-portcullis";
pub(crate) const HANDLE: &str = "pcr_0123456789abcdefghijklmnopqrstuvwxyz0123456789";
const HOST: &str = "www.example.com";
const LONG: Duration = Duration::from_mins(5);

pub(crate) fn policy(change: impl FnOnce(&mut Value)) -> Value {
    let mut policy = policy::with_routes(json!([
        {"name": "public", "match": {"path": "/public"}, "public": true},
        {"name": "optional", "match": {"path": "/optional"}, "authenticated": "optional"},
        {"name": "all", "match": {"path": "/{*rest}"}, "authenticated": true, "session": {"on_outage": "read_only"}},
    ]));
    policy["token_from"] = json!(["authorization", {"session_cookie": COOKIE}]);
    policy["oauth"] = json!({"path": "/oauth2", "cluster": "session"});
    policy["session"]["timeout"] = json!("1s");
    policy["issuers"][0]["clock_skew"] = json!("1s");
    change(&mut policy);
    policy
}

async fn testbed(fake: &FakeService, policy: Value) -> Testbed {
    let testbed = Testbed::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    testbed.ready().await;
    testbed
}

/// A request of a page that has a cookie of its own besides.
fn page(testbed: &Testbed, method: &str, path: &str, handle: &str) -> Call {
    testbed.call(method, path).host(HOST).header("cookie", format!("theme=dark; {COOKIE}={handle}; lang=de"))
}

fn clears(answer: &Answer) -> bool {
    answer.header("set-cookie") == format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_sees_the_person_and_never_the_handle() {
    for forward_token in [true, false] {
        let fake = FakeService::start().await;
        let testbed = testbed(&fake, policy(|policy| policy["forward_token"] = json!(forward_token))).await;
        let token = testbed.issuer.token().subject("anna").sign();
        fake.keep(HANDLE, &token.text, LONG);
        let answer = page(&testbed, "GET", "/me", HANDLE).await;
        assert_eq!(answer.passes().echoed("x-portcullis-subject"), ["anna"]);
        assert_eq!(answer.echoed("cookie"), ["theme=dark; lang=de"]);
        let forwarded = if forward_token { vec![format!("Bearer {}", token.text)] } else { Vec::new() };
        assert_eq!(answer.echoed("authorization"), forwarded);
        let answer = page(&testbed, "GET", "/public", HANDLE).await;
        assert_eq!(answer.passes().echoed("cookie"), ["theme=dark; lang=de"]);
        assert_eq!(answer.echoed("authorization"), [""; 0]);
        // HTTP/2 may send each cookie in a header of its own.
        let call = testbed.get("/me").host(HOST).http2().header("cookie", "theme=dark");
        let answer = call.header("cookie", format!("{COOKIE}={HANDLE}")).await;
        assert_eq!(answer.passes().echoed("cookie"), ["theme=dark"]);
        let received = format!("{:?}", testbed.upstream.received());
        assert!(!received.contains(HANDLE), "the upstream has seen the handle");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_whose_session_is_over_gets_one_401_and_is_then_anonymous() {
    let fake = FakeService::start().await;
    let testbed = testbed(&fake, policy(|_| ())).await;
    fake.keep(HANDLE, &testbed.issuer.token().session("one").sign().text, LONG);
    page(&testbed, "GET", "/optional", HANDLE).await.passes();
    fake.end("one");
    let answer = page(&testbed, "GET", "/optional", HANDLE).await;
    assert!(clears(answer.refused(401, "session_revoked")), "{answer:?}");
    // A browser does what it is told.
    let without = testbed.get("/optional").host(HOST).header("cookie", "theme=dark").await;
    assert_eq!(without.passes().echoed("x-portcullis-subject"), [""; 0]);
    let answer = testbed.get("/me").host(HOST).header("cookie", "theme=dark").await;
    assert!(!clears(answer.refused(401, "no_credentials")), "{answer:?}");
    // The same where the service says so of the handle itself, on a worker that knows nothing of it.
    let other = HANDLE.replace('0', "x");
    for (outcome, status, code) in [
        (Outcome::Revoked, 401, "session_revoked"),
        (Outcome::IdleTimeout, 401, "session_idle_timeout"),
        (Outcome::LifetimeExceeded, 401, "session_lifetime_exceeded"),
        (Outcome::UnknownSession, 401, "invalid_token"),
        (Outcome::Blocked, 403, "blocked"),
        (Outcome::Unavailable, 503, "session_unavailable"),
    ] {
        fake.refuse(&other, outcome);
        let answer = page(&testbed, "GET", "/me", &other).await;
        assert_eq!(clears(answer.refused(status, code)), status == 401, "{answer:?}");
    }
    let before = fake.redeemed();
    let answer = page(&testbed, "GET", "/me", "junk").await;
    assert!(clears(answer.refused(401, "invalid_token")), "{answer:?}");
    assert_eq!(fake.redeemed(), before, "nobody was asked about junk");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_seconds_are_renewed_without_a_visible_break() {
    let fake = FakeService::start().await;
    let testbed = testbed(&fake, policy(|_| ())).await;
    let lived = Duration::from_secs(3);
    let start = Instant::now();
    let mut last = String::new();
    let mut tokens = 0;
    while start.elapsed() < 3 * lived {
        // The service has a new one each second, each of which lives for three.
        if tokens <= start.elapsed().as_secs() {
            tokens = start.elapsed().as_secs() + 1;
            let id = format!("token-{tokens}");
            let token = testbed.issuer.token().session("one").expires_in(3).claim("jti", json!(id)).sign();
            fake.keep(HANDLE, &token.text, Duration::from_secs(1));
        }
        let asked = Instant::now();
        let answer = page(&testbed, "GET", "/me", HANDLE).await;
        last = answer.passes().echoed("authorization").join("");
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
    assert!(fake.redeemed() >= 6, "{}", fake.redeemed());
    assert!(last.starts_with("Bearer "), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_websocket_outlives_its_token_and_not_its_session() {
    let fake = FakeService::start().await;
    let testbed = testbed(&fake, policy(|_| ())).await;
    let token = testbed.issuer.token().session("one").expires_in(2).sign();
    fake.keep(HANDLE, &token.text, LONG);
    let own = [("cookie", format!("{COOKIE}={HANDLE}")), ("origin", format!("https://{HOST}"))];
    let headers = own.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let opened = testbed.try_open_with(Kind::WebSocket, HOST, "/stream/socket", headers).await;
    let mut socket = opened.expect("it opens");
    // A client that has the token itself is refused from then on.
    until("the token is refused", async || {
        socket.flows().await;
        (testbed.get("/me").bearer(&token).await.status == 401).then_some(())
    })
    .await;
    socket.flows().await;
    fake.end("one");
    fake.break_off();
    socket.is_cut().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_change_nothing_and_log_nobody_out() {
    let fake = FakeService::start().await;
    let testbed = testbed(&fake, policy(|policy| policy["allowed_origins"] = json!(["https://app.example.com"]))).await;
    fake.keep(HANDLE, &testbed.issuer.token().sign().text, LONG);
    for (origin, passes) in [
        (None, false),
        (Some("https://evil.example"), false),
        (Some("null"), false),
        (Some("https://www.example.com"), true),
        (Some("https://app.example.com"), true),
    ] {
        let call = page(&testbed, "POST", "/me", HANDLE);
        let answer = origin.iter().fold(call, |call, origin| call.header("origin", origin)).await;
        let logout = page(&testbed, "POST", "/oauth2/logout", HANDLE);
        let logout = origin.iter().fold(logout, |call, origin| call.header("origin", origin)).await;
        if passes {
            answer.passes();
            assert_eq!(logout.passes().json()["endpoint"], "/oauth2/logout");
        } else {
            answer.refused(403, "cross_origin");
            logout.refused(403, "cross_origin");
        }
    }
    page(&testbed, "GET", "/me", HANDLE).header("origin", "https://evil.example").await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_endpoint_is_reached_with_the_cookie_alone() {
    let fake = FakeService::start().await;
    let testbed = testbed(&fake, policy(|_| ())).await;
    let login = || {
        let call = page(&testbed, "POST", "/oauth2/token", HANDLE).header("authorization", "Basic YTpi");
        let call = call.header("dpop", "proof").header("x-portcullis-cookie", "forged");
        call.header("content-type", "application/x-www-form-urlencoded").body("grant_type=authorization_code&code=c")
    };
    let answer = login().header("origin", format!("https://{HOST}")).await;
    assert_eq!(answer.passes().json()["endpoint"], "/oauth2/token");
    assert_eq!(answer.json()["body"], "grant_type=authorization_code&code=c");
    assert_eq!(answer.echoed("x-portcullis-cookie"), [COOKIE]);
    assert_eq!(answer.echoed("cookie"), [format!("{COOKIE}={HANDLE}")]);
    assert_eq!(
        (answer.echoed("authorization"), answer.echoed("dpop")),
        (vec!["Basic YTpi".into()], vec!["proof".into()])
    );
    assert!(answer.header("set-cookie").starts_with(&format!("{COOKIE}=new")), "{answer:?}");
    // A client that is no browser gets no cookie.
    let answer = login().await;
    assert_eq!((answer.passes().echoed("x-portcullis-cookie"), answer.echoed("cookie")), (vec![], vec![]));
    for (method, path) in [("GET", "/oauth2/token"), ("PUT", "/oauth2/logout")] {
        page(&testbed, method, path, HANDLE).header("origin", format!("https://{HOST}")).await.refused(403, "no_route");
    }
    let log = until("the access log has it", async || {
        let log = format!("{:?}", testbed.envoy.access_log());
        log.contains("code=oauth route=- session=-").then_some(log)
    });
    assert!(!log.await.contains(HANDLE), "the handle is in the log");
    let received = format!("{:?}", testbed.upstream.received());
    assert!(!received.contains("/oauth2/"), "{received}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_envoy_would_take_elsewhere_is_refused() {
    let fake = FakeService::start().await;
    let builder = Testbed::builder().policy(policy(|_| ())).cluster("session", fake.address.port());
    let without_route = |bootstrap: &mut Value| {
        let place =
            "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes";
        let routes = bootstrap.pointer_mut(place).and_then(Value::as_array_mut).expect("routes");
        routes.retain(|route| route["route"]["cluster"] != "session");
    };
    let testbed = builder.bootstrap(without_route).start().await;
    testbed.ready().await;
    let call = page(&testbed, "POST", "/oauth2/token", HANDLE).header("origin", format!("https://{HOST}"));
    call.body("grant_type=authorization_code&code=c").await.refused(503, "session_unavailable");
    let words = "Envoy routes it to cluster `upstream` and not to `session`";
    until("the log says so", async || testbed.envoy.log().contains(words).then_some(())).await;
    assert_eq!(testbed.upstream.received().iter().filter(|request| request.path.starts_with("/oauth2")).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_releases_nobody_whose_token_is_unknown() {
    let fake = FakeService::start().await;
    let testbed = testbed(&fake, policy(|_| ())).await;
    let token = testbed.issuer.token().sign();
    fake.keep(HANDLE, &token.text, LONG);
    fake.behave(ServiceBehaviour::Deaf);
    let start = Instant::now();
    let answers =
        futures_util::future::join_all((0..20).map(|_| page(&testbed, "GET", "/me", HANDLE).into_future())).await;
    assert!(answers.iter().all(|answer| !clears(answer.refused(503, "session_unavailable"))), "{answers:?}");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    fake.behave(ServiceBehaviour::Good);
    fake.break_off();
    page(&testbed, "GET", "/me", HANDLE).until("it passes again", |answer| answer.status == 200).await;
}
