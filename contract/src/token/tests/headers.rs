//! Headers that ask for more than they may (RFC 8725; RFC 9068, section 4).

use super::world::*;
use crate::token::{Fault, IssuerId, KeyName, Rejection, json::NotAnObject};
use serde_json::json;

fn headed(header: &str) -> String {
    raw(header, claims(json!({})).to_string())
}

fn extended(member: &str) -> String {
    headed(&format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"ed",{member}}}"#))
}

#[test]
fn a_good_header_passes() {
    assert!(check(&good()).is_ok());
    assert!(check(&headed("{ \"alg\" : \"EdDSA\",\n\"typ\":\"at+jwt\",\"x\":{\"y\":[1]}}")).is_ok());
}

#[test]
fn extensions_are_refused_even_when_they_are_empty_or_known() {
    for member in [
        r#""crit":["b64"],"b64":true"#,
        r#""crit":["exp"],"exp":1"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""crit":"b64""#,
        r#""b64":false"#,
        r#""b64":"true""#,
        r#""b64":null"#,
    ] {
        assert_eq!(fault(&extended(member)), Some(Fault::Critical), "{member}");
    }
    assert!(check(&extended(r#""b64":true"#)).is_ok());
}

#[test]
fn an_embedded_key_is_refused() {
    let key = WORLD.other_ed.public_key().to_jwk();
    let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","jwk":{key}}}"#);
    let input = format!("{}.{}", b64(header), b64(claims(json!({})).to_string()));
    let token = sign_input(&WORLD.other_ed, &input);
    assert_eq!(fault(&token), Some(Fault::EmbeddedKey));
}

#[test]
fn pointers_to_keys_are_not_followed_and_do_not_matter() {
    for member in [
        r#""jku":"https://evil.example/jwks""#,
        r#""x5u":"https://evil.example/cert""#,
        r#""x5c":["MIIB"]"#,
        r#""x5t":"AAAA""#,
        r#""cty":"json""#,
    ] {
        assert!(check(&extended(member)).is_ok(), "{member}");
        // The same, signed by a key of whoever wrote the header.
        let token = extended(member);
        let (input, _) = token.rsplit_once('.').unwrap();
        let forged = sign_input(&WORLD.other_ed, input);
        assert_eq!(fault(&forged), Some(Fault::Signature), "{member}");
    }
    assert_eq!(fault(&extended(r#""jku":{}"#)), Some(Fault::IllTyped("jku")));
}

#[test]
fn a_header_with_a_member_twice_is_refused() {
    for header in [
        r#"{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"ed"}"#,
        r#"{"alg":"EdDSA","\u0061lg":"none","typ":"at+jwt","kid":"ed"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"ed","x":{"y":1,"y":1}}"#,
    ] {
        let expected = Fault::Header(NotAnObject::DuplicateMember);
        assert_eq!(fault(&headed(header)), Some(expected), "{header}");
    }
}

#[test]
fn a_header_that_is_no_object_is_refused() {
    for header in ["", "[]", "null", "\"alg\"", "{", "{}{}"] {
        let fault = fault(&headed(header));
        assert!(matches!(fault, Some(Fault::Header(_))), "{header} {fault:?}");
    }
}

#[test]
fn the_type_is_compared_as_a_media_type() {
    for typ in ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+jwt"] {
        let header = HEADER.replace("at+jwt", typ);
        assert!(check(&headed(&header)).is_ok(), "{typ}");
    }
    for typ in [
        "",
        "JWT",
        "jwt",
        "id_token",
        "dpop+jwt",
        "logout+jwt",
        "at+jwt ",
        "at+JWT;v=1",
        "application/",
        "application/application/at+jwt",
        "text/at+jwt",
        "at-jwt",
        "at jwt",
    ] {
        let header = HEADER.replace("at+jwt", typ);
        assert_eq!(fault(&headed(&header)), Some(Fault::TokenType), "{typ}");
    }
    let header = HEADER.replace("\"at+jwt\"", "[\"at+jwt\"]");
    assert_eq!(fault(&headed(&header)), Some(Fault::IllTyped("typ")));
}

#[test]
fn another_type_is_accepted_only_where_the_issuer_says_so() {
    let jwt = headed(&HEADER.replace("at+jwt", "JWT"));
    let none = headed(r#"{"alg":"EdDSA","kid":"ed"}"#);
    let odd = headed(&HEADER.replace("at+jwt", "Access-Token"));
    for (token, typ) in [(&jwt, "jwt"), (&none, "jwt"), (&odd, "access-token")] {
        assert_eq!(fault(token), Some(Fault::TokenType), "{typ}");
        let relaxed = check_by(token, |issuer| issuer.token_types.push(typ.to_owned()));
        assert!(relaxed.is_ok(), "{typ}");
    }
    let strict = check_by(&good(), |issuer| issuer.token_types = vec!["jwt".to_owned()]);
    assert_eq!(strict, Err(Fault::TokenType.into()));
}

#[test]
fn an_unknown_kid_asks_for_newer_keys() {
    for kid in ["ed-2", "", "ED", "ed ", "../../etc/passwd", "' or 1=1 --"] {
        let header = HEADER.replace("\"ed\"", &format!("\"{kid}\""));
        let expected = Rejection::UnknownKey { issuer: IssuerId(0), name: KeyName::of(Some(kid)) };
        assert_eq!(check(&headed(&header)), Err(expected), "{kid}");
    }
    for kid in ["null", "1", "[\"ed\"]"] {
        let header = HEADER.replace("\"ed\"", kid);
        assert_eq!(fault(&headed(&header)), Some(Fault::IllTyped("kid")), "{kid}");
    }
}

#[test]
fn without_a_kid_every_key_for_the_algorithm_is_tried() {
    let header = r#"{"alg":"EdDSA","typ":"at+jwt"}"#;
    assert!(check(&headed(header)).is_ok());
    let token = headed(header);
    let (input, _) = token.rsplit_once('.').unwrap();
    let expected = Rejection::UnknownKey { issuer: IssuerId(0), name: KeyName::of(None) };
    assert_eq!(check(&sign_input(&WORLD.other_ed, input)), Err(expected));
}
