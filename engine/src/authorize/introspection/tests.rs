//! Tests of the content of a call, and of every kind of response.

use super::{
    answer::{CODES, OK, of_opaque, of_verified, read},
    call::{Call, Carried, Endpoint, FORWARDED_BYTES_MAX},
};
use crate::{
    answer::Code,
    authorize::{
        Refusal,
        fixtures::{introspecting, principal},
        question::{RequestAttributes, Verdict},
    },
    policy::{Policy, Protocol},
    token::{Facts, Reason, TokenDigest},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

const NOW_MS: u64 = 100_000;

fn endpoint(policy: &Policy) -> Endpoint {
    let session = policy.session.as_ref().expect("a session service");
    let Protocol::Introspection(introspection) = &session.protocol else { panic!("another protocol") };
    let mut endpoint = Endpoint::new(session, introspection);
    endpoint.authorization = Some("Basic Zm9v".into());
    endpoint
}

fn call(rule: usize, token: &str, client_address: &str, trace: [Option<&[u8]>; 2]) -> Call {
    let policy = introspecting();
    let [traceparent, request_id] = trace;
    let carried = Carried::new(token, [("traceparent", traceparent), ("x-request-id", request_id)]);
    let attributes = RequestAttributes {
        method: "GET".into(),
        client_address: client_address.into(),
        carried: Some(carried),
        ..RequestAttributes::default()
    };
    endpoint(&policy).call(&policy.rules[rule], &attributes, true).expect("a call")
}

fn body(call: &Call) -> &str {
    std::str::from_utf8(&call.body).expect("text")
}

#[test]
fn a_call_is_a_form_that_is_posted_to_the_endpoint_by_the_filter_s_client() {
    let call = call(1, "ab+/c==", "192.0.2.1", [Some(b"00-a-b-01"), Some(b"id-1")]);
    assert_eq!((call.cluster.as_str(), call.timeout), ("id", Duration::from_millis(200)));
    let headers: Vec<(&str, &str)> = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(
        headers,
        [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "id.example"),
            (":path", "/introspect"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
            ("user-agent", concat!("portcullis/", env!("CARGO_PKG_VERSION"))),
            ("authorization", "Basic Zm9v"),
            ("traceparent", "00-a-b-01"),
            ("x-request-id", "id-1"),
        ]
    );
    assert_eq!(
        body(&call),
        "token=ab%2B%2Fc%3D%3D&token_type_hint=access_token&portcullis=1&portcullis_verified=true&route=both&method=GET&client_address=192.0.2.1"
    );
}

#[test]
fn a_route_s_limit_travels_with_the_question() {
    let call = call(5, "t", "", [None, None]);
    assert_eq!(
        body(&call),
        "token=t&token_type_hint=access_token&portcullis=1&portcullis_verified=true&route=a+%26+b&method=GET\
         &portcullis_max_age_ms=900000"
    );
}

#[test]
fn a_trace_header_that_could_harm_is_left_out() {
    let long = [b'a'; FORWARDED_BYTES_MAX + 1];
    for value in [&b""[..], b"a\r\nb: c", b"a b", b"\xff", &long] {
        let call = call(1, "t", "", [Some(value), Some(b"id")]);
        assert_eq!(call.headers.last(), Some(&("x-request-id", "id".to_owned())), "{value:?}");
        assert!(!call.headers.iter().any(|(name, _)| *name == "traceparent"));
    }
}

#[test]
fn neither_token_nor_credential_is_written_where_things_are_logged() {
    let call = call(1, "s3cret", "", [None, None]);
    let carried = Carried::new("s3cret", []);
    let written = format!("{call:?} {carried:?}");
    assert!(!written.contains("s3cret") && !written.contains("Zm9v"), "{written}");
}

/// The verdict about a verified token of alice's, by the client `app`, with `read` and `write`.
fn verified(status: u32, body: &str) -> Option<Verdict> {
    let policy = introspecting();
    let token = principal(&policy, &["read", "write"]);
    of_verified(&read(status, body.as_bytes())?, &token, &policy.rules[1], &policy, NOW_MS)
}

fn opaque(status: u32, body: &str) -> Option<Result<Facts, Refusal>> {
    let answered = read(status, body.as_bytes())?;
    Some(of_opaque(answered, TokenDigest::of("t"), &introspecting(), NOW_MS).map(|(_, facts)| facts))
}

#[test]
fn whatever_is_not_a_200_with_a_well_formed_body_is_no_verdict() {
    let good = r#"{"active":true}"#;
    for status in [0, 100, 199, 201, 204, 206, 301, 400, 401, 403, 404, 429, 500, 502, 503, 504] {
        assert_eq!(verified(status, good), None, "{status}");
        assert_eq!(verified(status, r#"{"active":false}"#), None, "{status}");
        assert!(opaque(status, good).is_none(), "{status}");
    }
    let large = format!("{{\"active\":false{}}}", " ".repeat(64 * 1024));
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "active",
        r#"{"active":"true"}"#,
        r#"{"active":1}"#,
        r#"{"active":tru"#,
        r#"{"active":false,"active":true}"#,
        "upstream connect error or disconnect/reset before headers",
        &large,
    ] {
        assert_eq!(verified(200, body), None, "{body:.40}");
        assert!(opaque(200, body).is_none(), "{body:.40}");
    }
}

#[test]
fn an_ill_typed_member_about_a_verified_token_is_no_verdict() {
    for body in [r#"{"active":true,"scope":1}"#, r#"{"active":true,"sub":1}"#, r#"{"active":true,"exp":"x"}"#] {
        assert_eq!(verified(200, body), None, "{body}");
    }
}

#[test]
fn every_answer_about_a_verified_token_is_its_verdict() {
    let narrowed = |scopes: &[&str]| Verdict::Active(Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()));
    for (body, verdict) in [
        (r#"{"active":true}"#, Verdict::Active(None)),
        (r#"{"active":true,"scope":"write read x"}"#, Verdict::Active(None)),
        (r#"{"active":true,"scope":"read x"}"#, narrowed(&["read"])),
        (r#"{"active":true,"scope":""}"#, narrowed(&[])),
        (r#"{"active":true,"iss":"https://id.example","sub":"alice","client_id":"app"}"#, Verdict::Active(None)),
        (r#"{"active":true,"sub":"bob"}"#, Verdict::Ended(Reason::Claim.into())),
        (r#"{"active":true,"client_id":"other"}"#, Verdict::Ended(Reason::Claim.into())),
        (r#"{"active":true,"iss":"https://opaque.example"}"#, Verdict::Ended(Reason::Claim.into())),
        (r#"{"active":true,"exp":70}"#, Verdict::Ended(Code::TokenExpired.into())),
        (r#"{"active":true,"exp":71}"#, Verdict::Active(None)),
        (r#"{"active":false}"#, Verdict::Ended(Code::SessionRevoked.into())),
        (r#"{"active":false,"scope":7,"exp":"x"}"#, Verdict::Ended(Code::SessionRevoked.into())),
    ] {
        assert_eq!(verified(200, body), Some(verdict), "{body}");
    }
}

#[test]
fn a_reason_is_believed_if_it_is_one_that_a_session_service_may_give() {
    for code in Code::ALL {
        let body = json!({"active": false, "portcullis_code": code.name()}).to_string();
        let (of_verified, of_opaque) = match code {
            Code::InvalidToken => (Reason::Undated.into(), Reason::Issuer.into()),
            code if CODES.contains(&code) => (code.into(), code.into()),
            _ => (Refusal::from(Code::SessionRevoked), Refusal::from(Reason::Issuer)),
        };
        assert_eq!(verified(200, &body), Some(Verdict::Ended(of_verified)), "{body}");
        assert_eq!(opaque(200, &body), Some(Err(of_opaque)), "{body}");
    }
    for odd in [json!(""), json!("x"), json!(1), json!(null), json!(["session_unknown"])] {
        let body = json!({"active": false, "portcullis_code": odd}).to_string();
        assert_eq!(verified(200, &body), Some(Verdict::Ended(Code::SessionRevoked.into())), "{body}");
    }
    let contradiction = json!({"active": true, "portcullis_code": "session_idle_timeout"}).to_string();
    assert_eq!(verified(200, &contradiction), Some(Verdict::Ended(Code::SessionIdleTimeout.into())));
}

#[test]
fn a_verified_token_is_refused_if_the_endpoint_says_that_it_is_bound_to_a_key() {
    let bound = json!({"active": true, "cnf": {"jkt": "x"}}).to_string();
    assert_eq!(verified(200, &bound), Some(Verdict::Ended(Reason::Bound.into())));
}

#[test]
fn an_answer_about_an_opaque_token_is_its_facts_or_a_refusal() {
    let answer = |changes: Value| {
        let mut answer = json!({
            "active": true, "iss": "https://opaque.example", "aud": "api", "exp": 200, "sub": "alice", "client_id": "app",
            "scope": "write read",
        });
        answer.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        opaque(200, &answer.to_string())
    };
    let facts = answer(json!({})).expect("an answer").expect("facts");
    assert_eq!((facts.scopes.as_slice(), facts.issued_at_ms), (&["read".to_owned(), "write".to_owned()][..], NOW_MS));
    for (changes, refusal) in [
        (json!({"iss": "https://id.example"}), Reason::Issuer.into()),
        (json!({"aud": "others"}), Reason::Audience.into()),
        (json!({"exp": 70}), Code::TokenExpired.into()),
        (json!({"exp": 70, "aud": "others"}), Reason::Audience.into()),
        (json!({"cnf": {"jkt": "x"}}), Reason::Bound.into()),
        (json!({"active": false}), Reason::Issuer.into()),
    ] {
        assert_eq!(answer(changes.clone()), Some(Err(refusal)), "{changes}");
    }
}

proptest! {
    #[test]
    fn no_answer_makes_it_fall_and_only_a_200_says_anything(status: u32, body: Vec<u8>) {
        let answered = read(status, &body);
        prop_assert!(status == OK || answered.is_none());
    }

    #[test]
    fn no_json_makes_it_fall(members: Vec<(String, String)>, active: bool) {
        let mut body: serde_json::Map<String, Value> = members.into_iter().map(|(name, value)| (name, value.into())).collect();
        body.insert("active".into(), active.into());
        let body = Value::Object(body).to_string();
        let _ = verified(OK, &body);
        let _ = opaque(OK, &body);
    }
}
