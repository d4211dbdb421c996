//! Proofs, good and hostile, with real signatures.

use super::world::{NOW, NOW_MS, WORLD, b64, jwk, no_host, sign_input};
use crate::token::{
    Algorithm, Fault, HostQuestion, Key, Skip, Thumbprint, TokenDigest,
    compact::decode,
    dpop::{
        HttpUrl, ID_BYTES_MAX, NONCE_TURN_MS, Nonce, NonceKey, PROOF_BYTES_MAX, ProofFault, ProofTerms, Proven,
        Proving, prove,
    },
    json::Object,
};
use jwt_simple::prelude::{Ed25519KeyPair, HS256Key, MACLike as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{sync::LazyLock, time::Duration};

const TOKEN: &str = "a.b.c";
const URL: &str = "https://api.example/orders";

static KEY: LazyLock<Ed25519KeyPair> = LazyLock::new(Ed25519KeyPair::generate);

fn public(key: &Ed25519KeyPair) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().to_bytes())})
}

fn thumbprint(jwk: &Value) -> Thumbprint {
    Key::import(&Object::parse(jwk.to_string().as_bytes()).unwrap()).unwrap().thumbprint()
}

fn header() -> Value {
    json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": public(&KEY)})
}

fn good_claims() -> Value {
    json!({
        "jti": "p-1", "htm": "GET", "htu": URL, "iat": NOW, "ath": b64(Sha256::digest(TOKEN)),
    })
}

fn changed(value: Value, changes: &Value) -> Value {
    let mut members = value.as_object().cloned().unwrap_or_default();
    for (name, change) in changes.as_object().cloned().unwrap_or_default() {
        match change {
            Value::Null => drop(members.remove(&name)),
            change => drop(members.insert(name, change)),
        }
    }
    Value::Object(members)
}

fn signed(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    sign_input(&KEY, &format!("{}.{}", b64(header), b64(claims)))
}

fn with(header_changes: &Value, claim_changes: &Value) -> String {
    signed(changed(header(), header_changes).to_string(), changed(good_claims(), claim_changes).to_string())
}

fn terms() -> ProofTerms {
    ProofTerms { window: Duration::from_mins(1), algorithms: vec![Algorithm::ES256, Algorithm::EdDSA] }
}

fn proved_by(proof: &str, key: Thumbprint, nonces: Option<&NonceKey>, now_ms: u64) -> Result<Proven, ProofFault> {
    let url = HttpUrl::parse(URL).unwrap();
    let request = Proving { method: "GET", url: &url, token: TokenDigest::of(TOKEN), key, nonces };
    prove(proof, &request, &terms(), no_host, now_ms)
}

fn proved(proof: &str) -> Result<Proven, ProofFault> {
    proved_by(proof, thumbprint(&public(&KEY)), None, NOW_MS)
}

