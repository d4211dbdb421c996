//! What is required of claims, and what is read out of them.

use super::world::*;
use crate::KeyKind;
use crate::token::{
    BoundTokens, ClaimNames, ClaimValues, Fault, Issuer, Rejection, Scalar, SessionId, SessionKey, TEXT_BYTES_MAX,
    TokenDigest,
};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

#[test]
fn the_facts_of_a_token_are_read() {
    let token = good();
    let facts = check(&token).unwrap().facts;
    assert_eq!(&*facts.issuer, ISSUER);
    assert_eq!(facts.session_key, SessionKey::Claim("s-1".to_owned()));
    assert_eq!(facts.session_id, SessionId::of(KeyKind::Claim, ISSUER, "s-1", "web"));
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
fn what_was_minted_for_an_issuer_belongs_to_the_sessions_of_that_one() {
    let by = |token: &str, minted_for: Option<&str>| {
        check_by(token, |issuer| issuer.minted_for = minted_for.map(Into::into)).map(|verified| verified.facts)
    };
    const ORIGINAL: &str = "https://original.example";
    let minted = with(json!({"orig_iss": ORIGINAL}));
    let facts = by(&minted, Some(ORIGINAL)).unwrap();
    assert_eq!((&*facts.issuer, facts.session_id), (ORIGINAL, SessionId::of(KeyKind::Claim, ORIGINAL, "s-1", "web")));
    assert_eq!(&*by(&minted, None).unwrap().issuer, ISSUER, "nobody has said that it mints");
    for other in [good(), with(json!({"orig_iss": "https://original.example/"})), with(json!({"orig_iss": [ORIGINAL]}))]
    {
        assert_eq!(by(&other, Some(ORIGINAL)), Err(Fault::OriginalIssuer.into()));
    }
    // A login that nothing names has the same digest by either token.
    let login = |changes: Value| with(json!({"sid": null, "orig_iss": ORIGINAL, "auth_time": changes["auth_time"]}));
    let facts = by(&login(json!({"auth_time": NOW - 60})), Some(ORIGINAL)).unwrap();
    let digest = facts.session_key.as_str().to_owned();
    assert_eq!(facts.session_id, SessionId::of(KeyKind::Login, ORIGINAL, &digest, "web"));
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
    assert_eq!(fault(&with_null("aud")), Some(Fault::Missing("aud")));
}

#[test]
fn without_audiences_the_client_decides_and_aud_is_only_well_formed() {
    let by = |token: &str, clients: &[&str]| {
        check_by(token, |issuer| {
            issuer.audiences.clear();
            issuer.clients = clients.iter().map(|client| (*client).to_owned()).collect();
        })
        .map(drop)
    };
    for token in [with(json!({"aud": null})), with_null("aud"), with(json!({"aud": []})), with(json!({"aud": "x"}))] {
        assert_eq!(by(&token, &["cli", "web"]), Ok(()));
        assert_eq!(by(&token, &["cli", "Web", "we"]), Err(Fault::Client.into()));
        assert!(by(&token, &[]).is_err(), "neither is asked about");
    }
    let without_client = with(json!({"client_id": null}));
    assert_eq!(by(&without_client, &["web"]), Err(Fault::Client.into()));
    for aud in [json!(1), json!({"a": 1}), json!(["x", 1])] {
        assert_eq!(by(&with(json!({"aud": aud})), &["web"]), Err(Fault::IllTyped("aud").into()), "{aud}");
    }
}

#[test]
fn both_audience_and_client_are_asked_about_where_both_are_listed() {
    let by = |changes: Value| check_by(&with(changes), |issuer| issuer.clients = vec!["web".to_owned()]).map(drop);
    assert_eq!(by(json!({})), Ok(()));
    assert_eq!(by(json!({"client_id": "cli"})), Err(Fault::Client.into()));
    assert_eq!(by(json!({"aud": "x"})), Err(Fault::Audience.into()));
}

#[test]
fn every_claim_that_the_issuer_demands_has_one_of_its_values() {
    let demands = |issuer: &mut Issuer| {
        issuer.claims = vec![values("token_use", &[json!("access")]), values("ver", &[json!("1.0"), json!(2)])];
    };
    for (changes, ok) in [
        (json!({"token_use": "access", "ver": "1.0"}), true),
        (json!({"token_use": "access", "ver": 2.0}), true),
        (json!({"token_use": "access"}), false),
        (json!({"ver": 2}), false),
        (json!({"token_use": "id", "ver": 2}), false),
        (json!({"token_use": ["access"], "ver": 2}), false),
        (json!({"token_use": "access", "ver": "2"}), false),
        (json!({"token_use": "access", "ver": {"2": 2}}), false),
    ] {
        let judged = check_by(&with(changes.clone()), demands).map(drop);
        assert_eq!(judged, if ok { Ok(()) } else { Err(Fault::Claim.into()) }, "{changes}");
    }
    let expired = with(json!({"exp": 1, "token_use": "id", "ver": 2}));
    assert_eq!(
        check_by(&expired, demands).map(drop),
        Err(Fault::Claim.into()),
        "only a valid token is said to be expired"
    );
}

#[test]
fn a_bound_token_is_refused_unless_the_issuer_says_bearer() {
    for cnf in [
        json!({"jkt": "0ZcOCORZNYy"}),
        json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
        json!({}),
        json!(1),
    ] {
        let token = with(json!({"cnf": cnf}));
        assert_eq!(fault(&token), Some(Fault::Bound), "{cnf}");
        assert!(check_by(&token, |issuer| issuer.bound_tokens = BoundTokens::Bearer).is_ok(), "{cnf}");
    }
    assert_eq!(fault(&with_null("cnf")), Some(Fault::Bound));
}

#[test]
fn a_bound_token_says_what_it_is_bound_to_where_the_issuer_says_verify() {
    let verify = |issuer: &mut Issuer| issuer.bound_tokens = BoundTokens::Verify;
    let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    let bound = check_by(&with(json!({"cnf": {"jkt": jkt, "x5t#S256": jkt}})), verify).unwrap();
    let binding = bound.facts.binding.unwrap();
    assert!(binding.key.is_some() && binding.certificate.is_some());
    assert_eq!(check_by(&good(), verify).map(|verified| verified.facts.binding), Ok(None));
    for cnf in
        [json!(null), json!({}), json!({"jkt": "0ZcOCORZNYy"}), json!({"kid": "k"}), json!({"jkt": jkt, "kid": "k"})]
    {
        let mut claims = claims(json!({}));
        claims["cnf"] = cnf.clone();
        let token = raw(HEADER, claims.to_string());
        assert_eq!(check_by(&token, verify).map(drop), Err(Fault::Confirmation.into()), "{cnf}");
    }
}

/// A good token, but for a claim that is `null`.
fn with_null(name: &str) -> String {
    let mut claims = claims(json!({}));
    claims[name] = Value::Null;
    raw(HEADER, claims.to_string())
}

fn values(claim: &str, values: &[Value]) -> ClaimValues {
    let values = values.iter().cloned().filter_map(Scalar::of).collect();
    ClaimValues { claim: claim.to_owned(), values }
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
fn exp_is_required_and_a_date_that_limits_is_a_number() {
    assert_eq!(fault(&with(json!({"exp": null}))), Some(Fault::Missing("exp")));
    for name in ["exp", "nbf"] {
        for date in ODD_DATES.iter() {
            let fault = fault(&with(json!({name: date})));
            assert_eq!(fault, Some(Fault::IllTyped(name)), "{date}");
        }
        assert_eq!(fault(&with_null(name)), Some(Fault::IllTyped(name)));
    }
}

static ODD_DATES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let texts = [json!("1"), json!("2026-03-14T18:52:01.180Z"), json!("")];
    texts.into_iter().chain([json!(-1), json!(1e300), json!(NOW_MS), json!(true), json!([1]), json!({})]).collect()
});

