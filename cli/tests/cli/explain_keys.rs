//! `policy explain --token` where the keys are at a URL: fetched, read from a file, or neither.

use crate::{
    admin_api::{answer, serving},
    tool::{portcullis, stderr},
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use ed25519_compact::{KeyPair, Seed};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::PathBuf};

const KIND: &str = "application/json";

fn key(seed: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([seed; 32]))
}

fn key_set(key: &KeyPair) -> String {
    let x = BASE64_URL_SAFE_NO_PAD.encode(key.pk.as_ref());
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]}).to_string()
}

fn token(key: &KeyPair) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": "https://id.example", "aud": "api", "sub": "alice", "client_id": "app", "sid": "s", "scope": "read",
        "iat": 1_700_000_000, "exp": 4_100_000_000_u64,
    });
    let message = format!("{}.{}", part(json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k"})), part(claims));
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(key.sk.sign(&message, None).as_ref()))
}

fn written(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a file can be written");
    path
}

/// The exit code, and all that was printed, with the key set of the policy's issuer at `address`.
fn explained(address: SocketAddr, token: &str, more: &[&str]) -> (i32, String) {
    let policy = json!({
        "limits": {"key_set_bytes": 10_000},
        "issuers": [{
            "issuer": "https://id.example", "audiences": ["api"], "algorithms": ["EdDSA"],
            "keys": {"jwks_url": format!("http://{address}/jwks"), "cluster": "id"},
        }],
        "session": {"cluster": "session"},
        "routes": [{"name": "me", "match": {"path": "/me"}, "authenticated": true}],
    });
    let policy = written(&format!("explain-{}.json", address.port()), &policy.to_string());
    let output = portcullis()
        .args(["policy", "explain"])
        .arg(policy)
        .args(["GET", "https://api.example/me", "--token", token])
        .args(more)
        .output()
        .expect("the program runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
    (output.status.code().expect("no signal"), text)
}

#[test]
fn a_signature_is_explained_with_keys_that_were_fetched_or_read() {
    let (good, forged) = (token(&key(1)), token(&key(2)));
    let address = serving(answer(200, KIND, &key_set(&key(1))), Some);
    let file = written("explain-keys.json", &key_set(&key(1)));
    let file = file.to_str().expect("text");
    let url = format!("http://{address}/jwks");
    for (arguments, from) in [(vec!["--fetch-keys"], url.as_str()), (vec!["--keys", file], file)] {
        let (code, text) = explained(address, &good, &arguments);
        assert!(code == 0 && text.contains(&format!("verified with a key from {from}")), "{text}");
        let (code, text) = explained(address, &forged, &arguments);
        assert!(code == 0 && text.contains("signature: the signature is invalid"), "{text}");
    }
    let (code, text) = explained(address, &forged, &[]);
    assert!(code == 0 && text.contains("SIGNATURE NOT CHECKED") && text.contains("--fetch-keys"), "{text}");
}

#[test]
fn keys_that_cannot_be_fetched_are_an_error_that_says_why() {
    let good = token(&key(1));
    let long = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(10_000));
    for (status, body, why) in [
        (503, "", "the response had status 503"),
        (302, "", "the response had status 302"),
        (200, long.as_str(), "the key set is longer than 10000 bytes (`limits.key_set_bytes`)"),
        (200, "<html>\u{1b}[2J", "the key set is not JSON"),
        (200, "{\"keys\":[]}", "the key set contains no usable key"),
    ] {
        let (code, text) = explained(serving(answer(status, KIND, body), Some), &good, &["--fetch-keys"]);
        assert!(code == 1 && text.contains(why) && !text.contains('\u{1b}'), "{code} {text}");
    }
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let (code, text) = explained(nobody, &good, &["--fetch-keys"]);
    assert!(code == 1 && text.contains("cannot fetch the keys at `http://127.0.0.1:1/jwks`"), "{code} {text}");
    let (code, text) = explained(nobody, &good, &["--keys", "/nowhere"]);
    assert!(code == 1 && text.contains("cannot read `/nowhere`"), "{code} {text}");
}
