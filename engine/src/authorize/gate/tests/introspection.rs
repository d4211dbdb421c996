//! Tests of a worker with a simulated introspection endpoint as its session service.

use super::*;
use crate::authorize::fixtures::introspecting;

fn bench() -> Bench {
    bench_of(introspecting())
}

fn bench_of(policy: Policy) -> Bench {
    let gate = Gate::new(policy, |_| None, 1).unwrap_or_else(|(_, error)| panic!("{error}"));
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
        let (context, step) = self.gate.answered(key, answer, at(NOW_MS)).remove(0);
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
fn the_call_says_which_logins_the_route_accepts_and_a_service_that_knows_better_is_believed() {
    let mut policy = introspecting();
    policy.rules[1].acr = vec!["aal2".into(), "aal3".into()];
    let mut bench = bench_of(policy);
    let weak = opaque("read write");
    let strong = weak.replacen('{', r#"{"acr":"aal2","#, 1);
    assert_eq!(code(&bench.request(1, "/both", Some("x"), NOW_MS)), "wait");
    let (key, form) = bench.call();
    assert!(form.contains("&portcullis_acr=aal2+aal3"), "{form}");
    let due = bench.gate.answered(key, Some((200, weak.as_bytes())), at(NOW_MS));
    assert_eq!(code(&due[0].1), "step_up_required");
    bench.gate.gone(1);
    assert_eq!(bench.decided("/both", "x", Some((200, &strong))), "released");
    let lowered = r#"{"active":false,"portcullis_code":"step_up_required"}"#;
    assert_eq!(bench.decided("/both", "x", Some((200, lowered))), "step_up_required");
    bench.open_by(1, "/both", "x", &strong);
    assert_eq!(bench.reviewed(NOW_MS + 20_100, Some((200, lowered))), [(1, "cut")]);
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
        // Not for the endpoint: for a fetch of keys, which may have been replaced.
        ("/both", Some(forged.as_str()), "wait"),
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
    let (_, step) = bench.gate.answered(key, Some((200, answer.as_bytes())), at(NOW_MS)).remove(0);
    let Step::Release(permit) = step else { panic!("not released") };
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
    assert!(bench.gate.answered(key, Some((200, answer.as_bytes())), at(NOW_MS + 201)).is_empty());
    assert!(!bench.gate.is_released(1) && !bench.gate.is_busy());
}

#[test]
fn an_answer_for_a_request_that_has_gone_releases_nobody() {
    let mut bench = bench();
    bench.request(1, "/both", Some("x"), NOW_MS);
    let (key, _) = bench.call();
    bench.gate.gone(1);
    let answer = opaque("read write");
    assert!(bench.gate.answered(key, Some((200, answer.as_bytes())), at(NOW_MS)).is_empty());
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

#[test]
fn a_login_of_unknown_age_is_too_old_where_the_rule_limits_it() {
    let mut bench = bench();
    let token = bench.token("read");
    let (young, old) = (NOW_MS / 1_000 - 60, NOW_MS / 1_000 - 900);
    for (answer, expected) in [
        (r#"{"active":true}"#.to_owned(), "step_up_required"),
        (format!(r#"{{"active":true,"auth_time":{young}}}"#), "released"),
        (format!(r#"{{"active":true,"auth_time":{old}}}"#), "step_up_required"),
        (r#"{"active":true,"auth_time":"x"}"#.to_owned(), "step_up_required"),
        // A Portcullis session service judges the rule's `max_age` by the start of its session.
        (r#"{"active":true,"portcullis_session":"s"}"#.to_owned(), "released"),
    ] {
        assert_eq!(bench.decided("/limited", &token, Some((200, &answer))), expected, "{answer}");
    }
    let unknown = opaque("read");
    let known = unknown.replacen('{', &format!(r#"{{"auth_time":{young},"#), 1);
    assert_eq!(bench.decided("/limited", "x", Some((200, &unknown))), "step_up_required");
    assert_eq!(bench.decided("/limited", "x", Some((200, &known))), "released");
}

impl Bench {
    /// A released request that is followed.
    fn open_by(&mut self, context: ContextId, path: &str, token: &str, answer: &str) {
        self.request(context, path, Some(token), NOW_MS);
        let (key, _) = self.call();
        let (_, step) = self.gate.answered(key, Some((200, answer.as_bytes())), at(NOW_MS)).remove(0);
        assert_eq!(code(&step), "released");
        self.gate.tick(at(NOW_MS + 50));
    }

    /// What becomes of the open requests when the endpoint is asked again and answers so.
    fn reviewed(&mut self, now_ms: u64, answer: Option<(u32, &str)>) -> Vec<(ContextId, &'static str)> {
        assert!(self.gate.tick(at(now_ms)).is_empty());
        let (key, form) = self.call();
        assert!(self.gate.awaits(key) && form.starts_with("token="), "{form}");
        let answer = answer.map(|(status, body)| (status, body.as_bytes()));
        let mut due: Vec<_> =
            self.gate.answered(key, answer, at(now_ms)).iter().map(|(context, step)| (*context, code(step))).collect();
        due.sort_unstable();
        due
    }
}

#[test]
fn open_requests_are_introspected_again_and_cut_when_their_token_is_over() {
    let mut bench = bench();
    let token = bench.token("read write");
    bench.open_by(1, "/both", &token, r#"{"active":true}"#);
    bench.open_by(2, "/both", &token, r#"{"active":true}"#);
    assert!(bench.gate.tick(at(NOW_MS + 20_000)).is_empty() && bench.gate.take_calls().is_empty());
    assert_eq!(bench.reviewed(NOW_MS + 20_100, ACTIVE), [(1, "wait"), (2, "wait")]);
    let narrowed = r#"{"active":true,"scope":"read write other"}"#;
    assert_eq!(bench.reviewed(NOW_MS + 40_100, Some((200, narrowed))), [(1, "wait"), (2, "wait")]);
    assert_eq!(bench.reviewed(NOW_MS + 60_100, INACTIVE), [(1, "cut"), (2, "cut")]);
    bench.gate.tick(at(NOW_MS + 90_000));
    assert!(bench.gate.take_calls().is_empty(), "nobody is open any more");
}

#[test]
fn an_open_request_that_loses_a_scope_is_cut_at_its_next_introspection() {
    let mut bench = bench();
    let token = bench.token("read write");
    bench.open_by(1, "/both", &token, r#"{"active":true}"#);
    let narrowed = r#"{"active":true,"scope":"read"}"#;
    assert_eq!(bench.reviewed(NOW_MS + 20_100, Some((200, narrowed))), [(1, "cut")]);
}

#[test]
fn an_open_request_of_an_opaque_token_is_judged_as_the_endpoint_describes_it_now() {
    for (answer, expected) in [
        (opaque("read write"), "wait"),
        (opaque("read"), "cut"),
        (opaque("read write").replace("alice", "bob"), "cut"),
        (r#"{"active":false}"#.to_owned(), "cut"),
    ] {
        let mut bench = bench();
        bench.open_by(1, "/both", "x", &opaque("read write"));
        assert_eq!(bench.reviewed(NOW_MS + 20_100, Some((200, &answer))), [(1, expected)], "{answer}");
    }
}

#[test]
fn an_open_request_outlives_one_lost_answer_and_not_thirty_seconds_without_any() {
    let mut bench = bench();
    let token = bench.token("read write");
    bench.open_by(1, "/both", &token, r#"{"active":true}"#);
    bench.open_by(2, "/read", &token, r#"{"active":true}"#);
    let tick = |bench: &mut Bench, ms: u64| {
        let due = bench.gate.tick(at(NOW_MS + ms));
        for (key, _) in bench.gate.take_calls() {
            assert!(bench.gate.answered(key, None, at(NOW_MS + ms)).is_empty());
        }
        due.iter().map(|(context, step)| (*context, code(step))).collect::<Vec<_>>()
    };
    for ms in (20_100..30_050).step_by(150) {
        assert_eq!(tick(&mut bench, ms), [], "{ms}");
    }
    let mut due = tick(&mut bench, 30_150);
    due.sort_unstable();
    assert_eq!(due, [(1, "cut"), (2, "wait")], "where an outage lets reads pass, it goes on");
}
