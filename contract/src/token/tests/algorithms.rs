//! Every algorithm verifies; none may stand in for another (RFC 8725, sections 2.1 and 3.1).

use super::world::*;
use crate::token::{
    Algorithm, Fault, IssuerId, KeyName, KeyRings, KeySet, KeySource, Rejection, compact::Compact, verify,
};
use jwt_simple::prelude::*;
use serde_json::json;

fn by_every_algorithm() -> Vec<(Algorithm, String)> {
    let claims = || signable(claims(json!({})));
    let header = access_token();
    let pem = WORLD.rsa_pem;
    macro_rules! rsa {
        ($key:ident) => {{
            let key = $key::from_pem(pem).unwrap().with_key_id("rsa");
            key.sign_with_options(claims(), &header).unwrap()
        }};
    }
    vec![
        (Algorithm::RS256, rsa!(RS256KeyPair)),
        (Algorithm::RS384, rsa!(RS384KeyPair)),
        (Algorithm::RS512, rsa!(RS512KeyPair)),
        (Algorithm::PS256, rsa!(PS256KeyPair)),
        (Algorithm::PS384, rsa!(PS384KeyPair)),
        (Algorithm::PS512, rsa!(PS512KeyPair)),
        (Algorithm::ES256, WORLD.p256.sign_with_options(claims(), &header).unwrap()),
        (Algorithm::ES384, WORLD.p384.sign_with_options(claims(), &header).unwrap()),
        (Algorithm::ES512, es512()),
        (Algorithm::EdDSA, WORLD.ed.sign_with_options(claims(), &header).unwrap()),
    ]
}

#[test]
fn tokens_of_every_algorithm_verify() {
    for (algorithm, token) in by_every_algorithm() {
        let verified = check(&token);
        assert_eq!(verified.unwrap().facts.subject.as_deref(), Some("alice"), "{algorithm:?}");
    }
}

#[test]
fn an_algorithm_that_the_issuer_may_not_use_is_refused() {
    for (algorithm, token) in by_every_algorithm() {
        let without = check_by(&token, |issuer| {
            issuer.algorithms.retain(|allowed| *allowed != algorithm);
        });
        assert_eq!(without, Err(Fault::Algorithm.into()), "{algorithm:?}");
        let only = check_by(&token, |issuer| issuer.algorithms = vec![algorithm]);
        assert!(only.is_ok(), "{algorithm:?}");
    }
}

#[test]
fn the_fully_specified_name_of_ed25519_means_the_same() {
    let token = raw(HEADER.replace("EdDSA", "Ed25519"), claims(json!({})).to_string());
    assert!(check(&token).is_ok());
}

#[test]
fn no_other_algorithm_is_known_in_whatever_spelling() {
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        " ",
        "HS256",
        "HS384",
        "HS512",
        "hs256",
        "ES256K",
        "es512",
        "Ed448",
        "eddsa",
        "EDDSA",
        "EdDSA ",
        " EdDSA",
        "ed25519",
        "rs256",
        "Rs256",
        "es256",
        "RS1",
        "RSA-OAEP",
        "dir",
        "EdDSA\\u0000",
        "\\u0000",
    ] {
        let header = format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"ed"}}"#);
        let signed = raw(&header, claims(json!({})).to_string());
        assert_eq!(fault(&signed), Some(Fault::Algorithm), "{alg:?}");
        let (unsigned, _) = signed.rsplit_once('.').unwrap();
        let unsigned = format!("{unsigned}.");
        assert_eq!(fault(&unsigned), Some(Fault::Algorithm), "{alg:?}");
    }
}

