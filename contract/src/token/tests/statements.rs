//! Signed statements that are no access tokens.

use super::world::*;
use crate::token::{Algorithm, Demands, Fault, KeySet, SignatureError, Unfit, Unproven};
use serde_json::{Value, json};
use std::time::Duration;

fn demands() -> Demands {
    Demands {
        issuer: ISSUER.to_owned(),
        types: vec!["secevent+jwt".to_owned()],
        algorithms: vec![Algorithm::EdDSA],
        max_age: Duration::from_secs(3_600),
        ahead: Duration::from_secs(60),
    }
}

fn token(header: &Value, more: &Value) -> String {
    let mut claims = json!({"iss": ISSUER, "aud": "us", "iat": NOW, "jti": "1", "events": {}});
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    sign_input(&WORLD.ed, &format!("{}.{}", b64(header.to_string()), b64(claims.to_string())))
}

fn unfit(more: &Value) -> Option<Unfit> {
    let token = token(&json!({"alg": "EdDSA", "typ": "secevent+jwt"}), more);
    Unproven::read(&token, &demands(), NOW_MS).err()
}

#[test]
fn a_statement_says_what_it_says_once_its_signature_is_verified() {
    let header = json!({"alg": "EdDSA", "typ": "application/SecEvent+JWT"});
    let token = token(&header, &json!({"aud": ["us", "them"], "exp": NOW + 5}));
    let unproven = Unproven::read(&token, &demands(), NOW_MS).unwrap();
    let set = |x: &[u8]| {
        KeySet::parse(json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": b64(x)}]}).to_string().as_bytes()).unwrap()
    };
    let statement = unproven.verify(&set(&WORLD.ed.public_key().to_bytes()), |_| None).unwrap();
    assert_eq!(
        (&*statement.id, statement.issued_at_ms, statement.expires_at_ms),
        ("1", NOW_MS, Some((NOW + 5) * 1_000))
    );
    assert_eq!(
        (&statement.audiences[..], &statement.claims["events"]),
        (&["us".to_owned(), "them".to_owned()][..], &json!({}))
    );
    let other = unproven.verify(&set(&WORLD.other_ed.public_key().to_bytes()), |_| None);
    assert_eq!(other.err(), Some(SignatureError::UnknownKey));
}

#[test]
fn a_statement_is_of_its_issuer_dated_and_named() {
    let now = NOW;
    let rows = [
        (json!({}), None),
        (json!({"iss": format!("{ISSUER}/")}), Some(Unfit::Invalid(Fault::Issuer))),
        (json!({"iss": 1}), Some(Unfit::Invalid(Fault::IllTyped("iss")))),
        (json!({"iat": now + 60}), None),
        (json!({"iat": now + 61}), Some(Unfit::Invalid(Fault::NotYetValid("iat")))),
        (json!({"iat": now - 3_600}), None),
        (json!({"iat": now - 3_601}), Some(Unfit::TooOld)),
        (json!({"iat": "now"}), Some(Unfit::Invalid(Fault::IllTyped("iat")))),
        (json!({"exp": now - 59}), None),
        (json!({"exp": now - 60}), Some(Unfit::TooOld)),
        (json!({"exp": {}}), Some(Unfit::Invalid(Fault::IllTyped("exp")))),
        (json!({"jti": ""}), Some(Unfit::Invalid(Fault::IllTyped("jti")))),
        (json!({"jti": 1}), Some(Unfit::Invalid(Fault::IllTyped("jti")))),
        (json!({"aud": 1}), Some(Unfit::Invalid(Fault::IllTyped("aud")))),
        (json!({"aud": [1]}), Some(Unfit::Invalid(Fault::IllTyped("aud")))),
    ];
    for (more, expected) in rows {
        assert_eq!(unfit(&more), expected, "{more}");
    }
}

#[test]
fn a_statement_is_of_its_type_and_signed_in_an_accepted_way() {
    for (header, fault) in [
        (json!({"alg": "EdDSA", "typ": "at+jwt"}), Fault::TokenType),
        (json!({"alg": "EdDSA"}), Fault::TokenType),
        (json!({"alg": "ES256", "typ": "secevent+jwt"}), Fault::Algorithm),
        (json!({"alg": "none", "typ": "secevent+jwt"}), Fault::Algorithm),
        (json!({"alg": "EdDSA", "typ": "secevent+jwt", "crit": ["x"]}), Fault::Critical),
        (json!({"alg": "EdDSA", "typ": "secevent+jwt", "jwk": {}}), Fault::EmbeddedKey),
    ] {
        let token = token(&header, &json!({}));
        assert_eq!(Unproven::read(&token, &demands(), NOW_MS).err(), Some(Unfit::Invalid(fault)), "{header}");
    }
}
