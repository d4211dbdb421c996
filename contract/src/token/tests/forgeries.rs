//! Tokens that someone else made, or that were changed on the way.

use super::world::*;
use crate::token::{Fault, IssuerId, KeyRings, Rejection, TOKEN_BYTES_MAX, json::NotAnObject, verify};
use jwt_simple::prelude::*;
use serde_json::json;

#[test]
fn one_issuers_key_does_not_sign_for_another() {
    let input = format!("{}.{}", b64(HEADER), b64(claims(json!({})).to_string()));
    assert_eq!(fault(&sign_input(&WORLD.other_ed, &input)), Some(Fault::Signature));
    let input = format!("{}.{}", b64(HEADER), b64(claims(json!({"iss": OTHER})).to_string()));
    assert_eq!(fault(&sign_input(&WORLD.ed, &input)), Some(Fault::Signature));
    let theirs = check(&sign_input(&WORLD.other_ed, &input)).unwrap();
    assert_eq!(theirs.issuer, IssuerId(1));
}

#[test]
fn the_issuer_is_compared_exactly() {
    for iss in [
        json!("https://id.example.com/"),
        json!("https://ID.example.com"),
        json!("http://id.example.com"),
        json!("https://id.example.com "),
        json!(""),
    ] {
        assert_eq!(fault(&with(json!({"iss": iss}))), Some(Fault::Issuer), "{iss}");
    }
    for iss in [json!([ISSUER]), json!(1), json!({})] {
        assert_eq!(fault(&with(json!({"iss": iss}))), Some(Fault::IllTyped("iss")), "{iss}");
    }
    assert_eq!(fault(&with(json!({"iss": null}))), Some(Fault::Missing("iss")));
}

#[test]
fn a_changed_payload_is_refused() {
    let token = good();
    let parts: Vec<&str> = token.split('.').collect();
    let admin = b64(claims(json!({"scope": "admin"})).to_string());
    let forged = format!("{}.{admin}.{}", parts[0], parts[2]);
    assert_eq!(fault(&forged), Some(Fault::Signature));
}

#[test]
fn a_signature_of_another_length_is_refused() {
    let claims = || signable(claims(json!({})));
    let rsa = RS256KeyPair::from_pem(WORLD.rsa_pem).unwrap().with_key_id("rsa");
    for token in [
        good(),
        rsa.sign_with_options(claims(), &access_token()).unwrap(),
        WORLD.p256.sign_with_options(claims(), &access_token()).unwrap(),
        WORLD.p384.sign_with_options(claims(), &access_token()).unwrap(),
        es512(),
    ] {
        assert!(check(&token).is_ok());
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = crate::token::compact::decode(signature).unwrap();
        for length in [0, 1, signature.len() / 2, signature.len() - 1] {
            let forged = format!("{input}.{}", b64(&signature[..length]));
            assert_eq!(fault(&forged), Some(Fault::Signature), "{length}");
        }
        for longer in [[&signature[..], &[0]].concat(), [&[0], &signature[..]].concat()] {
            assert_eq!(fault(&format!("{input}.{}", b64(longer))), Some(Fault::Signature));
        }
    }
}

#[test]
fn signatures_of_zeros_and_ones_are_refused() {
    let claims = || signable(claims(json!({})));
    let rsa = RS256KeyPair::from_pem(WORLD.rsa_pem).unwrap().with_key_id("rsa");
    for token in [
        good(),
        rsa.sign_with_options(claims(), &access_token()).unwrap(),
        WORLD.p256.sign_with_options(claims(), &access_token()).unwrap(),
        WORLD.p384.sign_with_options(claims(), &access_token()).unwrap(),
    ] {
        let (input, signature) = token.rsplit_once('.').unwrap();
        let length = crate::token::compact::decode(signature).unwrap().len();
        let mut ones = vec![0; length];
        ones[length / 2 - 1] = 1;
        ones[length - 1] = 1;
        for forged in [vec![0; length], vec![0xff; length], ones] {
            // CVE-2022-21449: r = s = 0.
            let forged = format!("{input}.{}", b64(forged));
            assert_eq!(fault(&forged), Some(Fault::Signature));
        }
    }
}