#[test]
fn the_example_of_the_standard_is_accepted_for_its_own_request() {
    // RFC 9449, figure 13.
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXp\
                 Da0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydi\
                 I6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFt\
                 cGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9\
                 hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYo\
                 MxhAJpLjA";
    let token = TokenDigest::of("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
    let jkt = decode("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").unwrap();
    let key = Thumbprint(jkt.try_into().unwrap());
    let now_ms = 1_562_262_618_000;
    let checked = |method, url, token, now_ms| {
        let url = HttpUrl::parse(url).unwrap();
        prove(proof, &Proving { method, url: &url, token, key, nonces: None }, &terms(), no_host, now_ms)
    };
    let url = "https://resource.example.org/protectedresource";
    let proven = checked("GET", url, token, now_ms).unwrap();
    assert_eq!((proven.lasts_ms, proven.nonce), (60_000, None));
    assert_eq!(checked("POST", url, token, now_ms), Err(ProofFault::Other("htm")));
    assert_eq!(checked("GET", "https://resource.example.org/", token, now_ms), Err(ProofFault::Other("htu")));
    assert_eq!(checked("GET", url, TokenDigest::of(TOKEN), now_ms), Err(ProofFault::Other("ath")));
    assert_eq!(checked("GET", url, token, now_ms + 60_001), Err(ProofFault::Date));
}

#[test]
fn a_proof_is_accepted_within_the_window_and_for_as_long_as_it_says() {
    for (iat, lasts_ms) in [(NOW, 60_000), (NOW - 60, 0), (NOW + 60, 120_000), (NOW - 1, 59_000)] {
        let proven = proved(&with(&json!({}), &json!({"iat": iat})));
        assert_eq!(proven.map(|proven| proven.lasts_ms), Ok(lasts_ms), "{iat}");
    }
    for iat in [json!(NOW - 61), json!(NOW + 61), json!(0), json!(null)] {
        assert_eq!(proved(&with(&json!({}), &json!({"iat": iat}))), Err(ProofFault::Date), "{iat}");
    }
}

#[test]
fn a_proof_is_identified_by_its_key_and_its_id() {
    let one = proved(&with(&json!({}), &json!({}))).unwrap().id;
    assert_eq!(proved(&with(&json!({}), &json!({"iat": NOW + 5}))).unwrap().id, one);
    assert_ne!(proved(&with(&json!({}), &json!({"jti": "p-2"}))).unwrap().id, one);
}

#[test]
fn every_elliptic_curve_of_the_list_can_sign() {
    let key = &WORLD.p256;
    let jwk = Value::Object(jwk(&key.public_key().to_jwk()));
    let header = changed(header(), &json!({"alg": "ES256", "jwk": jwk}));
    let signing_input = format!("{}.{}", b64(header.to_string()), b64(good_claims().to_string()));
    let signature: p256::ecdsa::Signature = {
        use p256::ecdsa::signature::Signer as _;
        p256::ecdsa::SigningKey::from_slice(&key.to_bytes()).unwrap().sign(signing_input.as_bytes())
    };
    let proof = format!("{signing_input}.{}", b64(signature.to_bytes()));
    assert!(proved_by(&proof, thumbprint(&jwk), None, NOW_MS).is_ok());
    assert_eq!(proved(&proof), Err(ProofFault::OtherKey));
}

#[test]
fn what_the_header_must_not_say_is_refused() {
    let malformed = ProofFault::Malformed;
    let private = changed(public(&KEY), &json!({"d": b64([1; 32])}));
    for (changes, fault) in [
        (json!({"typ": null}), malformed(Fault::TokenType)),
        (json!({"typ": "JWT"}), malformed(Fault::TokenType)),
        (json!({"typ": "at+jwt"}), malformed(Fault::TokenType)),
        (json!({"alg": "none"}), malformed(Fault::Algorithm)),
        (json!({"alg": "HS256"}), malformed(Fault::Algorithm)),
        (json!({"alg": "RS256"}), malformed(Fault::Algorithm)),
        (json!({"alg": "ES256"}), malformed(Fault::KeyAlgorithm)),
        (json!({"alg": null}), malformed(Fault::Missing("alg"))),
        (json!({"jwk": null}), malformed(Fault::Missing("jwk"))),
        (json!({"jwk": "x"}), malformed(Fault::IllTyped("jwk"))),
        (json!({"jwk": private}), ProofFault::Key(Skip::Private)),
        (json!({"jwk": {"kty": "oct", "k": "AAAA"}}), ProofFault::Key(Skip::Private)),
        (json!({"jwk": {"kty": "OKP", "crv": "X25519", "x": b64([1; 32])}}), ProofFault::Key(Skip::KeyType)),
        (
            json!({"jwk": {"kty": "EC", "crv": "P-256", "x": b64([1; 32]), "y": b64([1; 32])}}),
            ProofFault::Key(Skip::Material),
        ),
        (json!({"jwk": changed(public(&KEY), &json!({"use": "enc"}))}), ProofFault::Key(Skip::Purpose)),
        (json!({"jwk": public(&Ed25519KeyPair::generate())}), ProofFault::OtherKey),
        (json!({"crit": ["exp"]}), malformed(Fault::Critical)),
        (json!({"b64": false}), malformed(Fault::Critical)),
        (json!({"jku": 1}), malformed(Fault::IllTyped("jku"))),
    ] {
        assert_eq!(proved(&with(&changes, &json!({}))), Err(fault), "{changes}");
    }
    for typ in ["DPoP+JWT", "application/dpop+jwt"] {
        assert!(proved(&with(&json!({"typ": typ}), &json!({}))).is_ok(), "{typ}");
    }
}

#[test]
fn what_the_claims_must_say_is_demanded() {
    let ill_typed = |name| ProofFault::Malformed(Fault::IllTyped(name));
    let long = "j".repeat(ID_BYTES_MAX + 1);
    for (changes, fault) in [
        (json!({"jti": null}), ProofFault::Id),
        (json!({"jti": ""}), ProofFault::Id),
        (json!({"jti": long}), ProofFault::Id),
        (json!({"jti": 1}), ill_typed("jti")),
        (json!({"htm": null}), ProofFault::Other("htm")),
        (json!({"htm": "get"}), ProofFault::Other("htm")),
        (json!({"htm": "POST"}), ProofFault::Other("htm")),
        (json!({"htu": null}), ProofFault::Other("htu")),
        (json!({"htu": "/orders"}), ProofFault::Other("htu")),
        (json!({"htu": "http://api.example/orders"}), ProofFault::Other("htu")),
        (json!({"htu": "https://api.example/orders/"}), ProofFault::Other("htu")),
        (json!({"htu": "https://api.example/Orders"}), ProofFault::Other("htu")),
        (json!({"htu": "https://api.example.evil/orders"}), ProofFault::Other("htu")),
        (json!({"htu": "https://api.example@evil/orders"}), ProofFault::Other("htu")),
        (json!({"htu": [URL]}), ill_typed("htu")),
        (json!({"ath": null}), ProofFault::Other("ath")),
        (json!({"ath": b64(Sha256::digest("another"))}), ProofFault::Other("ath")),
        (json!({"ath": format!("{}=", b64(Sha256::digest(TOKEN)))}), ProofFault::Other("ath")),
        (json!({"iat": "now"}), ill_typed("iat")),
        (json!({"nonce": 1}), ill_typed("nonce")),
    ] {
        assert_eq!(proved(&with(&json!({}), &changes)), Err(fault), "{changes}");
    }
    for htu in
        ["HTTPS://API.EXAMPLE:443/orders?page=2#top", "https://api.example/%6frders", "https://api.example/./orders"]
    {
        assert!(proved(&with(&json!({}), &json!({"htu": htu}))).is_ok(), "{htu}");
    }
}

#[test]
fn a_signature_counts_and_nothing_else_does() {
    let proof = with(&json!({}), &json!({}));
    assert!(proved(&proof).is_ok());
    let (input, _) = proof.rsplit_once('.').unwrap();
    let other = sign_input(&Ed25519KeyPair::generate(), input);
    assert_eq!(proved(&other), Err(ProofFault::Signature));
    assert_eq!(proved(&format!("{input}.")), Err(ProofFault::Signature));
    assert_eq!(proved(&format!("{input}.{}", b64([0; 64]))), Err(ProofFault::Signature));
    // A public key as the secret of a symmetric algorithm.
    let header = changed(header(), &json!({"alg": "HS256"})).to_string();
    let input = format!("{}.{}", b64(header), b64(good_claims().to_string()));
    let mac = HS256Key::from_bytes(&KEY.public_key().to_bytes());
    let forged = format!("{input}.{}", b64(mac.authentication_tag(input.as_bytes())));
    assert_eq!(proved(&forged), Err(ProofFault::Malformed(Fault::Algorithm)));
    fn vouches(_: &HostQuestion<'_>) -> Option<bool> {
        Some(true)
    }
    // Ed25519 is not the host's.
    let url = HttpUrl::parse(URL).unwrap();
    let key = thumbprint(&public(&KEY));
    let request = Proving { method: "GET", url: &url, token: TokenDigest::of(TOKEN), key, nonces: None };
    assert_eq!(prove(&other, &request, &terms(), vouches, NOW_MS), Err(ProofFault::Signature));
}

#[test]
fn what_cannot_be_read_in_one_way_is_refused() {
    let twice = |json: String, member: &str| json.replacen('{', &format!("{{{member},"), 1);
    let (header, claims) = (header().to_string(), good_claims().to_string());
    let huge = json!({"jti": "p", "x": "y".repeat(PROOF_BYTES_MAX)}).to_string();
    for proof in [
        signed(twice(header.clone(), r#""alg":"ES256""#), &claims),
        signed(&header, twice(claims.clone(), r#""htm":"POST""#)),
        signed(&header, twice(claims.clone(), r#""x":{"a":1,"a":2}"#)),
        signed(header.replace("\"kty\"", "\"kty\":\"OKP\",\"kty\""), &claims),
        signed(&header, "[]"),
        signed("[]", &claims),
        signed(&header, claims.replacen('{', "", 1)),
        signed(&header, huge),
        format!("{}=", with(&json!({}), &json!({}))),
        format!("{}.x", with(&json!({}), &json!({}))),
        with(&json!({}), &json!({})).replace('.', ","),
        String::new(),
        "..".to_owned(),
    ] {
        let fault = proved(&proof).unwrap_err();
        assert!(matches!(fault, ProofFault::Malformed(_) | ProofFault::TooLong), "{fault:?} {proof}");
    }
}

#[test]
fn a_nonce_that_is_asked_for_is_judged_after_everything_else() {
    let nonces = NonceKey::derive("store");
    let key = thumbprint(&public(&KEY));
    let judged = |changes: &Value| proved_by(&with(&json!({}), changes), key, Some(&nonces), NOW_MS);
    let nonce = nonces.issue(NOW_MS);
    assert_eq!(judged(&json!({"nonce": nonce})).map(|proven| proven.nonce), Ok(Some(Nonce::Current)));
    let before = nonces.issue(NOW_MS - NONCE_TURN_MS);
    assert_eq!(judged(&json!({"nonce": before})).map(|proven| proven.nonce), Ok(Some(Nonce::Fading)));
    for changes in [json!({}), json!({"nonce": ""}), json!({"nonce": nonces.issue(NOW_MS - 2 * NONCE_TURN_MS)})] {
        assert_eq!(judged(&changes), Err(ProofFault::Nonce), "{changes}");
    }
    assert_eq!(judged(&json!({"htm": "POST"})), Err(ProofFault::Other("htm")));
    assert_eq!(proved(&with(&json!({}), &json!({"nonce": "whatever"}))).map(|proven| proven.nonce), Ok(None));
}

proptest::proptest! {
    #[test]
    fn no_text_is_a_proof(text in "[A-Za-z0-9_.-]{0,200}") {
        proptest::prop_assert!(proved(&text).is_err());
    }

    #[test]
    fn no_claims_of_a_forger_are_a_proof(claims in "\\PC{0,80}") {
        let forged = sign_input(&WORLD.ed, &format!("{}.{}", b64(header().to_string()), b64(claims)));
        proptest::prop_assert!(proved(&forged).is_err());
    }
}

#[test]
fn every_fault_can_be_told_without_repeating_the_proof() {
    let faults = [
        ProofFault::Missing,
        ProofFault::Several,
        ProofFault::TooLong,
        ProofFault::Malformed(Fault::NotCompact),
        ProofFault::Key(Skip::Private),
        ProofFault::OtherKey,
        ProofFault::Other("htu"),
        ProofFault::Other("htm"),
        ProofFault::Date,
        ProofFault::Id,
        ProofFault::Signature,
        ProofFault::Nonce,
    ];
    let told: std::collections::HashSet<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), faults.len());
}
