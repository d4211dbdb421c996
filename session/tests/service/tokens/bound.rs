//! Handles that are bound to a key of their client (DPoP).

use super::*;
use crate::client::request_with;
use ed25519_compact::{KeyPair, Seed};
use std::sync::atomic::AtomicU64;

const URL: &str = "https://x/oauth2/token";

fn proof(key: &KeyPair, url: &str, iat: u64) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let part = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let x = BASE64_URL_SAFE_NO_PAD.encode(*key.pk);
    let header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}});
    let claims = json!({"jti": NEXT.fetch_add(1, Ordering::SeqCst).to_string(), "htm": "POST", "htu": url, "iat": iat});
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(*key.sk.sign(&signed, None));
    format!("{signed}.{signature}")
}

fn key(seed: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([seed; 32]))
}

/// A request with these proofs.
async fn ask(world: &World, proofs: &[&str], form: &str) -> Answer {
    let shown: String = proofs.iter().map(|proof| format!("dpop: {proof}\r\n")).collect();
    let lines = format!("content-type: application/x-www-form-urlencoded\r\n{shown}");
    request_with(world.fixture.checks, &lines, "POST", "/oauth2/token", form).await
}

const CODE: &str = "grant_type=authorization_code&code=s&client_id=spa";

fn refresh(handle: &str) -> String {
    format!("grant_type=refresh_token&refresh_token={handle}&client_id=spa")
}

#[tokio::test]
async fn a_handle_is_good_with_the_key_of_its_login_only() {
    let world = World::new(Rotation::On).await;
    let (own, other, now) = (key(1), key(2), T0 / 1_000);
    let (handle, _) = pair(&ask(&world, &[&proof(&own, URL, now)], CODE).await);
    for proofs in [vec![], vec![proof(&other, URL, now)]] {
        let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
        assert_eq!(error(&ask(&world, &proofs, &refresh(&handle)).await), refused("invalid_grant"));
    }
    let answer = ask(&world, &[&proof(&own, URL, now)], &refresh(&handle)).await;
    let (next, _) = pair(&answer);
    // The same answer again, for nobody without the key.
    assert_eq!(error(&ask(&world, &[], &refresh(&handle)).await), refused("invalid_grant"));
    assert_eq!(ask(&world, &[&proof(&own, URL, now)], &refresh(&handle)).await.text, answer.text);
    pair(&ask(&world, &[&proof(&own, URL, now)], &refresh(&next)).await);
    assert_eq!(world.session("s").await["state"], "active");
    world.stop().await;
}

#[tokio::test]
async fn a_proof_is_for_this_request_and_used_once() {
    let world = World::new(Rotation::On).await;
    let (own, now) = (key(1), T0 / 1_000);
    let good = proof(&own, URL, now);
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    for bad in [
        vec![proof(&own, "https://x/oauth2/other", now)],
        vec![proof(&own, URL, now - 61)],
        vec![forged],
        vec!["x".to_owned()],
        vec![proof(&own, URL, now), proof(&own, URL, now)],
    ] {
        let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
        assert_eq!(error(&ask(&world, &bad, CODE).await), refused("invalid_dpop_proof"), "{bad:?}");
    }
    pair(&ask(&world, &[&good], CODE).await);
    assert_eq!(error(&ask(&world, &[&good], CODE).await), refused("invalid_dpop_proof"), "it was used");
    assert_eq!(world.issuer.asked().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn our_token_is_bound_to_the_key_and_only_exchanged_with_it() {
    let signing = "signing: {issuer: 'https://portcullis.example', keys: [{env: SIGNING_A, kid: a}]}";
    let world = World::with(Rotation::On, ", issue: {ttl: 60s, audience: orders}", signing).await;
    let (own, other, now) = (key(1), key(2), T0 / 1_000);
    let answer = ask(&world, &[&proof(&own, URL, now)], CODE).await;
    let (_, access) = pair(&answer);
    assert_eq!(answer.json()["token_type"], "DPoP");
    let bound = claims(&access)["cnf"]["jkt"].as_str().unwrap().to_owned();
    let form = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&client_id=worker&subject_token={access}\
         &subject_token_type=urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(error(&ask(&world, &[], &form).await), refused("invalid_request"));
    assert_eq!(error(&ask(&world, &[&proof(&other, URL, now)], &form).await), refused("invalid_request"));
    let exchanged = ask(&world, &[&proof(&own, URL, now)], &form).await;
    assert_eq!(exchanged.status, 200, "{exchanged:?}");
    assert_eq!(claims(exchanged.json()["access_token"].as_str().unwrap())["cnf"]["jkt"], bound.as_str());
    world.stop().await;
}
