//! `protocol: introspection`: any RFC 7662 endpoint is asked about every request, and the session service is one of them.

use portcullis_tests::{Answer, Introspection, Kind, Reply, Testbed, now_s, policy, until};
use serde_json::{Value, json};
use std::time::Duration;

const ISSUER: &str = "https://opaque.example.com";
/// The filter's credential, which it reads from the environment.
const SECRET: &str = "the secret of the gateway: a+b/c%";

/// A policy for opaque tokens of one issuer, each introspected.
fn opaque() -> Value {
    let mut policy = policy::introspected(json!({
        "protocol": "introspection", "cluster": "oauth", "path": "/introspect", "timeout": "1s",
        "client": {"id": "gateway", "secret": {"env": "PORTCULLIS_FILTER_CREDENTIAL"}},
    }));
    policy["issuers"] = json!([{"issuer": ISSUER, "audiences": ["orders-api"], "opaque": true, "clock_skew": "0s"}]);
    policy
}

/// A policy for the shipped issuer's JWTs, each introspected at the session service.
fn at_the_service() -> Value {
    policy::introspected(json!({
        "protocol": "introspection", "cluster": "session", "path": "/oauth2/introspect", "timeout": "5s",
        "credential": {"env": "PORTCULLIS_FILTER_CREDENTIAL"},
    }))
}

fn good() -> Value {
    json!({
        "active": true, "iss": ISSUER, "aud": "orders-api", "scope": "orders:read", "exp": now_s() + 3600,
        "iat": now_s(), "client_id": "web", "sub": "anna", "sid": "one",
    })
}

fn with(member: &str, value: Value) -> Value {
    let mut document = good();
    document[member] = value;
    document
}

fn without(member: &str) -> Value {
    let mut document = good();
    document.as_object_mut().expect("an object").remove(member);
    document
}

async fn testbed(endpoint: &Introspection, policy: Value) -> Testbed {
    let port = endpoint.address.port();
    Testbed::builder().policy(policy).cluster("oauth", port).filter_credential(SECRET).start().await
}

