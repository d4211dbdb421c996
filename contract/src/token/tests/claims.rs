//! What is required of claims, and what is read out of them.

use super::world::*;
use crate::KeyKind;
use crate::token::{Fault, Rejection, SessionId, SessionKey, TEXT_BYTES_MAX, TokenDigest};
use serde_json::{Value, json};

#[test]
fn the_facts_of_a_token_are_read() {
    let token = good();
    let facts = check(&token).unwrap().facts;
    assert_eq!(facts.issuer, ISSUER);
    assert_eq!(facts.session_key, SessionKey::Claim("s-1".to_owned()));
    assert_eq!(facts.session_id, SessionId::of(KeyKind::Claim, ISSUER, "s-1", "web").to_string());
    assert_eq!(facts.subject.as_deref(), Some("alice"));
    assert_eq!(facts.client_id.as_deref(), Some("web"));
    assert_eq!(facts.scopes, ["orders:read", "orders:write"]);
    assert_eq!(facts.issued_at_ms, NOW_MS - 10_000);
    assert_eq!(facts.expires_at_ms, NOW_MS + 300_000);
    assert_eq!(facts.dies_at_ms, NOW_MS + 330_000);
    assert_eq!(facts.authenticated_at_ms, Some(NOW_MS - 60_000));
    assert_eq!(facts.acr.as_deref(), Some("aal2"));
    assert_eq!(facts.jti.as_deref(), Some("t-1"));
    assert_eq!(facts.grant, "");
    assert_eq!(facts.digest, TokenDigest::of(&token));
}

#[test]
fn one_of_the_audiences_is_enough() {
    for aud in [
        json!("orders-api"),
        json!("orders-api-2"),
        json!(["orders-api"]),
        json!(["other", "orders-api-2"]),
        json!(["orders-api", "orders-api"]),
    ] {
        assert!(check(&with(json!({"aud": aud}))).is_ok(), "{aud}");
    }
    for aud in [json!("other"), json!(""), json!([]), json!(["other"]), json!("Orders-API"), json!("orders-api ")] {
        assert_eq!(fault(&with(json!({"aud": aud}))), Some(Fault::Audience), "{aud}");
    }
    for aud in [json!(1), json!(true), json!({"orders-api": 1}), json!(["orders-api", 1]), json!([["orders-api"]])] {
        assert_eq!(fault(&with(json!({"aud": aud}))), Some(Fault::IllTyped("aud")), "{aud}");
    }
    assert_eq!(fault(&with(json!({"aud": null}))), Some(Fault::Missing("aud")));
}

#[test]
fn a_token_expires_on_the_millisecond() {
    let token = good();
    let dies_at_ms = NOW_MS + 300_000 + SKEW * 1_000;
    assert!(check_at(&token, dies_at_ms - 1).is_ok());
    assert_eq!(check_at(&token, dies_at_ms), Err(Rejection::Expired));
    assert_eq!(check_at(&token, u64::MAX), Err(Rejection::Expired));
}

#[test]
fn without_skew_a_token_is_expired_when_exp_is_now() {
    let strict =
        |exp: Value| check_by(&with(json!({"exp": exp})), |issuer| issuer.clock_skew = std::time::Duration::ZERO);
    assert_eq!(strict(json!(NOW)), Err(Rejection::Expired));
    assert!(strict(json!(NOW + 1)).is_ok());
    assert!(strict(json!(NOW as f64 + 0.5)).is_ok());
    assert_eq!(strict(json!(NOW as f64 - 0.5)), Err(Rejection::Expired));
}

#[test]
fn no_date_but_exp_may_lie_in_the_future_beyond_the_skew() {
    for name in ["nbf", "iat", "auth_time"] {
        for (date, ok) in [
            (json!(NOW + SKEW), true),
            (json!((NOW + SKEW) as f64 + 0.001), false),
            (json!(NOW + SKEW + 1), false),
            (json!(NOW as f64 - 0.25), true),
        ] {
            let fault = fault(&with(json!({name: date})));
            let expected = (!ok).then_some(Fault::NotYetValid(name));
            assert_eq!(fault, expected, "{name} {date}");
        }
    }
}

#[test]
fn exp_and_iat_are_required_and_dates_are_numbers() {
    for name in ["exp", "iat"] {
        assert_eq!(fault(&with(json!({name: null}))), Some(Fault::Missing(name)));
    }
    for name in ["exp", "iat", "nbf", "auth_time"] {
        for date in [json!("1"), json!(-1), json!(1e300), json!(NOW_MS), json!(true), json!([1])] {
            let fault = fault(&with(json!({name: date})));
            assert_eq!(fault, Some(Fault::IllTyped(name)), "{date}");
        }
    }
    let absent = check(&with(json!({"auth_time": null}))).unwrap();
    assert_eq!(absent.facts.authenticated_at_ms, None);
}

#[test]
fn a_subject_or_a_client_is_required() {
    assert!(check(&with(json!({"sub": null}))).is_ok());
    assert!(check(&with(json!({"client_id": null}))).is_ok());
    let neither = json!({"sub": null, "client_id": null});
    assert_eq!(fault(&with(neither)), Some(Fault::Missing("sub")));
    let empty = json!({"sub": "", "client_id": ""});
    assert_eq!(fault(&with(empty)), Some(Fault::Missing("sub")));
    let azp = check(&with(json!({"client_id": null, "azp": "spa"}))).unwrap();
    assert_eq!(azp.facts.client_id.as_deref(), Some("spa"));
    let both = check(&with(json!({"azp": "spa"}))).unwrap();
    assert_eq!(both.facts.client_id.as_deref(), Some("web"));
}

