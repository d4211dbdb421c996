//! Tokens for upstreams: what an upstream behind a real Envoy receives, and verifies with the published keys.

use jwt_simple::prelude::*;
use portcullis_tests::{Algorithm, Answer, Client, Key, Testbed, exchange, policy, sign_with, until};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

const AUDIENCE: &str = "orders-internal";

fn tokens(more: Value) -> Value {
    let mut policy = policy::with_routes(json!([
        {"name": "public", "match": {"path": "/public"}, "public": true},
        {"name": "me", "match": {"path": "/me"}, "authenticated": true},
        {"name": "maybe", "match": {"path": "/maybe"}, "authenticated": "optional"},
        {"name": "orders.list", "match": {"path": "/orders"}, "require": {"all_of": ["orders:read"]}},
    ]));
    policy["upstream_token"] = json!({"audience": AUDIENCE});
    for (key, value) in more.as_object().expect("an object") {
        policy["upstream_token"][key] = value.clone();
    }
    policy
}

/// A testbed whose service signs with a key of its own, and the file of that key.
async fn testbed(policy: Value) -> (Testbed, PathBuf) {
    let file = Arc::<Mutex<PathBuf>>::default();
    let written = Arc::clone(&file);
    let signs = move |config: &mut Value| {
        *written.lock().expect("not poisoned") = sign_with(config, &Key::new(Algorithm::ES256));
    };
    let testbed = Testbed::builder().policy(policy).session(signs).start().await;
    testbed.ready().await;
    let file = file.lock().expect("not poisoned").clone();
    (testbed, file)
}

/// The token that reached the upstream.
fn reached(answer: &Answer) -> String {
    let [token] = <[String; 1]>::try_from(answer.passes().echoed("txn-token")).expect("one token");
    token
}

