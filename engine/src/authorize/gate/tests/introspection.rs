//! Tests of a worker with a simulated introspection endpoint as its session service.

use super::*;
use crate::authorize::fixtures::introspecting;

fn bench() -> Bench {
    let gate = Gate::new(introspecting(), |_| None, 1).unwrap_or_else(|(_, error)| panic!("{error}"));
    let mut bench = Bench { gate, key: ES256KeyPair::generate().with_key_id("k1") };
    bench.gate.authorize_calls(Some("Basic eDp5".into()));
    assert_eq!(bench.gate.fetches(at(NOW_MS).instant).len(), 1, "an opaque issuer has no keys");
    let key_set = bench.key_set();
    assert!(bench.gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), at(NOW_MS)).0.is_ok());
    bench
}

impl Bench {
    /// The one call that is to be made now, and its form.
    fn call(&mut self) -> (CallKey, String) {
        let mut calls = self.gate.take_calls();
        let (key, call) = calls.pop().expect("a call");
        assert!(calls.is_empty());
        assert!(call.headers.contains(&("authorization", "Basic eDp5".to_owned())));
        (key, String::from_utf8(call.body).expect("text"))
    }

    /// What becomes of a request when the endpoint answers so.
    fn decided(&mut self, path: &str, token: &str, answer: Option<(u32, &str)>) -> &'static str {
        assert_eq!(code(&self.request(1, path, Some(token), NOW_MS)), "wait", "{path}");
        let (key, _) = self.call();
        let answer = answer.map(|(status, body)| (status, body.as_bytes()));
        let (context, step) = self.gate.answered(key, answer, at(NOW_MS)).expect("a step");
        assert_eq!((context, self.gate.is_released(1)), (1, matches!(step, Step::Release(_))));
        self.gate.gone(1);
        code(&step)
    }
}

