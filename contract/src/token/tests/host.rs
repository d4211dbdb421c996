//! Signatures that the host judges: what it is asked, and what its word is worth.

use super::world::*;
use crate::token::{
    Algorithm, Fault, HostQuestion, HostVerifier, Rejection, Signed, der::public_key_info, json::Object, jwk::material,
    verify,
};
use jwt_simple::prelude::*;
use serde_json::json;

fn check_with(host: HostVerifier, token: &str) -> Result<(), Fault> {
    match verify(token, &WORLD.issuers, &WORLD.rings, host, NOW_MS) {
        Ok(_) => Ok(()),
        Err(Rejection::WrongKey { fault, .. }) => Err(fault),
        Err(rejection) => panic!("{rejection:?}"),
    }
}

fn es256() -> String {
    WORLD.p256.sign_with_options(signable(claims(json!({}))), &access_token()).unwrap()
}

fn rs512() -> String {
    let key = RS512KeyPair::from_pem(WORLD.rsa_pem).unwrap().with_key_id("rsa");
    key.sign_with_options(signable(claims(json!({}))), &access_token()).unwrap()
}

/// Says yes if the question is about a token of the named key, of its hash, and complete.
fn asked(question: &HostQuestion<'_>, key: &[u8], hash: &str) -> bool {
    let parts: Vec<_> = question.text.split(|byte| *byte == b'.').collect();
    question.key == key && question.hash == hash && parts.len() == 2
}

fn knows_p256(question: &HostQuestion<'_>) -> Option<bool> {
    let is_der = question.signature.first() == Some(&0x30);
    Some(is_der && asked(question, &WORLD.p256.public_key().to_der().unwrap(), "sha256"))
}

fn knows_rsa(question: &HostQuestion<'_>) -> Option<bool> {
    let rsa = RS512KeyPair::from_pem(WORLD.rsa_pem).unwrap().public_key().to_der().unwrap();
    Some(question.signature.len() == 256 && asked(question, &rsa, "sha512"))
}

#[test]
fn the_host_is_asked_about_the_key_that_the_token_names() {
    assert_eq!(check_with(knows_p256, &es256()), Ok(()));
    assert_eq!(check_with(knows_rsa, &rs512()), Ok(()));
    assert_eq!(check_with(knows_rsa, &es256()), Err(Fault::Signature));
}

#[test]
fn what_the_host_refuses_is_refused() {
    assert_eq!(check_with(|_| Some(false), &es256()), Err(Fault::Signature));
}

#[test]
fn what_the_host_cannot_say_is_found_out_here() {
    assert_eq!(check_with(no_host, &es256()), Ok(()));
    let forged = format!("{}{}", es256().trim_end_matches(|c| c != '.'), b64([1; 64]));
    assert_eq!(check_with(no_host, &forged), Err(Fault::Signature));
}

#[test]
fn the_host_is_not_asked_about_algorithms_that_it_does_not_have() {
    let key = PS256KeyPair::from_pem(WORLD.rsa_pem).unwrap().with_key_id("rsa");
    let ps256 = key.sign_with_options(signable(claims(json!({}))), &access_token()).unwrap();
    for token in [ps256, good()] {
        assert_eq!(check_with(|_| Some(false), &token), Ok(()));
    }
}

#[test]
fn the_host_is_asked_about_es512_with_its_hash_and_key() {
    fn knows_p521(question: &HostQuestion<'_>) -> Option<bool> {
        let jwk = serde_json::to_string(&p521_jwk(&WORLD.p521)).unwrap();
        Some(question.signature.first() == Some(&0x30) && asked(question, &info(&jwk).unwrap(), "sha512"))
    }
    let token = es512();
    assert_eq!(check_with(knows_p521, &token), Ok(()));
    assert_eq!(check_with(|_| Some(false), &token), Err(Fault::Signature));
}

#[test]
fn a_signature_of_another_length_never_reaches_the_host() {
    let short = format!("{}{}", es256().trim_end_matches(|c| c != '.'), b64([1; 63]));
    assert_eq!(check_with(|_| Some(true), &short), Err(Fault::Signature));
}

fn info(jwk: &str) -> Option<Vec<u8>> {
    public_key_info(&material(&Object::parse(jwk.as_bytes()).unwrap()).unwrap())
}

#[test]
fn keys_are_encoded_as_the_library_encodes_them() {
    let (p256, p384) = (WORLD.p256.public_key(), WORLD.p384.public_key());
    let rsa = RS256KeyPair::from_pem(WORLD.rsa_pem).unwrap().public_key();
    assert_eq!(info(&p256.to_jwk()), p256.to_der().ok());
    assert_eq!(info(&p384.to_jwk()), p384.to_der().ok());
    assert_eq!(info(&rsa.to_jwk()), rsa.to_der().ok());
    assert_eq!(info(&WORLD.ed.public_key().to_jwk()), None);
    // The prefix of every P-521 key (RFC 5480, section 2), and the point.
    let jwk = serde_json::to_string(&p521_jwk(&WORLD.p521)).unwrap();
    let prefix =
        b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00";
    let point = WORLD.p521.verifying_key().to_sec1_point(false);
    assert_eq!(info(&jwk), Some([&prefix[..], point.as_bytes()].concat()));
}

#[test]
fn neither_a_token_nor_its_parts_are_written_where_things_are_logged() {
    let token = es256();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signed = Signed { algorithm: Algorithm::ES256, signing_input: input, signature: b"the signature".to_vec() };
    let question = HostQuestion { hash: "sha256", key: b"key", signature: b"the signature", text: input.as_bytes() };
    let written = format!("{signed:?} {question:?}");
    // A list of bytes is as good as a text.
    let bytes = |text: &[u8]| format!("{text:?}").trim_matches(['[', ']']).to_owned();
    for secret in [input.to_owned(), signature.to_owned(), bytes(input.as_bytes()), bytes(b"the signature")] {
        assert!(!written.contains(&secret), "{written}");
    }
}
