//! Tokens for upstreams over real sockets: what a filter is sent, and where the keys are.

use crate::client::{FILTER, Filter, http, session_id, token};
use crate::fixtures::{Fixture, T0};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use portcullis_contract::signing::{SigningAlgorithm, SigningKey};
use portcullis_contract::wire::{self, FilterMessage, Hello, Outcome, Question, Route, UPSTREAM_TOKENS, Verdict};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};
use tonic::transport::Endpoint;

const JWKS: &str = "/.well-known/jwks.json";
const SIGNING: &str = "signing: {issuer: 'https://portcullis.example', keys: [{env: SIGNING_A, kid: a}]}";

/// The key that an environment variable has, the same each time.
pub(crate) fn pem(variable: &str) -> String {
    static KEYS: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);
    let made = || SigningKey::generate(SigningAlgorithm::Ed25519, "k").to_pem().unwrap();
    KEYS.lock().unwrap().entry(variable.to_owned()).or_insert_with(made).clone()
}

/// A filter with one route, whose upstream wants a token, and what it was welcomed with.
async fn filter(fixture: &Fixture) -> (Filter, Vec<String>) {
    let channel = Endpoint::from_shared(format!("http://{}", fixture.checks)).unwrap().connect().await.unwrap();
    let mut filter = Filter::silent(channel, FILTER).await.unwrap();
    let upstream_token =
        Some(wire::UpstreamToken { audience: "orders".to_owned(), ttl_ms: 30_000, ..Default::default() });
    let all_of = vec!["orders:read".to_owned()];
    let routes = vec![Route { name: "orders.list".to_owned(), all_of, upstream_token, ..Route::default() }];
    let hello = Some(Hello { routes, workload: "edge-1".to_owned(), ..Hello::default() });
    filter.send(FilterMessage { hello, tokens: vec![token(1, "s", T0)], ..FilterMessage::default() }).await;
    let welcome = filter.answer().await.unwrap().unwrap().welcome.unwrap();
    (filter, welcome.capabilities)
}

async fn ask(filter: &mut Filter, held_token: Option<u64>) -> Verdict {
    let request_id = "request-1".to_owned();
    let questions = vec![Question { id: 9, token: 1, request_id, held_token, ..Question::default() }];
    filter.send(FilterMessage { questions, ..FilterMessage::default() }).await;
    filter.verdicts(1).await.remove(0)
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_verdict_has_a_token_that_the_published_key_verifies() {
    let fixture = Fixture::with(SIGNING).await;
    let (mut filter, capabilities) = filter(&fixture).await;
    assert!(capabilities.iter().any(|name| name == UPSTREAM_TOKENS));
    let minted = ask(&mut filter, None).await.upstream_token.unwrap();
    let claims = part(&minted.token, 1);
    let expected = json!({
        "iss": "https://portcullis.example", "aud": "orders", "iat": T0 / 1_000, "exp": T0 / 1_000 + 30,
        "txn": "request-1", "sub": "alice", "scope": "orders:read", "req_wl": "edge-1", "rctx": {"route": "orders.list"},
    });
    assert_eq!(claims, expected);
    assert_eq!(ask(&mut filter, Some(minted.id)).await.upstream_token.unwrap().token, "");

    let published = http(fixture.checks, "", "GET", JWKS, "").await;
    assert_eq!(published.status, 200);
    assert!(published.head.contains("content-type: application/jwk-set+json"), "{}", published.head);
    assert!(published.head.contains("cache-control: public, max-age=300"), "{}", published.head);
    let set = published.json();
    assert_eq!((set["keys"].as_array().unwrap().len(), &set["keys"][0]["kid"]), (1, &json!("a")));
    assert!(set["keys"][0].get("d").is_none());
    let x = BASE64_URL_SAFE_NO_PAD.decode(set["keys"][0]["x"].as_str().unwrap()).unwrap();
    let (signed, signature) = minted.token.rsplit_once('.').unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key = ed25519_compact::PublicKey::from_slice(&x).unwrap();
    key.verify(signed, &ed25519_compact::Signature::from_slice(&signature).unwrap()).unwrap();

    let metrics = fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_upstream_tokens_minted_total 1"), "{metrics}");
    let events = fixture.call("GET", "/v1/sessions", "").await.text;
    assert!(!metrics.contains(&minted.token) && !events.contains(&minted.token));
    fixture.stop().await;
}

#[tokio::test]
async fn a_revoked_session_gets_none() {
    let fixture = Fixture::with(SIGNING).await;
    let (mut filter, _) = filter(&fixture).await;
    assert!(ask(&mut filter, None).await.upstream_token.is_some());
    let path = format!("/v1/sessions/{}/revoke", session_id("s"));
    assert_eq!(fixture.call("POST", &path, "{}").await.status, 200);
    let verdict = ask(&mut filter, None).await;
    assert_eq!((verdict.outcome(), verdict.upstream_token), (Outcome::Revoked, None));
    fixture.stop().await;
}

#[tokio::test]
async fn a_key_is_replaced_while_the_service_runs() {
    let fixture = Fixture::with(SIGNING).await;
    let (mut filter, _) = filter(&fixture).await;
    let before = ask(&mut filter, None).await.upstream_token.unwrap();
    let reload = fixture.reload(&SIGNING.replace("SIGNING_A, kid: a", "SIGNING_B, kid: b"));
    assert_eq!(reload.reloaded, ["signing"]);
    let after = ask(&mut filter, Some(before.id)).await.upstream_token.unwrap();
    assert_eq!((part(&before.token, 0)["kid"].clone(), part(&after.token, 0)["kid"].clone()), (json!("a"), json!("b")));
    assert_eq!(http(fixture.checks, "", "GET", JWKS, "").await.json()["keys"][0]["kid"], "b");
    assert_eq!(fixture.reload("").needs_restart, ["signing"]);
    fixture.stop().await;
}

#[tokio::test]
async fn without_keys_nothing_is_minted_and_there_is_no_key_set() {
    let fixture = Fixture::open().await;
    let (mut filter, capabilities) = filter(&fixture).await;
    assert!(!capabilities.iter().any(|name| name == UPSTREAM_TOKENS));
    let verdict = ask(&mut filter, None).await;
    assert_eq!((verdict.outcome(), verdict.upstream_token), (Outcome::Active, None));
    assert_eq!(http(fixture.checks, "", "GET", JWKS, "").await.status, 404);
    fixture.stop().await;
}