#[test]
fn a_der_encoded_ecdsa_signature_is_refused() {
    let token = WORLD.p256.sign_with_options(signable(claims(json!({}))), &access_token()).unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = crate::token::compact::decode(signature).unwrap();
    let integer = |half: &[u8]| [&[0x02, 0x21, 0x00], half].concat();
    let der = [&[0x30, 0x46][..], &integer(&signature[..32]), &integer(&signature[32..])].concat();
    assert_eq!(fault(&format!("{input}.{}", b64(der))), Some(Fault::Signature));
}

#[test]
fn other_serializations_are_refused() {
    let token = good();
    let parts: Vec<&str> = token.split('.').collect();
    let json = format!(r#"{{"protected":"{}","payload":"{}","signature":"{}"}}"#, parts[0], parts[1], parts[2]);
    assert_eq!(fault(&json), Some(Fault::NotCompact));
    for odd in [
        format!("{token}."),
        format!(".{token}"),
        format!("{}.{}", parts[0], parts[2]),
        format!("{}.{}.{}.{}.{}", parts[0], parts[1], parts[1], parts[1], parts[2]),
        format!("{}.{}.{}.{}", parts[0], parts[1], parts[2], parts[2]),
    ] {
        assert_eq!(fault(&odd), Some(Fault::NotCompact), "{odd}");
    }
}

#[test]
fn no_second_spelling_of_a_token_is_accepted() {
    let token = good();
    for (part, spelled) in token.split('.').flat_map(|part| {
        [format!("{part}="), format!("{part}=="), format!(" {part}"), format!("{part}\n")]
            .map(|spelled| (part, spelled))
    }) {
        assert_eq!(fault(&token.replace(part, &spelled)), Some(Fault::NotBase64url), "{spelled}");
    }
    // An Ed25519 signature leaves four unused bits in its last character.
    let (rest, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = alphabet.find(last).unwrap();
    assert_eq!(value % 16, 0);
    for stray in 1..16 {
        let token = format!("{rest}{}", &alphabet[value + stray..=value + stray]);
        assert_eq!(fault(&token), Some(Fault::NotBase64url));
    }
}

#[test]
fn payloads_that_are_no_strict_object_are_refused() {
    let twice = claims(json!({})).to_string().replacen('{', r#"{"sub":"admin","#, 1);
    for (payload, expected) in [
        (twice, NotAnObject::DuplicateMember),
        ("[]".to_owned(), NotAnObject::OtherType),
        (String::new(), NotAnObject::Syntax),
        ("{\"a\":".repeat(1_000), NotAnObject::Syntax),
        ("[".repeat(10_000), NotAnObject::Syntax),
    ] {
        assert_eq!(fault(&raw(HEADER, payload)), Some(Fault::Claims(expected)));
    }
}

#[test]
fn a_huge_token_is_refused_and_a_large_one_is_not() {
    assert_eq!(fault(&"a".repeat(10_000_000)), Some(Fault::TooLong));
    assert_eq!(fault(&with(json!({"x": "x".repeat(TOKEN_BYTES_MAX)}))), Some(Fault::TooLong));
    assert!(check(&with(json!({"x": "x".repeat(45_000)}))).is_ok());
    let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"ed","x":"{}"}}"#, "x".repeat(8_000));
    assert!(check(&raw(header, claims(json!({})).to_string())).is_ok());
}

#[test]
fn nesting_matters_only_when_it_is_absurd() {
    let nested = |depth: usize| {
        let x = format!("{{\"x\":{}{},", "[".repeat(depth), "]".repeat(depth));
        raw(HEADER, claims(json!({})).to_string().replacen('{', &x, 1))
    };
    assert!(check(&nested(120)).is_ok());
    let expected = Fault::Claims(NotAnObject::Syntax);
    assert_eq!(fault(&nested(130)), Some(expected));
}

#[test]
fn without_keys_the_verdict_says_so() {
    let none = Rejection::NoKeys { issuer: IssuerId(0) };
    assert_eq!(verify(&good(), &WORLD.issuers, &KeyRings::default(), no_host, NOW_MS), Err(none));
}

#[test]
fn what_is_cheap_is_judged_before_the_signature() {
    let expired = with(json!({"exp": NOW - 300}));
    let (input, _) = expired.rsplit_once('.').unwrap();
    assert_eq!(check(&sign_input(&WORLD.other_ed, input)), Err(Rejection::Expired));
    assert_eq!(verify(&expired, &WORLD.issuers, &KeyRings::default(), no_host, NOW_MS), Err(Rejection::Expired));
}
