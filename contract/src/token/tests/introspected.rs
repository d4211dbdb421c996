//! Which tokens are opaque, and what an introspection endpoint's answer makes of one.

use super::world::*;
use crate::KeyKind;
use crate::token::{
    Agreement, BoundTokens, ClaimNames, Facts, Fault, INTROSPECTION_BYTES_MAX, Introspected, Issuer, IssuerId,
    KeyRings, KeySource, Rejection, ScopeClaim, SessionId, SessionKey, TOKEN_BYTES_MAX, TokenDigest, is_opaque, verify,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const OPAQUE: &str = "https://opaque.example";

fn opaque(name: &str) -> Issuer {
    Issuer {
        algorithms: Vec::new(),
        keys: KeySource::Opaque,
        token_types: Vec::new(),
        claim_names: ClaimNames { scopes: vec![ScopeClaim::named("scope")], ..ClaimNames::default() },
        ..issuer(name, "")
    }
}

/// Two issuers of JWTs, and then these.
fn issuers(names: &[&str]) -> Vec<Issuer> {
    WORLD.issuers.iter().cloned().chain(names.iter().map(|name| opaque(name))).collect()
}

fn parse(body: &str) -> Option<Introspected> {
    Introspected::parse(body.as_bytes())
}

/// A good answer about an opaque token, with `changes`; `null` takes a member away.
fn answer(changes: Value) -> Introspected {
    let mut answer = claims(json!({"iss": OPAQUE, "token_type": "Bearer", "active": true}));
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => answer.as_object_mut().unwrap().remove(name),
            value => answer.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    parse(&answer.to_string()).unwrap()
}

fn verdict_at(changes: Value, names: &[&str], now_ms: u64) -> Result<(IssuerId, Facts), Rejection> {
    answer(changes).facts(TokenDigest::of("opaque"), &issuers(names), now_ms)
}

fn facts_at(changes: Value, names: &[&str], now_ms: u64) -> Result<Facts, Rejection> {
    verdict_at(changes, names, now_ms).map(|(_, facts)| facts)
}

fn issuer_at(changes: Value, names: &[&str]) -> Result<IssuerId, Rejection> {
    verdict_at(changes, names, NOW_MS).map(|(issuer, _)| issuer)
}

fn facts(changes: Value) -> Result<Facts, Rejection> {
    facts_at(changes, &[OPAQUE], NOW_MS)
}

#[test]
fn a_token_is_opaque_unless_it_is_a_jwt_of_an_issuer_whose_tokens_are_verified() {
    let header = json!({"alg": "EdDSA", "typ": "at+jwt"}).to_string();
    let none = format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(json!({"iss": ISSUER}).to_string()));
    let jwe = format!("{}.a.b.c.d", b64(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#));
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    // What a server that reads base64 leniently takes for the same token.
    let (head, signature) = good().rsplit_once('.').map(|(head, tail)| (head.to_owned(), tail.to_owned())).unwrap();
    let (header_part, claims_part) = head.split_once('.').unwrap();
    let padded = format!("{head}.{signature}=");
    let header_padded = format!("{header_part}==.{claims_part}.{signature}");
    let more = format!("{head}.{signature}.x");
    let table: [(&str, &str, bool); 19] = [
        ("a good JWT, padded", &padded, false),
        ("a good JWT with a padded header", &header_padded, false),
        ("a good JWT and something more", &more, false),
        ("random text", "tGzv3JOkF0XG5Qx2TlKWIA", true),
        ("text with dots", "a.b.c", true),
        ("three parts of base64url that are no JSON", &raw("x", "y"), true),
        ("five parts", &jwe, true),
        ("a JWT of a stranger", &with(json!({"iss": "https://stranger.example"})), true),
        ("a JWT in the name of the opaque issuer", &with(json!({"iss": OPAQUE})), true),
        ("a JWT without an issuer", &with(json!({"iss": null})), true),
        ("as long as can be", &long[1..], true),
        ("too long", &long, false),
        ("a good JWT", &good(), false),
        ("an expired JWT", &with(json!({"exp": 1})), false),
        ("a JWT for others", &with(json!({"aud": "x"})), false),
        ("a JWT without a signature", &none, false),
        ("a JWT with an issuer that is no text", &with(json!({"iss": [ISSUER]})), false),
        ("a JWT whose payload is no object", &raw(&header, "[]"), false),
        ("a JWT with two issuers", &raw(&header, format!(r#"{{"iss":"x","iss":"{ISSUER}"}}"#)), false),
    ];
    for (what, token, expected) in table {
        assert_eq!(is_opaque(token, &issuers(&[OPAQUE])), expected, "{what}");
        assert!(!is_opaque(token, &issuers(&[])), "{what}: nobody could be asked");
    }
}

#[test]
fn no_jwt_is_accepted_in_the_name_of_an_opaque_issuer() {
    let token = with(json!({"iss": OPAQUE}));
    let issuers = issuers(&[OPAQUE]);
    let rings = KeyRings::new(issuers.iter().map(|issuer| &issuer.keys)).unwrap();
    assert_eq!(verify(&token, &issuers, &rings, no_host, NOW_MS), Err(Fault::Issuer.into()));
    assert!(crate::token::KeyRing::new(&KeySource::Opaque).is_ok_and(|mut ring| !ring.due(u64::MAX)));
}

#[test]
fn only_an_object_with_a_boolean_active_is_an_answer() {
    for (body, active) in [
        (r#"{"active":true}"#, Some(true)),
        (r#"{"active":false}"#, Some(false)),
        (r#" {"x":[{}],"active":false} "#, Some(false)),
        ("", None),
        ("{}", None),
        ("null", None),
        ("true", None),
        ("[true]", None),
        (r#"{"active":1}"#, None),
        (r#"{"active":"true"}"#, None),
        (r#"{"active":null}"#, None),
        (r#"{"Active":true}"#, None),
        (r#"{"active":true"#, None),
        (r#"{"active":true}{}"#, None),
        (r#"{"active":false,"active":true}"#, None),
        ("<html>{\"active\":true}</html>", None),
    ] {
        assert_eq!(parse(body).map(|answer| answer.is_active()), active, "{body}");
    }
    let long = |bytes: usize| format!("{{\"active\":true{}}}", " ".repeat(bytes - 15));
    assert!(parse(&long(INTROSPECTION_BYTES_MAX)).is_some());
    assert!(parse(&long(INTROSPECTION_BYTES_MAX + 1)).is_none());
}

#[test]
fn the_facts_of_an_opaque_token_are_those_of_a_jwt_that_says_the_same() {
    let opaque = facts(json!({})).unwrap();
    let jwt = check(&good()).unwrap().facts;
    let session_id = SessionId::of(KeyKind::Claim, OPAQUE, "s-1", "web");
    assert_eq!(opaque, Facts { issuer: OPAQUE.into(), session_id, digest: TokenDigest::of("opaque"), ..jwt });
    assert_eq!(opaque.session_key, SessionKey::Claim("s-1".to_owned()));
}

#[test]
fn an_answer_is_judged_as_strictly_as_a_jwt() {
    for (changes, fault) in [
        (json!({"aud": null}), Fault::Missing("aud")),
        (json!({"aud": "others"}), Fault::Audience),
        (json!({"aud": ["orders-api", 1]}), Fault::IllTyped("aud")),
        (json!({"exp": null}), Fault::Missing("exp")),
        (json!({"exp": "soon"}), Fault::IllTyped("exp")),
        (json!({"nbf": NOW + SKEW + 1}), Fault::NotYetValid("nbf")),
        (json!({"iat": NOW + SKEW + 1}), Fault::NotYetValid("iat")),
        (json!({"auth_time": NOW + SKEW + 1}), Fault::NotYetValid("auth_time")),
        (json!({"sub": 7}), Fault::IllTyped("sub")),
        (json!({"sub": "a\r\nb"}), Fault::IllTyped("sub")),
        (json!({"sub": null, "client_id": null}), Fault::Missing("sub")),
        (json!({"client_id": [], "sub": null}), Fault::Missing("sub")),
        (json!({"cnf": {"jkt": "x"}}), Fault::Bound),
        (json!({"iss": 1}), Fault::IllTyped("iss")),
        (json!({"iss": ISSUER}), Fault::Issuer),
        (json!({"iss": "https://opaque.example/"}), Fault::Issuer),
        (json!({"token_type": "refresh_token"}), Fault::TokenType),
        (json!({"token_type": "DPoP"}), Fault::Bound),
        (json!({"token_use": "refresh_token"}), Fault::TokenType),
        (json!({"token_type": 1}), Fault::IllTyped("token_type")),
    ] {
        assert_eq!(facts(changes.clone()), Err(fault.into()), "{changes}");
    }
    for changes in [
        json!({"token_type": null}),
        json!({"token_type": "bearer"}),
        json!({"token_type": "access_token", "token_use": "access_token"}),
        json!({"scope": null, "sid": null, "acr": null, "auth_time": null, "jti": null}),
        json!({"aud": ["x", "orders-api"], "username": 1}),
        json!({"scope": 7, "client_id": [], "sid": 1, "acr": 2, "jti": 3, "iat": true}),
    ] {
        assert!(facts(changes.clone()).is_ok(), "{changes}");
    }
}

#[test]
fn an_opaque_token_expires_on_the_millisecond() {
    let dies_at_ms = NOW_MS + 300_000 + SKEW * 1_000;
    assert!(facts_at(json!({}), &[OPAQUE], dies_at_ms - 1).is_ok());
    assert_eq!(facts_at(json!({}), &[OPAQUE], dies_at_ms), Err(Rejection::Expired));
}

#[test]
fn without_iat_a_token_counts_as_issued_now() {
    for iat in [json!(null), json!("yesterday"), json!(NOW_MS)] {
        assert_eq!(facts(json!({"iat": iat})).unwrap().issued_at_ms, NOW_MS, "{iat}");
    }
}

#[test]
fn an_answer_without_audience_is_accepted_where_the_client_is_asked_about() {
    let facts = |members: &str, clients: &[&str]| {
        let body = claims(json!({"iss": OPAQUE, "aud": null, "active": true})).to_string();
        let body = body.replacen('{', &format!("{{{members}"), 1);
        let mut issuer = opaque(OPAQUE);
        issuer.audiences.clear();
        issuer.clients = clients.iter().map(|client| (*client).to_owned()).collect();
        let facts = parse(&body).unwrap().facts(TokenDigest::of("opaque"), &[issuer], NOW_MS);
        facts.map(|(_, facts)| facts.client_id)
    };
    for members in ["", r#""aud":null,"#, r#""aud":[],"#, r#""aud":"x","#, r#""aud":["x"],"#] {
        assert_eq!(facts(members, &["spa", "web"]), Ok(Some("web".to_owned())), "{members}");
        assert_eq!(facts(members, &["spa"]), Err(Fault::Client.into()), "{members}");
        assert!(facts(members, &[]).is_err(), "nothing is asked about: {members}");
    }
    assert_eq!(facts(r#""aud":7,"#, &["web"]), Err(Fault::IllTyped("aud").into()));
}

#[test]
fn an_answer_about_a_bound_token_is_refused_unless_bearer_is_said() {
    let mut issuers = issuers(&[OPAQUE]);
    issuers[2].bound_tokens = BoundTokens::Bearer;
    for changes in [json!({"cnf": {"jkt": "x"}}), json!({"token_type": "DPoP"}), json!({"cnf": 1})] {
        assert_eq!(facts(changes.clone()), Err(Fault::Bound.into()), "{changes}");
        let accepted = answer(changes.clone()).facts(TokenDigest::of("opaque"), &issuers, NOW_MS);
        assert!(accepted.is_ok(), "{changes}");
    }
}

#[test]
fn an_answer_without_issuer_is_that_of_the_one_there_is() {
    let nameless = || json!({"iss": null});
    assert_eq!(issuer_at(nameless(), &[OPAQUE]), Ok(IssuerId(2)));
    assert_eq!(issuer_at(nameless(), &[OPAQUE, "o2"]), Err(Fault::Missing("iss").into()));
    assert_eq!(issuer_at(nameless(), &[]), Err(Fault::Missing("iss").into()));
    assert_eq!(issuer_at(json!({"iss": "o2"}), &[OPAQUE, "o2"]), Ok(IssuerId(3)));
}

#[test]
fn an_answer_about_a_verified_token_may_narrow_it_and_must_not_contradict_it() {
    let token = check(&good()).unwrap().facts;
    let agree = |changes: Value| {
        let mut answer = json!({"active": true});
        answer.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        parse(&answer.to_string()).unwrap().agree(&token, &WORLD.issuers[0], NOW_MS)
    };
    let left = |scopes: &[&str]| Agreement::Agrees(Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()));
    let skewed = NOW - SKEW;
    for (changes, expected) in [
        (json!({}), Ok(Agreement::Agrees(None))),
        (json!({"scope": "orders:read orders:write"}), Ok(Agreement::Agrees(None))),
        (json!({"scope": "admin orders:write orders:read"}), Ok(Agreement::Agrees(None))),
        (json!({"scope": "orders:read admin"}), Ok(left(&["orders:read"]))),
        (json!({"scope": ["orders:write"]}), Ok(left(&["orders:write"]))),
        (json!({"scope": ""}), Ok(left(&[]))),
        (json!({"scope": "Orders:read"}), Ok(left(&[]))),
        (json!({"scope": 7}), Err(Fault::IllTyped("scope"))),
        (json!({"scope": null}), Err(Fault::IllTyped("scope"))),
        (json!({"scope": ["orders:read", "Domain Users", 7]}), Ok(left(&["orders:read"]))),
        (json!({"scope": "orders:read", "scp": "orders:write"}), Ok(left(&["orders:read"]))),
        (json!({"cnf": {"x5t#S256": "x"}}), Ok(Agreement::Bound)),
        (json!({"token_type": "DPoP"}), Ok(Agreement::Bound)),
        (json!({"token_type": "Bearer"}), Ok(Agreement::Agrees(None))),
        (json!({"iss": ISSUER, "sub": "alice", "client_id": "web"}), Ok(Agreement::Agrees(None))),
        (json!({"iss": OTHER}), Ok(Agreement::OtherToken)),
        (json!({"sub": "bob"}), Ok(Agreement::OtherToken)),
        (json!({"sub": ""}), Ok(Agreement::OtherToken)),
        (json!({"client_id": "spa"}), Ok(Agreement::OtherToken)),
        (json!({"iss": 1}), Err(Fault::IllTyped("iss"))),
        (json!({"sub": null}), Err(Fault::IllTyped("sub"))),
        (json!({"exp": NOW + 1}), Ok(Agreement::Agrees(None))),
        (json!({"exp": skewed + 1}), Ok(Agreement::Agrees(None))),
        (json!({"exp": skewed}), Ok(Agreement::Expired)),
        (json!({"exp": "never"}), Err(Fault::IllTyped("exp"))),
    ] {
        assert_eq!(agree(changes.clone()), expected, "{changes}");
    }
}

#[test]
fn scopes_of_a_claim_of_the_issuers_own_are_looked_for_there_in_the_answer_too() {
    let mut issuer = WORLD.issuers[0].clone();
    issuer.claim_names.scopes.push(ScopeClaim::parse("/realm_access/roles").unwrap());
    let token = Facts { scopes: vec!["admin".into(), "orders:read".into()], ..check(&good()).unwrap().facts };
    let agree = |answer: Value| parse(&answer.to_string()).unwrap().agree(&token, &issuer, NOW_MS).unwrap();
    let whole = json!({"active": true, "scope": "orders:read", "realm_access": {"roles": ["admin", "Domain Users"]}});
    assert_eq!(agree(whole), Agreement::Agrees(None));
    let taken = json!({"active": true, "scope": "orders:read", "realm_access": {"roles": []}});
    assert_eq!(agree(taken), Agreement::Agrees(Some(vec!["orders:read".to_owned()])));
    assert_eq!(agree(json!({"active": true})), Agreement::Agrees(None));
}

proptest! {
    #[test]
    fn no_bytes_make_it_fall(body: Vec<u8>) {
        let _ = Introspected::parse(&body);
    }

    #[test]
    fn no_members_make_it_fall(
        name in prop::sample::select(vec!["iss", "aud", "exp", "iat", "nbf", "scope", "sub", "sid", "acr", "auth_time", "token_type"]),
        value in prop_oneof![
            any::<i64>().prop_map(|n| json!(n)),
            any::<f64>().prop_map(|n| json!(n)),
            any::<String>().prop_map(|s| json!(s)),
            any::<Vec<String>>().prop_map(|s| json!(s)),
            Just(json!(null)),
            Just(json!({"a": [true]})),
        ],
    ) {
        let mut body = claims(json!({"iss": OPAQUE, "active": true}));
        body[name] = value;
        if let Some(answer) = parse(&body.to_string()) {
            let token = check(&good()).unwrap().facts;
            let _ = answer.agree(&token, &WORLD.issuers[0], NOW_MS);
            let _ = answer.facts(TokenDigest::of("x"), &issuers(&[OPAQUE]), NOW_MS);
        }
    }
}

#[test]
fn an_endpoint_need_not_name_a_subject() {
    let opaque = facts(json!({"sub": null, "sid": null})).unwrap();
    assert_eq!((opaque.subject, opaque.client_id.as_deref()), (None, Some("web")));
}
