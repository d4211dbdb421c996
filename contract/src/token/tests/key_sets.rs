//! Key sets, from good to hostile (RFC 7517).

use super::world::*;
use crate::token::{
    Algorithm, KEYS_MAX, KeySet, KeySetError, SignatureError, Signed, Skip, Skipped, json::NotAnObject,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jwt_simple::prelude::*;
use serde_json::{Value, json};

fn parse(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes())
}

/// Why the only key of a set is not used; `None` if it is.
fn skip(key: Value) -> Option<Skip> {
    match parse(&[key]) {
        Ok(_) => None,
        Err(KeySetError::NoUsableKey(skipped)) => Some(skipped[0].why),
        Err(error) => panic!("{error}"),
    }
}

fn rsa() -> Value {
    let key = RS256KeyPair::from_pem(WORLD.rsa_pem).unwrap().public_key();
    serde_json::from_str(&key.to_jwk()).unwrap()
}

fn p256() -> Value {
    serde_json::from_str(&WORLD.p256.public_key().to_jwk()).unwrap()
}

fn ed() -> Value {
    serde_json::from_str(&WORLD.ed.public_key().to_jwk()).unwrap()
}

fn p521() -> Value {
    p521_jwk(&WORLD.p521).into()
}

fn changed(mut key: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => key.as_object_mut().unwrap().remove(name),
        value => key.as_object_mut().unwrap().insert(name.to_owned(), value),
    };
    key
}

#[test]
fn good_keys_are_used_with_or_without_optional_members() {
    for key in [rsa(), p256(), ed()] {
        assert_eq!(skip(key.clone()), None);
        for name in ["alg", "use", "kid"] {
            assert_eq!(skip(changed(key.clone(), name, Value::Null)), None, "{name}");
        }
        let key = changed(key, "key_ops", json!(["verify"]));
        assert_eq!(skip(changed(key, "x5c", json!(["MII"]))), None);
    }
    let zero = [&[0], &crate::token::compact::decode(rsa()["n"].as_str().unwrap()).unwrap()[..]].concat();
    assert_eq!(skip(changed(rsa(), "n", json!(b64(zero)))), None);
}

#[test]
fn keys_for_other_things_are_skipped() {
    for (key, why) in [
        (json!(1), Skip::NotAnObject),
        (json!({}), Skip::IllTyped("kty")),
        (json!({"kty": "oct"}), Skip::KeyType),
        (json!({"kty": "oct", "k": "AAAA"}), Skip::Private),
        (json!({"kty": "EC", "crv": "P-224", "x": "AA", "y": "AA"}), Skip::KeyType),
        (json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}), Skip::KeyType),
        (json!({"kty": "OKP", "crv": "X25519", "x": "AA"}), Skip::KeyType),
        (json!({"kty": "AKP", "alg": "ML-DSA-65", "pub": "AA"}), Skip::KeyType),
        (changed(rsa(), "kty", json!("rsa")), Skip::KeyType),
        (changed(rsa(), "d", json!("AQ")), Skip::Private),
        (changed(p256(), "d", json!("AQ")), Skip::Private),
        (changed(rsa(), "use", json!("enc")), Skip::Purpose),
        (changed(rsa(), "use", json!("SIG")), Skip::Purpose),
        (changed(rsa(), "use", json!(["sig"])), Skip::IllTyped("use")),
        (changed(rsa(), "key_ops", json!(["encrypt"])), Skip::Purpose),
        (changed(rsa(), "key_ops", json!([])), Skip::Purpose),
        (changed(rsa(), "key_ops", json!("verify")), Skip::IllTyped("key_ops")),
        (changed(rsa(), "kid", json!(7)), Skip::IllTyped("kid")),
        (changed(rsa(), "alg", json!("ES256")), Skip::Algorithm),
        (changed(rsa(), "alg", json!("RSA-OAEP")), Skip::Algorithm),
        (changed(rsa(), "alg", json!("HS256")), Skip::Algorithm),
        (changed(rsa(), "alg", json!("none")), Skip::Algorithm),
        (changed(p256(), "alg", json!("ES384")), Skip::Algorithm),
        (changed(ed(), "alg", json!("RS256")), Skip::Algorithm),
    ] {
        assert_eq!(skip(key.clone()), Some(why), "{key}");
    }
}