#[test]
fn an_unreadable_login_is_no_login_and_is_told_from_none() {
    let facts = |changes: Value| check(&with(changes)).unwrap().facts;
    for date in ODD_DATES.iter() {
        let facts = facts(json!({"auth_time": date}));
        assert_eq!((facts.authenticated_at_ms, facts.is_login_unreadable), (None, true), "{date}");
    }
    let without = facts(json!({"auth_time": null}));
    assert_eq!((without.authenticated_at_ms, without.is_login_unreadable), (None, false));
    let dated = facts(json!({}));
    assert_eq!((dated.authenticated_at_ms, dated.is_login_unreadable), (Some(NOW_MS - 60_000), false));
}

#[test]
fn a_machine_client_does_not_log_in_whatever_its_token_says() {
    for date in ODD_DATES.iter().chain([&json!(0), &json!(NOW - 60)]) {
        let machine = json!({"sid": null, "sub": "web", "client_id": "web", "auth_time": date});
        let facts = check(&with(machine)).unwrap().facts;
        assert!(matches!(facts.session_key, SessionKey::Machine(_)), "{date}");
        assert_eq!((facts.authenticated_at_ms, facts.is_login_unreadable), (None, false), "{date}");
    }
}

#[test]
fn without_iat_the_login_starts_the_session_else_nbf_else_nothing() {
    let started = |changes: Value| check(&with(changes)).map(|verified| verified.facts.issued_at_ms);
    let nbf = NOW - 20;
    assert_eq!(started(json!({"nbf": nbf})), Ok(NOW_MS - 10_000), "iat");
    for iat in ODD_DATES.iter().chain([&Value::Null]) {
        assert_eq!(started(json!({"iat": iat, "nbf": nbf})), Ok(NOW_MS - 60_000), "auth_time: {iat}");
        assert_eq!(started(json!({"iat": iat, "auth_time": null, "nbf": nbf})), Ok(nbf * 1_000), "nbf: {iat}");
        assert_eq!(started(json!({"iat": iat, "auth_time": "x", "nbf": nbf})), Ok(nbf * 1_000), "nbf: {iat}");
        assert_eq!(started(json!({"iat": iat, "auth_time": null})), Err(Fault::Undated.into()), "{iat}");
    }
    let ahead = json!({"iat": null, "auth_time": NOW + SKEW + 1});
    assert_eq!(started(ahead), Err(Fault::NotYetValid("auth_time").into()));
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
    for claim in ["sub", "client_id", "acr", "jti", "sid", "gty"] {
        for text in ["a\r\nx-admin: 1", "a\0", "a\tb", "\u{7f}", "\u{85}", " a", "a ", "\u{a0}a", &long] {
            let token = with(json!({claim: text}));
            if claim == "sub" {
                assert_eq!(fault(&token), Some(Fault::IllTyped("sub")), "{text:?}");
                continue;
            }
            let facts = check(&token).unwrap().facts;
            let read = [&facts.client_id, &facts.acr, &facts.jti].map(Option::is_some);
            let absent = ["client_id", "acr", "jti"].map(|name| name != claim);
            assert_eq!(read, absent, "{claim} {text:?}");
            assert_eq!(facts.grant, "");
            assert_eq!(matches!(facts.session_key, SessionKey::Claim(_)), claim != "sid", "{claim} {text:?}");
        }
        for text in ["a", "a b", "Jürgen", "auth0|5f7c", &long[1..]] {
            assert!(check(&with(json!({claim: text}))).is_ok(), "{claim} {text:?}");
        }
    }
}

