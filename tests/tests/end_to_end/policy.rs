//! What the policy decides as a whole, and what happens to a policy with faults.

use portcullis_tests::{Answer, Testbed, policy, until};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_policy_refuses_all_traffic_and_names_every_fault() {
    let mut policy = policy::patient();
    policy["surprise"] = json!(true);
    policy["issuers"][0]["algorithms"] = json!(["none"]);
    policy["issuers"][0]["clock_skew"] = json!("5m");
    policy["sets"]["support"] = json!([]);
    policy["routes"][1]["require"]["all_of"] = json!(["orders:unknown"]);
    policy["routes"][4]["public"] = json!(true);
    let testbed = Testbed::with_policy(policy).await;
    let token = testbed.issuer.token().sign();
    for path in ["/healthz", "/orders", "/nowhere"] {
        let answer = testbed.get(path).bearer(&token).await;
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
    }
    assert_eq!(testbed.upstream.count(), 0);
    let faults = ["surprise", "algorithms", "clock_skew", "support", "orders:unknown", "routes[4]"];
    until("every fault is in Envoy's log", async || {
        let log = testbed.envoy.log();
        faults.iter().all(|fault| log.contains(fault)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_policy_refuses_all_traffic() {
    let testbed = Testbed::with_policy(json!({})).await;
    let answer = testbed.get("/healthz").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(testbed.upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_are_compared_whole_and_a_set_means_all_its_scopes() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let cases = [
        ("orders:read", 200),
        ("other orders:read more", 200),
        ("", 403),
        ("orders", 403),
        ("orders:readx", 403),
        ("orders:rea", 403),
        ("ORDERS:READ", 403),
        ("orders:*", 403),
        ("*", 403),
    ];
    for (scopes, status) in cases {
        let token = testbed.issuer.token().scopes(scopes).sign();
        let answer = testbed.get("/orders").bearer(&token).await;
        assert_eq!(answer.status, status, "{scopes}: {answer:?}");
    }
    let changing = [
        ("orders:write admin", 200),
        ("orders:write orders:read customers:read", 200),
        ("orders:write orders:read", 403),
        ("orders:write", 403),
        ("admin orders:read customers:read", 403),
    ];
    for (scopes, status) in changing {
        let token = testbed.issuer.token().scopes(scopes).sign();
        let answer = testbed.call("PATCH", "/orders/7").bearer(&token).await;
        assert_eq!(answer.status, status, "{scopes}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_headers_and_token_go_on_only_as_configured() {
    let mut policy = policy::patient();
    policy["identity_headers"] = json!(["subject"]);
    policy["forward_token"] = json!(false);
    let testbed = Testbed::with_policy(policy).await;
    let token = testbed.issuer.token().sign();
    let answer = testbed.get("/orders").bearer(&token).header("x-portcullis-client", "root").await;
    answer.passes();
    assert_eq!(answer.echoed("x-portcullis-subject"), ["anna"]);
    for absent in ["x-portcullis-client", "x-portcullis-scopes", "x-portcullis-session", "authorization"] {
        assert_eq!(answer.echoed(absent), [""; 0], "{absent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_headers_can_be_decoded_and_list_registered_scopes_only() {
    let mut policy = policy::patient();
    policy["identity_headers"] = json!(["subject", "issuer", "scopes"]);
    let testbed = Testbed::with_policy(policy).await;
    let groups: Vec<String> = (0..100).map(|number| format!("group-{number}")).collect();
    let scopes = format!("{} orders:read customers:read", groups.join(" "));
    let token = testbed.issuer.token().subject("J\u{fc}rgen 100%").scopes(&scopes).sign();
    let answer = testbed.get("/orders").bearer(&token).header("x-portcullis-issuer", "https://evil.example").await;
    answer.passes();
    assert_eq!(answer.echoed("x-portcullis-subject"), ["J%C3%BCrgen 100%25"]);
    assert_eq!(answer.echoed("x-portcullis-issuer"), ["http://127.0.0.1:9000"]);
    assert_eq!(answer.echoed("x-portcullis-scopes"), ["customers:read orders:read"]);
    // The session service knows all of them.
    let session = testbed.session(&token).await;
    assert_eq!(session["scopes"].as_array().map(Vec::len), Some(102), "{session}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_mode_refuses_nothing_and_informs_the_upstream() {
    let mut policy = policy::patient();
    policy["mode"] = json!("shadow");
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let answer = testbed.get("/orders").header("x-portcullis-subject", "root").await;
    answer.passes();
    assert_eq!(answer.echoed("x-portcullis-shadow"), ["no_credentials"]);
    assert_eq!(answer.echoed("x-portcullis-subject"), [""; 0]);
    let token = testbed.issuer.token().scopes("none").sign();
    let answer = testbed.get("/orders").bearer(&token).await;
    assert_eq!(answer.passes().echoed("x-portcullis-shadow"), ["insufficient_scope"]);
    let good = testbed.issuer.token().sign();
    let answer = testbed.get("/orders").bearer(&good).header("x-portcullis-shadow", "x").await;
    assert_eq!(answer.passes().echoed("x-portcullis-shadow"), [""; 0]);
    testbed.service.admin().revoke(&good.session).await;
    let answer = testbed.get("/orders").bearer(&good).await;
    assert_eq!(answer.passes().echoed("x-portcullis-shadow"), ["session_revoked"]);
    is_nobody(&answer);
    let bert = testbed.issuer.token().subject("bert").sign();
    let answer = testbed.get("/orders").bearer(&bert).await;
    assert_eq!(answer.passes().echoed("x-portcullis-subject"), ["bert"]);
    let block = json!({"issuer": testbed.issuer.name, "subject": "bert", "reason": "by a test"});
    testbed.service.admin().block(&block).await;
    let answer = testbed.get("/orders").bearer(&bert).await;
    assert_eq!(answer.passes().echoed("x-portcullis-shadow"), ["blocked"]);
    is_nobody(&answer);
}

/// Whether the upstream learns nothing about who sent a request.
fn is_nobody(answer: &Answer) {
    for what in ["subject", "client", "scopes", "session"] {
        assert_eq!(answer.echoed(&format!("x-portcullis-{what}")), [""; 0], "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_mode_of_a_route_refuses_nothing_there_and_its_report_names_route_client_and_scope() {
    let mut policy = policy::patient();
    let routes = policy["routes"].as_array_mut().expect("routes");
    let list = routes.iter_mut().find(|route| route["name"] == "orders.list").expect("a route");
    list["mode"] = json!("shadow");
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let token = testbed.issuer.token().scopes("none").sign();
    for _ in 0..3 {
        let answer = testbed.get("/orders").bearer(&token).await;
        assert_eq!(answer.passes().echoed("x-portcullis-shadow"), ["insufficient_scope"]);
    }
    testbed.call("PUT", "/orders/1").bearer(&token).await.refused(403, "insufficient_scope");
    testbed.get("/nowhere").await.refused(403, "no_route");
    let field = |line: &serde_json::Value| line["portcullis"].as_str().unwrap_or_default().to_owned();
    let lines = until("the access log has them", async || {
        let lines = testbed.envoy.access_log();
        (lines.iter().filter(|line| field(line).starts_with("code=shadow:")).count() == 3).then_some(lines)
    })
    .await;
    let shadowed = lines.iter().map(field).find(|field| field.starts_with("code=shadow:")).expect("a line");
    let expected = format!(
        "code=shadow:insufficient_scope route=orders.list session={} client=web missing=orders:read",
        token.session
    );
    assert_eq!(shadowed, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_waits_for_the_verdict_and_arrives_whole() {
    let routes = json!([{"name": "upload", "match": {"path": "/upload"}, "authenticated": true}]);
    let testbed = Testbed::with_policy(policy::with_routes(routes)).await;
    let token = testbed.issuer.token().sign();
    let body = vec![b'x'; 3 << 20];
    let answer = testbed.call("POST", "/upload").bearer(&token).body(body.clone()).await;
    assert_eq!(answer.passes().json()["body_bytes"], body.len());
    let seen = testbed.upstream.count();
    let refused = testbed.call("POST", "/upload").body(body).try_send().await;
    if let Ok(answer) = refused {
        answer.refused(401, "no_credentials");
    }
    assert_eq!(testbed.upstream.count(), seen);
}
