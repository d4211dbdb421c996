//! A person at a real browser, which holds a cookie in place of tokens, in front of a server that this project did not write: tokens
//! of ten seconds, and no visible break until the session is over.

use super::{beside, trusts_jwts};
use crate::browser::{browser, drive};
use portcullis_tests::{Client, oauth::OAuthServer, policy};
use serde_json::{Value, json};
use std::collections::HashSet;

/// How long the person works, in seconds, and the variable with another time: two minutes are the real thing.
const SECONDS: u64 = 40;
const SECONDS_VARIABLE: &str = "PORTCULLIS_BROWSER_SECONDS";

/// How long tokens live, in seconds.
const TTL_S: u64 = 10;

/// What logging in, and everything after the work, may take, in seconds.
const REST_S_MAX: u64 = 90;

fn seconds() -> u64 {
    std::env::var(SECONDS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS)
}

/// A policy by which browsers hold cookies. Tokens are good for hardly longer than they say.
fn with_cookies(server: &OAuthServer) -> Value {
    let mut policy = trusts_jwts(
        server,
        policy::with_routes(json!([
            {"name": "page", "match": {"path": "/callback"}, "public": true},
            {"name": "all", "match": {"path": "/{*rest}"}, "authenticated": true},
        ])),
    );
    policy["issuers"][1]["clock_skew"] = json!("1s");
    policy["token_from"] = json!(["authorization", {"session_cookie": "__Host-portcullis"}]);
    policy["oauth"] = json!({"path": "/oauth2", "cluster": "session"});
    policy
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium and Node: make test-faults"]
async fn a_person_works_on_tokens_of_seconds_and_sees_nothing_until_the_session_is_over() {
    let server = OAuthServer::start(&["--sid", "--rotate", "on", "--ttl", &TTL_S.to_string()]).await;
    let (issuer, key) = (server.issuer.clone(), tempfile::NamedTempFile::new().expect("a temporary file"));
    std::fs::write(key.path(), "A".repeat(43)).expect("the key can be written");
    let path = key.path().to_owned();
    let with_tokens = move |config: &mut Value| {
        config["tokens"] = json!({
            "issuers": [{"issuer": issuer, "discovery": format!("{issuer}/.well-known/openid-configuration")}],
            "encryption": {"keys": [{"file": path, "kid": "t1"}]},
        });
    };
    let testbed = beside(&server, with_cookies(&server)).session(with_tokens).start().await;
    testbed.ready().await;
    let seconds = seconds();
    let config = json!({
        "chromium": browser(),
        "envoy": testbed.envoy.address.to_string(),
        "issuer": server.issuer,
        "seconds": seconds,
        "admin": {
            "url": format!("http://{}", testbed.service.admin_address()),
            "credential": testbed.admin_credential,
        },
    });
    let driven = tokio::task::spawn_blocking(move || drive("session.mjs", seconds + REST_S_MAX, &config));
    let seen = driven.await.expect("it returns");
    let expected = json!({
        "version": seen["version"],
        "before": ["401 no_credentials"],
        "login": {"status": 200, "members": ["expires_in", "scope"]},
        "cookie": {"httpOnly": true, "secure": true, "sameSite": "Lax", "path": "/"},
        "script": "",
        "siblingLogsOut": 403,
        "worked": {"requests": seconds * 2, "others": []},
        "socketIsOpen": true,
        "revoked": 200,
        "afterRevocation": ["401 session_revoked", "401 no_credentials", "401 no_credentials"],
        "socketIsCut": true, "cookieIsGone": true,
        "again": 200, "againWorks": [200, 200],
        "logout": 204, "afterLogout": ["401 no_credentials", "401 no_credentials"], "logoutAgain": 204,
        "stolen": [401, "session_revoked"],
        "handles": seen["handles"],
    });
    assert_eq!(seen, expected);

    let metrics = Client::new(testbed.service.admin_address()).get("/metrics");
    let metrics = metrics.bearer(&testbed.admin_credential).await.status(200).body.clone();
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let renewed =
        metrics.lines().find_map(|line| line.strip_prefix("portcullis_browser_renewals_total{outcome=\"renewed\"}"));
    let renewed: u64 = renewed.and_then(|count| count.trim().parse().ok()).expect("a count");
    println!("{renewed} renewals in {seconds} s");
    assert!((seconds / TTL_S..=seconds / (TTL_S / 2) + 2).contains(&renewed), "{renewed} renewals in {seconds} s");

    // The upstream was sent tokens, several in turn, and never a handle.
    let received = testbed.upstream.received();
    let tokens: HashSet<_> = received.iter().filter_map(|request| request.headers.get("authorization")).collect();
    assert!(tokens.len() > 1, "{} tokens", tokens.len());
    let output = format!("{} {}", testbed.service.output(), testbed.envoy.log());
    for handle in seen["handles"].as_array().expect("a list") {
        let handle = handle.as_str().expect("text");
        assert!(
            received.iter().all(|request| !format!("{:?}", request.headers).contains(handle)),
            "it goes no further"
        );
        assert!(!output.contains(handle) && !metrics.contains(handle), "it is said");
    }
    assert!(tokens.iter().flat_map(|values| values.iter()).all(|token| !output.contains(token.as_str())), "it is said");
    let ended = testbed.service.audit().into_iter().filter(|line| line["event"] == "family_ended");
    let reasons: HashSet<_> = ended.map(|line| line["reason"].as_str().unwrap_or_default().to_owned()).collect();
    // That of a session that was revoked ends when a filter asks about its handle again, if it does.
    assert!(reasons.contains("logout") && reasons.iter().all(|reason| reason == "logout" || reason == "session"));
}