#[test]
fn a_claim_that_is_not_asked_about_voids_no_token() {
    let names =
        ["client_id", "azp", "acr", "jti", "nonce", "gty", "grant_type", "sid", "scope", "scp", "auth_time", "x"];
    for value in [json!(1), json!(1.5), json!(true), json!(["a"]), json!({"a": 1}), json!("a\n"), json!("")] {
        for claim in names {
            assert!(check(&with(json!({claim: value}))).is_ok(), "{claim} {value}");
        }
        // `auth_time` dates the login where `sid` cannot be read.
        let mut all: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), value.clone())).collect();
        all.remove("auth_time");
        assert!(check(&with(Value::Object(all))).is_ok(), "{value}");
    }
    for claim in names {
        assert!(check(&with_null(claim)).is_ok(), "{claim}");
    }
}

#[test]
fn an_unreadable_subject_is_refused_unless_the_token_is_a_machines() {
    for sub in [json!(1), json!(true), json!(["a"]), json!({}), json!(" a")] {
        assert_eq!(fault(&with(json!({"sub": sub}))), Some(Fault::IllTyped("sub")), "{sub}");
        let machine = check(&with(json!({"sub": sub, "gty": "client-credentials", "sid": null}))).unwrap();
        assert_eq!(machine.facts.session_key, SessionKey::Machine("web".to_owned()), "{sub}");
        assert_eq!(machine.facts.subject, None, "{sub}");
    }
}