/// Verifies a token with the keys that the service publishes, as an upstream does.
async fn verified(testbed: &Testbed, token: &str) -> Option<JWTClaims<Value>> {
    let published = Client::new(testbed.service.address()).get("/.well-known/jwks.json").fresh().await;
    let keys = published.status(200).json();
    let options = VerificationOptions {
        allowed_audiences: Some(HashSet::from_strings(&[AUDIENCE])),
        allowed_issuers: Some(HashSet::from_strings(&["https://portcullis.example.com"])),
        ..VerificationOptions::default()
    };
    let keys = keys["keys"].as_array().expect("keys").clone();
    keys.iter().find_map(|jwk| {
        let key = ES256PublicKey::from_jwk(&jwk.to_string()).expect("a key");
        key.verify_token::<Value>(token, Some(options.clone())).ok()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_verifies_a_token_in_place_of_the_clients() {
    let (testbed, _) = testbed(tokens(json!({}))).await;
    let token = testbed.issuer.token().claim("scope", json!("orders:read orders:write")).sign();
    let answer = testbed.get("/orders").bearer(&token).await;
    let claims = verified(&testbed, &reached(&answer)).await.expect("the token verifies");
    assert_eq!(answer.echoed("authorization"), [""; 0], "the client's token stays in front");
    assert_eq!((claims.subject.as_deref(), &claims.custom["scope"]), (Some("anna"), &json!("orders:read")));
    assert_eq!(json!(answer.echoed("x-request-id")), json!([claims.custom["txn"]]));
    assert_eq!(claims.custom["rctx"], json!({"route": "orders.list"}));
    assert_ne!(claims.custom["req_wl"], "");
    let (issued, expires) = (claims.issued_at.expect("iat"), claims.expires_at.expect("exp"));
    assert!(expires.as_secs() - issued.as_secs() <= 30);

    let again = testbed.get("/me").bearer(&token).await;
    let claims = verified(&testbed, &reached(&again)).await.expect("the token verifies");
    assert_eq!((&claims.custom["scope"], &claims.custom["rctx"]), (&json!(""), &json!({"route": "me"})));
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_serves_every_worker_until_half_of_its_life_is_over() {
    let (testbed, _) = testbed(tokens(json!({"ttl": "4s"}))).await;
    let token = testbed.issuer.token().sign();
    let first = reached(&testbed.get("/orders").bearer(&token).fresh().await);
    let second = until("another token is minted", async || {
        let now = reached(&testbed.get("/orders").bearer(&token).fresh().await);
        (now != first).then_some(now)
    })
    .await;
    for token in [&first, &second] {
        assert!(verified(&testbed, token).await.is_some(), "the first one is still good");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sends_under_the_name_never_reaches_the_upstream() {
    let (testbed, _) = testbed(tokens(json!({}))).await;
    let forged = |call: portcullis_tests::Call| {
        call.header("txn-token", "forged").header("Txn_Token", "forged").header("txn-token", "twice")
    };
    for path in ["/public", "/maybe"] {
        let answer = forged(testbed.get(path)).await;
        for name in ["txn-token", "txn_token"] {
            assert_eq!(answer.passes().echoed(name), [""; 0], "{path}: {name}");
        }
    }
    let token = testbed.issuer.token().sign();
    let answer = forged(testbed.get("/orders").bearer(&token)).await;
    assert!(verified(&testbed, &reached(&answer)).await.is_some());
    let call = testbed.call("POST", "/orders").bearer(&token).http2().body("x");
    let answer = call.trailer("txn-token", "forged").trailer("x-other", "kept").await;
    let trailers = answer.passes().json()["trailers"].clone();
    assert!(trailers.get("txn-token").is_none() && trailers.get("x-other").is_some(), "{trailers}");
    // On an upgrade, Envoy passes `connection` on, and the upstream could be the one that drops the token.
    let upgrade = format!(
        "GET /orders HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nupgrade: websocket\r\nconnection: upgrade, Txn-Token\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        token.text
    );
    assert_eq!(exchange(testbed.envoy.address, upgrade.as_bytes()).await.status, Some(400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_session_gets_a_narrower_token_and_a_revoked_one_none() {
    let (testbed, _) = testbed(tokens(json!({"scopes": "token"}))).await;
    let token = testbed.issuer.token().claim("scope", json!("orders:read orders:write")).sign();
    let scope = async || {
        let answer = testbed.get("/orders").bearer(&token).await;
        verified(&testbed, &reached(&answer)).await.expect("the token verifies").custom["scope"].clone()
    };
    assert_eq!(scope().await, "orders:read orders:write");
    testbed.service.admin().narrow(&token.session, &["orders:read"]).await;
    assert_eq!(scope().await, "orders:read", "from the answer of the admin API on");
    testbed.service.admin().revoke(&token.session).await;
    let before = testbed.upstream.count();
    testbed.get("/orders").bearer(&token).await.refused(401, "session_revoked");
    assert_eq!(testbed.upstream.count(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_replaced_signs_at_once() {
    let (testbed, file) = testbed(tokens(json!({}))).await;
    let token = testbed.issuer.token().sign();
    let old = reached(&testbed.get("/orders").bearer(&token).await);
    assert!(verified(&testbed, &old).await.is_some());
    std::fs::write(&file, ES256KeyPair::generate().to_pem().expect("a key as PEM")).expect("the key can be written");
    until("the new key is published and signs", async || {
        let now = reached(&testbed.get("/orders").bearer(&token).await);
        (now != old && verified(&testbed, &now).await.is_some()).then_some(())
    })
    .await;
    assert!(verified(&testbed, &old).await.is_none(), "what the old key has signed is void");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_the_routes_refuse_unless_the_policy_says_otherwise() {
    let testbed = Testbed::with_policy(tokens(json!({}))).await;
    let token = testbed.issuer.token().sign();
    let is_refused = |answer: &Answer| answer.code() == "session_unavailable";
    testbed.get("/orders").bearer(&token).until("it is refused", is_refused).await;
    until("the log says why", async || testbed.envoy.log().contains("capability `upstream_tokens`").then_some(()))
        .await;

    let testbed = Testbed::with_policy(tokens(json!({"on_outage": "omit"}))).await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    let answer = testbed.get("/orders").bearer(&token).await;
    assert_eq!(answer.passes().echoed("txn-token"), [""; 0]);
    Client::new(testbed.service.address()).get("/.well-known/jwks.json").await.status(404);
}