fn opaque(scope: &str) -> String {
    let exp = NOW_MS / 1_000 + 300;
    format!(r#"{{"active":true,"aud":"api","exp":{exp},"sub":"alice","client_id":"app","scope":"{scope}"}}"#)
}

const ACTIVE: Option<(u32, &str)> = Some((200, r#"{"active":true}"#));
const INACTIVE: Option<(u32, &str)> = Some((200, r#"{"active":false}"#));

#[test]
fn a_verified_token_is_asked_about_on_each_request_and_no_answer_serves_two() {
    let mut bench = bench();
    let token = bench.token("read write");
    assert_eq!(bench.decided("/both", &token, ACTIVE), "released");
    assert_eq!(bench.decided("/both", &token, INACTIVE), "session_revoked");
    assert_eq!(bench.decided("/both", &token, ACTIVE), "released");
    assert_eq!(bench.decided("/both", &token, Some((200, r#"{"active":true,"scope":"read"}"#))), "insufficient_scope");
    assert_eq!(bench.decided("/both", &token, None), "session_unavailable");
}

#[test]
fn the_call_carries_the_token_the_route_and_the_client_s_address() {
    let mut bench = bench();
    let token = bench.token("read write");
    bench.request(1, "/both", Some(&token), NOW_MS);
    let (_, form) = bench.call();
    let expected = format!(
        "token={token}&token_type_hint=access_token&portcullis=1&portcullis_verified=true&route=both&method=GET&client_address=192.0.2.1"
    );
    assert_eq!(form, expected);
    assert!(bench.gate.take_calls().is_empty(), "once");
}

#[test]
fn nobody_is_called_for_what_the_filter_can_refuse_itself() {
    let mut bench = bench();
    let (read, mut forged) = (bench.token("read"), bench.token("read write"));
    forged.replace_range(forged.len() - 8..forged.len() - 4, "AAAA");
    for (path, token, expected) in [
        ("/open", None, "released"),
        ("/nowhere", Some("opaque"), "no_route"),
        ("/both", None, "no_credentials"),
        ("/both", Some(read.as_str()), "insufficient_scope"),
        ("/both", Some(forged.as_str()), "invalid_token"),
    ] {
        assert_eq!(code(&bench.request(1, path, token, NOW_MS)), expected, "{path}");
        bench.gate.gone(1);
    }
    assert!(
        bench.gate.take_calls().is_empty() && bench.gate.act(at(NOW_MS).instant).is_none() && !bench.gate.is_busy()
    );
}

#[test]
fn an_opaque_token_is_what_the_endpoint_says_and_meets_the_rule_or_not() {
    let mut bench = bench();
    let (both, read) = (opaque("read write"), opaque("read"));
    assert_eq!(bench.decided("/both", "2YotnFZFEjr1zCsicMWpAA", Some((200, &both))), "released");
    assert_eq!(bench.decided("/both", "2YotnFZFEjr1zCsicMWpAA", Some((200, &read))), "insufficient_scope");
    assert_eq!(bench.decided("/read", "2YotnFZFEjr1zCsicMWpAA", Some((200, &read))), "released");
    assert_eq!(bench.decided("/both", "a.b.c", INACTIVE), "invalid_token");
    assert_eq!(bench.decided("/both", "x", ACTIVE), "invalid_token", "an answer that says nothing of the token");
    assert_eq!(bench.decided("/both", "x", Some((503, ""))), "session_unavailable");
}

#[test]
fn an_answer_in_the_name_of_an_issuer_whose_tokens_are_verified_is_refused() {
    let mut bench = bench();
    let answer = opaque("read write").replacen('{', r#"{"iss":"https://id.example","#, 1);
    assert_eq!(bench.decided("/both", "x", Some((200, &answer))), "invalid_token");
}

#[test]
fn the_upstream_learns_of_an_opaque_token_what_it_learns_of_any() {
    let mut bench = bench();
    bench.request(1, "/read", Some("x"), NOW_MS);
    let (key, _) = bench.call();
    let answer = opaque("read");
    let Some((_, Step::Release(permit))) = bench.gate.answered(key, Some((200, answer.as_bytes())), at(NOW_MS)) else {
        panic!("not released")
    };
    let mut headers = crate::authorize::identity::headers(&permit, bench.gate.policy());
    let subject = headers.find(|(name, _)| *name == "x-portcullis-subject");
    assert_eq!(subject, Some(("x-portcullis-subject", "alice".into())));
}

#[test]
fn a_call_that_is_not_answered_in_time_is_an_outage_and_a_late_answer_nothing() {
    let mut bench = bench();
    bench.request(1, "/both", Some("x"), NOW_MS);
    let (key, _) = bench.call();
    assert!(bench.gate.is_busy() && bench.gate.tick(at(NOW_MS + 199)).is_empty());
    let due = bench.gate.tick(at(NOW_MS + 200));
    assert_eq!(
        due.iter().map(|(context, step)| (*context, code(step))).collect::<Vec<_>>(),
        [(1, "session_unavailable")]
    );
    let answer = opaque("read write");
    assert!(bench.gate.answered(key, Some((200, answer.as_bytes())), at(NOW_MS + 201)).is_none());
    assert!(!bench.gate.is_released(1) && !bench.gate.is_busy());
}

#[test]
fn an_answer_for_a_request_that_has_gone_releases_nobody() {
    let mut bench = bench();
    bench.request(1, "/both", Some("x"), NOW_MS);
    let (key, _) = bench.call();
    bench.gate.gone(1);
    let answer = opaque("read write");
    assert!(bench.gate.answered(key, Some((200, answer.as_bytes())), at(NOW_MS)).is_none());
    assert!(!bench.gate.is_released(1));
}

#[test]
fn an_outage_lets_pass_what_its_policy_says_and_no_opaque_token_that_was_never_seen() {
    let mut bench = bench();
    let (jwt, good) = (bench.token("read"), opaque("read"));
    assert_eq!(bench.decided("/read", &jwt, None), "released", "verified, and only read");
    assert_eq!(bench.decided("/read", "x", None), "session_unavailable");
    assert_eq!(bench.decided("/grace", "x", None), "session_unavailable");
    assert_eq!(bench.decided("/grace", "x", Some((200, &good))), "released");
    assert_eq!(bench.decided("/grace", "x", None), "released", "grace");
    assert_eq!(bench.decided("/read", "x", None), "released", "read_only");
    assert_eq!(bench.decided("/both", "x", None), "session_unavailable");
    assert_eq!(bench.decided("/grace", "x", INACTIVE), "invalid_token");
    assert_eq!(bench.decided("/grace", "x", None), "session_unavailable");
    assert_eq!(bench.decided("/read", "x", None), "session_unavailable");
}