#[test]
fn texts_can_be_put_into_headers_as_they_are() {
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    for (claim, label) in [
        ("sub", "sub"),
        ("client_id", "client_id"),
        ("acr", "acr"),
        ("jti", "jti"),
        ("sid", "session claim"),
        ("gty", "gty"),
    ] {
        for text in ["a\r\nx-admin: 1", "a\0", "a\tb", "\u{7f}", "\u{85}", " a", "a ", "\u{a0}a", &long] {
            let fault = fault(&with(json!({claim: text})));
            assert_eq!(fault, Some(Fault::IllTyped(label)), "{claim} {text:?}");
        }
        for text in ["a", "a b", "Jürgen", "auth0|5f7c", &long[1..]] {
            assert!(check(&with(json!({claim: text}))).is_ok(), "{claim} {text:?}");
        }
    }
    for nonce in [json!(1), json!(["a"]), json!({}), json!("a\n")] {
        assert!(check(&with(json!({"nonce": nonce}))).is_ok(), "nothing asks about it: {nonce}");
    }
    for claim in ["sub", "client_id", "acr", "jti"] {
        for value in [json!(1), json!(true), json!(["a"]), json!({})] {
            let fault = fault(&with(json!({claim: value})));
            assert_eq!(fault, Some(Fault::IllTyped(claim)), "{value}");
        }
    }
}

#[test]
fn a_grant_is_read_wherever_servers_write_it() {
    for (changes, grant) in [
        (json!({}), ""),
        (json!({"sub": "web"}), "client_credentials"),
        (json!({"gty": "client-credentials"}), "client_credentials"),
        (json!({"gty": "client_credentials"}), "client_credentials"),
        (json!({"grant_type": "client_credentials"}), "client_credentials"),
        (json!({"gty": "password", "grant_type": "client_credentials"}), "client_credentials"),
        (json!({"gty": "password", "grant_type": "other"}), "password"),
        (json!({"grant_type": "authorization_code"}), "authorization_code"),
        (json!({"gty": ["password"]}), ""),
        (json!({"client_id": null, "azp": "alice"}), "client_credentials"),
    ] {
        let facts = check(&with(changes.clone())).unwrap().facts;
        assert_eq!(facts.grant, grant, "{changes}");
    }
}

#[test]
fn a_session_claim_names_the_session_before_all_else() {
    let key = |changes: Value| {
        let token = with(changes);
        let verified = check_by(&token, |issuer| {
            issuer.claim_names.session = vec!["session_state".to_owned(), "sid".to_owned()];
        });
        verified.map(|verified| verified.facts.session_key)
    };
    let claim = |key: &str| Ok(SessionKey::Claim(key.to_owned()));
    assert_eq!(key(json!({})), claim("s-1"));
    assert_eq!(key(json!({"session_state": "s-2"})), claim("s-2"));
    assert_eq!(key(json!({"session_state": ""})), claim("s-1"));
    assert_eq!(key(json!({"sub": "web"})), claim("s-1"));
    for ill in [json!(1), json!(["s"]), json!("a\n")] {
        let fault = Err(Fault::IllTyped("session claim").into());
        assert_eq!(key(json!({"session_state": ill})), fault);
    }
}

#[test]
fn a_machine_client_is_one_session() {
    let key = |changes: Value| check(&with(changes)).unwrap().facts.session_key;
    let web = SessionKey::Machine("web".to_owned());
    assert_eq!(key(json!({"sid": null, "sub": "web"})), web);
    assert_eq!(key(json!({"sid": null, "gty": "client-credentials"})), web);
    let without_client = key(json!({"sid": null, "client_id": null, "gty": "client-credentials"}));
    assert!(matches!(without_client, SessionKey::Login(_)));
}

#[test]
fn a_token_without_subject_needs_a_session_claim_or_is_a_machines() {
    let read = |changes: Value| check(&with(changes)).map(|verified| verified.facts.session_key);
    assert_eq!(read(json!({"sub": null, "sid": null})), Err(Fault::Missing("sub").into()));
    assert_eq!(read(json!({"sub": null})), Ok(SessionKey::Claim("s-1".to_owned())));
    let machine = json!({"sub": null, "sid": null, "gty": "client-credentials"});
    assert_eq!(read(machine), Ok(SessionKey::Machine("web".to_owned())));
}

#[test]
fn a_login_survives_a_refresh_and_ends_with_another_login() {
    let key = |changes: Value| {
        let mut login = json!({"sid": null});
        let members = changes.as_object().unwrap().clone();
        login.as_object_mut().unwrap().extend(members);
        match check(&with(login)).unwrap().facts.session_key {
            SessionKey::Login(key) => key,
            other => panic!("{other:?}"),
        }
    };
    let first = key(json!({}));
    assert_eq!(first.len(), 43);
    assert_eq!(first, key(json!({"jti": "t-2", "iat": NOW, "exp": NOW + 900, "scope": "x"})));
    for other in [json!({"sub": "bob"}), json!({"client_id": "spa"}), json!({"auth_time": NOW - 61})] {
        assert_ne!(first, key(other.clone()), "{other}");
    }
}
