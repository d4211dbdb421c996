//! Two issuers, their keys, and tokens by either. The private keys are for these tests only.

use crate::token::{
    Algorithm, BoundTokens, ClaimNames, Fault, HostQuestion, Issuer, KeyRings, KeySource, Rejection, Verified, verify,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jwt_simple::prelude::*;
use serde_json::{Map, Value, json};
use std::{sync::LazyLock, time::Duration as StdDuration};

pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const NOW_MS: u64 = NOW * 1_000;
pub(super) const SKEW: u64 = 30;
pub(super) const ISSUER: &str = "https://id.example.com";
pub(super) const OTHER: &str = "https://other.example.com";

pub(super) struct World {
    pub(super) rsa_pem: &'static str,
    pub(super) p256: ES256KeyPair,
    pub(super) p384: ES384KeyPair,
    pub(super) p521: p521::ecdsa::SigningKey,
    pub(super) ed: Ed25519KeyPair,
    pub(super) other_ed: Ed25519KeyPair,
    pub(super) issuers: Vec<Issuer>,
    pub(super) rings: KeyRings,
}

pub(super) static WORLD: LazyLock<World> = LazyLock::new(|| {
    let rsa_pem = include_str!("rsa.pem");
    let rsa = RS256KeyPair::from_pem(rsa_pem).unwrap().with_key_id("rsa");
    let p256 = ES256KeyPair::generate().with_key_id("p256");
    let p384 = ES384KeyPair::generate().with_key_id("p384");
    let p521 = p521::ecdsa::SigningKey::from_slice(&[1; 66]).unwrap();
    let ed = Ed25519KeyPair::generate().with_key_id("ed");
    let other_ed = Ed25519KeyPair::generate().with_key_id("ed");
    let mut rsa_jwk = jwk(&rsa.public_key().to_jwk());
    rsa_jwk.remove("alg");
    let keys = json!({"keys": [
        rsa_jwk,
        jwk(&p256.public_key().to_jwk()),
        jwk(&p384.public_key().to_jwk()),
        p521_jwk(&p521),
        jwk(&ed.public_key().to_jwk()),
    ]});
    let other_keys = json!({"keys": [jwk(&other_ed.public_key().to_jwk())]});
    let issuers = vec![issuer(ISSUER, &keys.to_string()), issuer(OTHER, &other_keys.to_string())];
    let rings = KeyRings::new(issuers.iter().map(|issuer| &issuer.keys));
    World { rings: rings.unwrap(), rsa_pem, p256, p384, p521, ed, other_ed, issuers }
});

pub(super) fn jwk(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap()
}

pub(super) fn p521_jwk(key: &p521::ecdsa::SigningKey) -> Map<String, Value> {
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(66);
    jwk(&json!({"kty": "EC", "crv": "P-521", "kid": "p521", "x": b64(x), "y": b64(y)}).to_string())
}

/// A good token, signed by the key named `p521`: jwt-simple does not sign with ES512.
pub(super) fn es512() -> String {
    use p521::ecdsa::signature::Signer as _;
    let header = r#"{"alg":"ES512","typ":"at+jwt","kid":"p521"}"#;
    let signing_input = format!("{}.{}", b64(header), b64(claims(json!({})).to_string()));
    let signature: p521::ecdsa::Signature = WORLD.p521.sign(signing_input.as_bytes());
    format!("{signing_input}.{}", b64(signature.to_bytes()))
}

pub(super) fn issuer(name: &str, keys: &str) -> Issuer {
    use Algorithm::*;
    Issuer {
        issuer: name.into(),
        audiences: vec!["orders-api".to_owned(), "orders-api-2".to_owned()],
        algorithms: vec![RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA],
        keys: KeySource::Inline(keys.to_owned()),
        clock_skew: StdDuration::from_secs(SKEW),
        token_types: vec!["at+jwt".to_owned()],
        claim_names: ClaimNames::default(),
        clients: Vec::new(),
        claims: Vec::new(),
        bound_tokens: BoundTokens::Refuse,
        minted_for: None,
    }
}

/// The claims of a good token, with `changes`; `null` takes a claim away.
pub(super) fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "orders-api", "exp": NOW + 300, "iat": NOW - 10, "sub": "alice", "client_id": "web",
        "jti": "t-1", "scope": "orders:write orders:read", "sid": "s-1", "auth_time": NOW - 60, "acr": "aal2",
    });
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    claims
}

pub(super) const HEADER: &str = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"ed"}"#;

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Whatever header and payload, properly signed by the key named `ed`.
pub(super) fn raw(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let signing_input = format!("{}.{}", b64(header), b64(payload));
    sign_input(&WORLD.ed, &signing_input)
}

pub(super) fn sign_input(key: &Ed25519KeyPair, signing_input: &str) -> String {
    let signature = key.key_pair().as_ref().sk.sign(signing_input, None);
    format!("{signing_input}.{}", b64(signature.as_ref()))
}

pub(super) fn good() -> String {
    with(json!({}))
}

/// A token by the key named `ed`, whose claims are good but for `changes`.
pub(super) fn with(changes: Value) -> String {
    raw(HEADER, claims(changes).to_string())
}

/// `claims` as the signers of jwt-simple want them.
pub(super) fn signable(claims: Value) -> JWTClaims<Value> {
    let mut signable = Claims::with_custom_claims(claims, Duration::from_secs(1));
    signable.issued_at = None;
    signable.expires_at = None;
    signable.invalid_before = None;
    signable
}

pub(super) fn access_token() -> HeaderOptions {
    HeaderOptions { signature_type: Some("at+jwt".to_owned()), ..HeaderOptions::default() }
}

pub(super) fn check(token: &str) -> Result<Verified, Rejection> {
    check_at(token, NOW_MS)
}

pub(super) fn check_at(token: &str, now_ms: u64) -> Result<Verified, Rejection> {
    verify(token, &WORLD.issuers, &WORLD.rings, no_host, now_ms)
}

/// Checks `token` with an issuer that differs in what `change` changes.
pub(super) fn check_by(token: &str, change: impl FnOnce(&mut Issuer)) -> Result<Verified, Rejection> {
    let mut issuers = WORLD.issuers.clone();
    change(&mut issuers[0]);
    verify(token, &issuers, &WORLD.rings, no_host, NOW_MS)
}

pub(super) fn fault(token: &str) -> Option<Fault> {
    match check(token) {
        Err(Rejection::Invalid(fault) | Rejection::WrongKey { fault, .. }) => Some(fault),
        _ => None,
    }
}

/// A host without cryptography.
pub(super) fn no_host(_: &HostQuestion<'_>) -> Option<bool> {
    None
}