#[test]
fn alg_must_be_a_string() {
    for (alg, expected) in [
        (r#""alg":null,"#, Fault::IllTyped("alg")),
        (r#""alg":["EdDSA"],"#, Fault::IllTyped("alg")),
        (r#""alg":0,"#, Fault::IllTyped("alg")),
        ("", Fault::Missing("alg")),
        (r#""ALG":"EdDSA","#, Fault::Missing("alg")),
    ] {
        let header = format!(r#"{{{alg}"typ":"at+jwt","kid":"ed"}}"#);
        assert_eq!(fault(&raw(header, claims(json!({})).to_string())), Some(expected), "{alg}");
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let rsa = RS256KeyPair::from_pem(WORLD.rsa_pem).unwrap().public_key();
    let secrets = [
        rsa.to_pem().unwrap().into_bytes(),
        rsa.to_pem().unwrap().trim_end().as_bytes().to_vec(),
        rsa.to_der().unwrap(),
        rsa.to_components().n,
        WORLD.ed.public_key().to_bytes(),
    ];
    for secret in secrets {
        let key = HS256Key::from_bytes(&secret).with_key_id("rsa");
        let claims = signable(claims(json!({})));
        let token = key.authenticate_with_options(claims, &access_token()).unwrap();
        assert_eq!(fault(&token), Some(Fault::Algorithm));
        // And with a header that lies about it.
        let (_, rest) = token.split_once('.').unwrap();
        for alg in ["RS256", "PS256"] {
            let header = format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"rsa"}}"#);
            let token = format!("{}.{rest}", b64(header));
            assert_eq!(fault(&token), Some(Fault::Signature));
        }
    }
}

#[test]
fn a_kid_that_names_a_key_of_another_algorithm_is_refused() {
    for kid in ["rsa", "p256", "p384", "p521"] {
        let token = raw(HEADER.replace("\"ed\"", &format!("\"{kid}\"")), claims(json!({})).to_string());
        assert_eq!(fault(&token), Some(Fault::KeyAlgorithm), "{kid}");
    }
}

#[test]
fn rs256_and_ps256_do_not_pass_for_each_other() {
    for (algorithm, token) in by_every_algorithm().into_iter().take(6) {
        for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
            if format!("{algorithm:?}") == alg {
                continue;
            }
            let (_, rest) = token.split_once('.').unwrap();
            let header = format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"rsa"}}"#);
            let token = format!("{}.{rest}", b64(header));
            assert_eq!(fault(&token), Some(Fault::Signature), "{algorithm:?} as {alg}");
        }
    }
}

#[test]
fn the_example_of_rfc_7515_for_es512_holds() {
    let key = r#"{"kty":"EC","crv":"P-521",
        "x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#;
    let set = KeySet::parse(format!(r#"{{"keys":[{key}]}}"#).as_bytes()).unwrap();
    let token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGD\
                 KB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    for (token, holds) in [(token.to_owned(), true), (token.replace("UGF5bG9hZA", "UGF5bG9hZg"), false)] {
        let signed = Compact::parse(&token).unwrap().signed(Algorithm::ES512);
        assert_eq!(set.verify(None, &signed, no_host).is_ok(), holds, "{token}");
    }
}

#[test]
fn a_key_that_names_its_algorithm_is_used_with_no_other() {
    let rsa = RS256KeyPair::from_pem(WORLD.rsa_pem).unwrap().with_key_id("rsa");
    let keys = format!("{{\"keys\":[{}]}}", rsa.public_key().to_jwk());
    let rings = KeyRings::new([&KeySource::Inline(keys)]).unwrap();
    for (algorithm, token) in by_every_algorithm().into_iter().take(6) {
        let verdict = verify(&token, &WORLD.issuers, &rings, no_host, NOW_MS);
        let (issuer, name) = (IssuerId(0), KeyName::of(Some("rsa")));
        match algorithm {
            Algorithm::RS256 => assert!(verdict.is_ok()),
            _ => {
                let expected = Rejection::WrongKey { issuer, name, fault: Fault::KeyAlgorithm };
                assert_eq!(verdict, Err(expected), "{algorithm:?}");
            }
        }
    }
}