#[test]
fn keys_whose_numbers_are_wrong_are_skipped() {
    let n = |bytes: usize| json!(b64(vec![0xff; bytes]));
    for (key, why) in [
        (changed(rsa(), "n", Value::Null), Skip::IllTyped("n")),
        (changed(rsa(), "n", json!("a=")), Skip::IllTyped("n")),
        (changed(rsa(), "n", json!("")), Skip::Material),
        (changed(rsa(), "n", n(128)), Skip::Material),
        (changed(rsa(), "n", n(513)), Skip::Material),
        (changed(rsa(), "n", n(8192)), Skip::Material),
        (changed(rsa(), "e", json!("AQ")), Skip::Material),
        (changed(rsa(), "e", json!("Aw")), Skip::Material),
        (changed(rsa(), "e", json!("")), Skip::Material),
        (changed(p256(), "x", json!(b64([1; 32]))), Skip::Material),
        (changed(p256(), "x", json!(b64([1; 31]))), Skip::IllTyped("x")),
        (changed(p256(), "y", json!(b64([1; 33]))), Skip::IllTyped("y")),
        (changed(p256(), "y", Value::Null), Skip::IllTyped("y")),
        (changed(p521(), "x", json!(b64([0; 66]))), Skip::Material),
        (changed(p521(), "x", json!(b64([0xff; 66]))), Skip::Material),
        (changed(p521(), "y", json!(b64([1; 65]))), Skip::IllTyped("y")),
        (changed(p521(), "alg", json!("ES384")), Skip::Algorithm),
        (changed(ed(), "x", json!(b64([0; 32]))), Skip::Material),
        (changed(ed(), "x", json!(b64([1; 31]))), Skip::IllTyped("x")),
    ] {
        assert_eq!(skip(key.clone()), Some(why), "{key}");
    }
    let mut point = [0; 32];
    point[0] = 1;
    assert_eq!(skip(changed(ed(), "x", json!(b64(point)))), Some(Skip::Material), "small order");
}

#[test]
fn one_usable_key_makes_a_set_and_the_others_are_named() {
    let set = parse(&[json!({"kty": "oct"}), p256(), changed(rsa(), "use", json!("enc"))]).unwrap();
    let skipped = |index, why| Skipped { index, why };
    assert_eq!(set.skipped(), [skipped(0, Skip::KeyType), skipped(2, Skip::Purpose)]);
    let error = parse(&[json!({"kty": "oct"}), json!([])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the key set contains no usable key; `keys[0]`: `kty` or `crv` is not supported; `keys[1]`: not an object"
    );
}

#[test]
fn what_is_no_key_set_is_refused() {
    let key = p256().to_string();
    for (json, error) in [
        (String::new(), KeySetError::NotAnObject(NotAnObject::Syntax)),
        ("<html>".to_owned(), KeySetError::NotAnObject(NotAnObject::Syntax)),
        ("[]".to_owned(), KeySetError::NotAnObject(NotAnObject::OtherType)),
        ("[".repeat(100_000), KeySetError::NotAnObject(NotAnObject::Syntax)),
        ("{}".to_owned(), KeySetError::NoKeys),
        (key.clone(), KeySetError::NoKeys),
        (format!("{{\"keys\":{key}}}"), KeySetError::NoKeys),
        (format!("{{\"Keys\":[{key}]}}"), KeySetError::NoKeys),
        ("{\"keys\":[]}".to_owned(), KeySetError::NoUsableKey(vec![])),
        (format!("{{\"keys\":[{key}],\"keys\":[]}}"), KeySetError::NotAnObject(NotAnObject::DuplicateMember)),
    ] {
        assert_eq!(KeySet::parse(json.as_bytes()).unwrap_err(), error);
    }
    assert_eq!(parse(&vec![json!({}); KEYS_MAX + 1]).unwrap_err(), KeySetError::TooMany);
    assert!(parse(&vec![p256(); KEYS_MAX]).is_ok());
}

#[test]
fn keys_that_share_a_kid_are_all_tried() {
    let renamed = changed(ed(), "kid", json!("k"));
    let other: Value = serde_json::from_str(&WORLD.other_ed.public_key().to_jwk()).unwrap();
    let other = changed(other, "kid", json!("k"));
    let set = parse(&[p256(), other, renamed]).unwrap();
    let token = good();
    let (signing_input, signature) = token.rsplit_once('.').unwrap();
    let signed =
        |algorithm| Signed { algorithm, signing_input, signature: BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap() };
    let eddsa = signed(Algorithm::EdDSA);
    assert!(set.verify(Some("k"), &eddsa, no_host).is_ok());
    assert!(set.verify(None, &eddsa, no_host).is_ok());
    assert_eq!(set.verify(Some("x"), &eddsa, no_host), Err(SignatureError::UnknownKey));
    assert_eq!(set.verify(Some("p256"), &eddsa, no_host), Err(SignatureError::KeyAlgorithm));
    assert_eq!(set.verify(Some("k"), &signed(Algorithm::RS256), no_host), Err(SignatureError::KeyAlgorithm));
    assert_eq!(set.verify(None, &signed(Algorithm::RS256), no_host), Err(SignatureError::UnknownKey));
}

#[test]
fn sets_are_the_same_when_their_keys_are() {
    let set = parse(&[p256(), ed()]).unwrap();
    assert!(set.same_keys(&parse(&[ed(), p256(), json!({"kty": "oct"})]).unwrap()));
    assert!(!set.same_keys(&parse(&[ed()]).unwrap()));
    assert!(!set.same_keys(&parse(&[ed(), p256(), rsa()]).unwrap()));
    assert!(!set.same_keys(&parse(&[changed(ed(), "kid", json!("x")), p256()]).unwrap()));
    let one = parse(&[rsa()]).unwrap();
    assert!(!one.same_keys(&parse(&[changed(rsa(), "alg", json!("PS256"))]).unwrap()));
}