#[test]
fn the_first_of_the_client_claims_that_can_be_read_names_the_client() {
    let client = |changes: Value, names: &[&str]| {
        let token = with(changes);
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let verified = check_by(&token, |issuer| issuer.claim_names.client = names).unwrap();
        verified.facts.client_id.unwrap_or_default()
    };
    let usual = ClaimNames::CLIENT;
    assert_eq!(client(json!({"azp": "spa"}), &usual), "web");
    assert_eq!(client(json!({"client_id": null, "azp": "spa"}), &usual), "spa");
    assert_eq!(client(json!({"client_id": 7, "azp": "spa"}), &usual), "spa");
    assert_eq!(client(json!({"azp": ["spa"]}), &usual), "web");
    assert_eq!(client(json!({"cid": "okta"}), &["cid"]), "okta");
    assert_eq!(client(json!({"appid": "entra"}), &["azp", "appid"]), "entra");
    assert_eq!(client(json!({}), &["cid"]), "", "`client_id` is not asked about");
}

#[test]
fn a_listed_client_is_not_named_by_a_later_claim_because_an_earlier_one_is_unreadable() {
    let check = |changes: Value| check_by(&with(changes), |issuer| issuer.clients = vec!["web".to_owned()]).err();
    assert_eq!(check(json!({"client_id": null, "azp": "web"})), None);
    assert_eq!(check(json!({"client_id": "web", "azp": 7})), None);
    assert_eq!(check(json!({"client_id": 7, "azp": "web"})), Some(Fault::Client.into()));
}

#[test]
fn a_machine_is_known_by_the_issuers_own_marks() {
    let key = |changes: Value, machine: Vec<ClaimValues>| {
        let token = with(changes);
        let verified = check_by(&token, |issuer| issuer.claim_names.machine = machine).unwrap();
        verified.facts.session_key
    };
    let idtyp = || vec![values("idtyp", &[json!("app")])];
    let machine = SessionKey::Machine("web".to_owned());
    assert_eq!(key(json!({"sid": null, "idtyp": "app"}), idtyp()), machine);
    for changes in [json!({"idtyp": "user"}), json!({}), json!({"idtyp": ["app"]})] {
        let mut changes = changes;
        changes["sid"] = Value::Null;
        assert!(matches!(key(changes.clone(), idtyp()), SessionKey::Login(_)), "{changes}");
    }
    assert!(matches!(key(json!({"sid": null, "idtyp": "app"}), vec![]), SessionKey::Login(_)));
    let both = || vec![values("idtyp", &[json!("app")]), values("ver", &[json!(1), json!(2)])];
    assert_eq!(key(json!({"sid": null, "idtyp": "app", "ver": 2}), both()), machine);
    assert!(matches!(key(json!({"sid": null, "idtyp": "app"}), both()), SessionKey::Login(_)), "all of them");
}

#[test]
fn a_session_claim_that_cannot_be_read_leaves_a_dated_login_or_a_machine_and_nothing_weaker() {
    let key = |changes: Value| check(&with(changes)).map(|verified| verified.facts.session_key);
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    for sid in [json!(1), json!(["s"]), json!({}), json!("a\n"), json!(" s"), json!(long)] {
        assert!(matches!(key(json!({"sid": sid})), Ok(SessionKey::Login(_))), "{sid}");
        assert_eq!(key(json!({"sid": sid, "sub": "web"})), Ok(SessionKey::Machine("web".to_owned())), "{sid}");
        for auth_time in [json!(null), json!("yesterday")] {
            let undated = key(json!({"sid": sid, "auth_time": auth_time}));
            assert_eq!(undated, Err(Fault::IllTyped("session claim").into()), "{sid} {auth_time}");
        }
    }
    for sid in [json!(null), json!("")] {
        assert!(matches!(key(json!({"sid": sid, "auth_time": null})), Ok(SessionKey::Login(_))), "{sid} is no value");
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
        assert_eq!(key(json!({"session_state": ill})), claim("s-1"), "{ill}");
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