async fn orders(testbed: &Testbed) -> Answer {
    testbed.get("/orders").bearer("an-opaque-token").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_the_server_is_used_with_the_strictness_of_a_token() {
    let endpoint = Introspection::start().await;
    let testbed = testbed(&endpoint, opaque()).await;
    orders(&testbed).await.status(401);
    let released = [
        good(),
        with("aud", json!(["other-api", "orders-api"])),
        with("scope", json!("customers:read orders:read")),
        without("iat"),
        without("sid"),
    ];
    for document in released {
        endpoint.reply(Reply::json(&document));
        let answer = orders(&testbed).await;
        assert_eq!(answer.passes().echoed("x-portcullis-subject"), ["anna"], "{document}");
    }
    let refused = [
        (with("active", json!(false)), 401),
        (with("iss", json!("https://evil.example.com")), 401),
        (with("aud", json!("other-api")), 401),
        (without("aud"), 401),
        (with("exp", json!(now_s() - 10)), 401),
        (with("nbf", json!(now_s() + 600)), 401),
        (with("scope", json!("orders:readx")), 403),
        (with("scope", json!("ORDERS:READ")), 403),
        (without("scope"), 403),
    ];
    for (document, status) in refused {
        endpoint.reply(Reply::json(&document));
        assert_eq!(orders(&testbed).await.status, status, "{document}");
    }
}

/// Servers that have no audiences leave `aud` out, or answer with nothing in it. The client then says whether a token is meant
/// for this API.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_audience_is_judged_by_its_client() {
    let endpoint = Introspection::start().await;
    let mut policy = opaque();
    let issuer = policy["issuers"][0].as_object_mut().expect("an issuer");
    issuer.remove("audiences");
    issuer.insert("clients".to_owned(), json!(["web", "cli"]));
    let clients_alone = testbed(&endpoint, policy.clone()).await;
    policy["issuers"][0]["audiences"] = json!(["orders-api"]);
    let audience_too = testbed(&endpoint, policy).await;

    let empty = [without("aud"), with("aud", Value::Null), with("aud", json!([]))];
    for document in empty.iter().chain(&[with("aud", json!("other-api")), good()]) {
        endpoint.reply(Reply::json(document));
        let answer = orders(&clients_alone).await;
        assert_eq!(answer.passes().echoed("x-portcullis-client"), ["web"], "{document}");
    }
    for mut document in empty {
        endpoint.reply(Reply::json(&document));
        assert_eq!(orders(&audience_too).await.status, 401, "{document}");
        for client in [json!("batch"), json!("WEB"), json!(""), json!(["web"]), Value::Null] {
            document["client_id"] = client;
            endpoint.reply(Reply::json(&document));
            assert_eq!(orders(&clients_alone).await.status, 401, "{document}");
        }
        document.as_object_mut().expect("an object").remove("client_id");
        endpoint.reply(Reply::json(&document));
        assert_eq!(orders(&clients_alone).await.status, 401, "{document}");
    }
    endpoint.reply(Reply::json(&good()));
    orders(&audience_too).await.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_positive_answer_is_reused() {
    let endpoint = Introspection::start().await;
    let testbed = testbed(&endpoint, opaque()).await;
    for round in 1..=5 {
        endpoint.reply(Reply::json(&good()));
        orders(&testbed).await.passes();
        endpoint.reply(Reply::json(&json!({"active": false})));
        orders(&testbed).await.status(401);
        assert_eq!(endpoint.requests().len(), round * 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_of_failure_is_one_refusal() {
    let endpoint = Introspection::start().await;
    let testbed = testbed(&endpoint, opaque()).await;
    let json = "application/json";
    let failures = [
        Reply::Body(200, json, String::new()),
        Reply::Body(200, json, "null".to_owned()),
        Reply::Body(200, json, "true".to_owned()),
        Reply::Body(200, json, "[{\"active\":true}]".to_owned()),
        Reply::Body(200, json, "{}".to_owned()),
        Reply::Body(200, json, with("active", json!("true")).to_string()),
        Reply::Body(200, json, with("active", json!(1)).to_string()),
        Reply::Body(200, json, format!("{} x", good())),
        Reply::Body(200, json, with("padding", json!("x".repeat(5 << 20))).to_string()),
        Reply::Body(200, "text/html", "<html>please log in</html>".to_owned()),
        Reply::Body(201, json, good().to_string()),
        Reply::Body(204, json, String::new()),
        Reply::Body(302, json, good().to_string()),
        Reply::Body(400, json, json!({"error": "unsupported_token_type"}).to_string()),
        Reply::Body(401, json, json!({"error": "invalid_client"}).to_string()),
        Reply::Body(429, json, String::new()),
        Reply::Body(500, json, good().to_string()),
        Reply::Broken,
        Reply::Nothing,
    ];
    for failure in failures {
        endpoint.reply(failure.clone());
        let answer = orders(&testbed).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "session_unavailable"), "{failure:.200?}");
        assert_ne!(answer.header("retry-after"), "");
        endpoint.reply(Reply::json(&good()));
        orders(&testbed).await.passes();
    }
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not_there_is_the_same_refusal() {
    let port = portcullis_tests::free_port();
    let mut elsewhere = opaque();
    elsewhere["session"]["cluster"] = json!("nowhere");
    for policy in [opaque(), elsewhere] {
        let testbed = Testbed::builder().policy(policy).cluster("oauth", port).start().await;
        orders(&testbed).await.refused(503, "session_unavailable");
        testbed.get("/healthz").await.passes();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_receives_token_route_client_and_credential() {
    let endpoint = Introspection::start().await;
    endpoint.reply(Reply::json(&good()));
    let testbed = testbed(&endpoint, opaque()).await;
    orders(&testbed).await.passes();
    let asked = endpoint.requests();
    let [asked] = &asked[..] else { panic!("asked {} times", asked.len()) };
    assert_eq!(asked.form["token"], "an-opaque-token");
    let said = format!("{:?}", asked.form);
    for part in ["orders.list", "127.0.0.1"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // RFC 6749, section 2.3.1: both halves are form-encoded before they are joined.
    let secret = serde_urlencoded::to_string([("", SECRET)]).expect("a form");
    let expected = portcullis_tests::base64(format!("gateway:{}", &secret[1..]));
    assert_eq!(asked.authorization, format!("Basic {expected}"));
    let seen = testbed.envoy.log() + &format!("{:?}", testbed.envoy.access_log());
    assert!(!seen.contains("an-opaque-token") && !seen.contains(SECRET), "a secret is in a log");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_service_introspects_and_revokes_as_the_standards_say() {
    let testbed = Testbed::builder().policy(at_the_service()).start().await;
    let token = testbed.issuer.token().sign();
    let call = testbed.get("/orders").bearer(&token);
    call.until("the keys are there", |answer| answer.status != 503).await.passes();
    let form = format!("token={}", token.text);
    let ask = |path: &str| {
        let call = testbed.service.client().call("POST", path).body(form.clone());
        call.header("content-type", "application/x-www-form-urlencoded")
    };
    let credential = testbed.filter_credential();
    ask("/oauth2/introspect").await.status(401);
    ask("/oauth2/introspect").bearer("wrong").await.status(401);
    ask("/oauth2/revoke").bearer("wrong").await.status(401);
    let answer = ask("/oauth2/introspect").bearer(&credential).await.status(200).json();
    assert_eq!((&answer["active"], &answer["sub"]), (&json!(true), &json!("anna")), "{answer}");
    ask("/oauth2/revoke").bearer(&credential).await.status(200);
    let answer = ask("/oauth2/introspect").bearer(&credential).await.status(200).json();
    assert_eq!(answer, json!({"active": false}));
    let refused = testbed.get("/orders").bearer(&token).await;
    refused.status(401);
    until("the admin API says so", async || (testbed.session(&token).await["state"] == "ended").then_some(())).await;
}

/// The session service has no keys. If it vouched for opaque tokens, anybody could make one up.
#[tokio::test(flavor = "multi_thread")]
async fn the_session_service_vouches_for_no_token_that_nobody_verified() {
    let mut policy = at_the_service();
    policy["issuers"] = json!([{"issuer": "http://127.0.0.1:9000", "audiences": ["orders-api"], "opaque": true}]);
    let testbed = Testbed::builder().policy(policy).start().await;
    let good = testbed.issuer.token().sign();
    let (_, claims) = good.text.split_once('.').expect("three parts");
    let (claims, _) = claims.split_once('.').expect("three parts");
    // {"alg":"none"}
    let forged = format!("eyJhbGciOiJub25lIn0.{claims}.");
    for token in [forged, good.text.clone()] {
        testbed.get("/orders").bearer(&token).await.status(401);
    }
    assert_eq!(testbed.service.admin().sessions("").await, [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jwts_are_verified_before_anybody_is_asked() {
    let endpoint = Introspection::start().await;
    let mut policy = opaque();
    policy["issuers"] = policy::patient()["issuers"].clone();
    let testbed = testbed(&endpoint, policy).await;
    let token = testbed.issuer.token().sign();
    let mut answer = good();
    answer["iss"] = json!(testbed.issuer.name);
    endpoint.reply(Reply::json(&answer));
    let call = testbed.get("/orders").bearer(&token);
    call.until("the keys are there", |answer| answer.status != 503).await.passes();
    let before = endpoint.requests().len();
    testbed.get("/orders").bearer(format!("{}x", token.text)).await.refused(401, "invalid_token");
    let poor = testbed.issuer.token().scopes("customers:read").sign();
    testbed.get("/orders").bearer(&poor).await.refused(403, "insufficient_scope");
    assert_eq!(endpoint.requests().len(), before);
    endpoint.reply(Reply::json(&json!({"active": false})));
    testbed.get("/orders").bearer(&token).await.status(401);
}

/// An endpoint does not say when a token is over, so the tokens of open streams are introspected again every 20 seconds.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_is_cut_when_its_token_is_not_active_any_more() {
    const BEFORE_THE_NEXT_QUESTION: Duration = Duration::from_secs(15);
    let endpoint = Introspection::start().await;
    let mut policy = policy::streams();
    policy["routes"].as_array_mut().expect("routes").retain(|route| route["name"] != "background");
    policy["session"] = opaque()["session"].clone();
    let testbed = testbed(&endpoint, policy).await;
    endpoint.reply(Reply::json(&json!({"active": true})));
    let token = testbed.issuer.token().sign();
    let call = testbed.get("/me").bearer(&token);
    call.until("the keys are there", |answer| answer.status != 503).await.passes();
    let mut stream = testbed.open(Kind::WebSocket, &token).await;
    stream.flows().await;
    endpoint.reply(Reply::json(&json!({"active": false})));
    stream.lives_for(BEFORE_THE_NEXT_QUESTION).await;
    stream.is_cut().await;
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
}
