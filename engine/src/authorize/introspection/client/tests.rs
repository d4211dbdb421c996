//! Tests of the introspection client against an endpoint that answers, stalls or misbehaves, and of a worker that uses
//! it.

use super::*;
use crate::{
    authorize::{
        fixtures::{introspecting, principal},
        introspection::Carried,
        question::{Arrival, Question, RequestAttributes},
    },
    route::RuleId,
};

const TIMEOUT_MS: u64 = 200;
const NOW_MS: u64 = 100_000;

fn client(policy: &Policy) -> IntrospectionClient {
    let session = policy.session.as_ref().expect("a session service");
    let crate::policy::Protocol::Introspection(endpoint) = &session.protocol else { panic!("introspection") };
    IntrospectionClient::new(session, endpoint)
}

fn attributes() -> Rc<RequestAttributes> {
    let carried = Some(Carried::new("t", []));
    Rc::new(RequestAttributes { method: "GET".into(), carried, ..RequestAttributes::default() })
}

struct Bench {
    policy: Policy,
    calls: IntrospectionClient,
}

impl Bench {
    fn new() -> Self {
        let policy = introspecting();
        Self { calls: client(&policy), policy }
    }

    /// Asks about a verified token, and gives the key of the call.
    fn ask(&mut self, context: u32, now_ms: u64) -> CallKey {
        let question = Question {
            rule: RuleId(1),
            principal: principal(&self.policy, &["read", "write"]),
            attributes: attributes(),
            proof: None,
            redeemed: None,
        };
        self.put(context, Inquiry::Session(question), now_ms)
    }

    fn ask_opaque(&mut self, context: u32, rule: usize, now_ms: u64) -> CallKey {
        let arrival = Arrival::bearer(RuleId(rule), "t", attributes(), Monotonic(now_ms));
        self.put(context, Inquiry::Token(arrival), now_ms)
    }

    fn put(&mut self, context: u32, inquiry: Inquiry, now_ms: u64) -> CallKey {
        assert!(self.calls.ask(context, inquiry, &self.policy, Monotonic(now_ms)));
        let pending = self.calls.take_pending();
        assert_eq!(pending.len(), 1);
        pending[0].0
    }

    fn answered(&mut self, key: CallKey, response: Option<(u32, &str)>, now_ms: u64) -> Option<Ended> {
        let response = response.map(|(status, body)| (status, body.as_bytes()));
        self.calls.answered(key, response, &self.policy, Now { wall_ms: Some(now_ms), instant: Monotonic(now_ms) })
    }
}

fn said(ended: Option<Ended>) -> (u32, &'static str, u64) {
    let Some(ended) = ended else { return (0, "nothing", 0) };
    let event = match ended.event {
        Some(Event::Verdict(Verdict::Active(_), _)) => "active",
        Some(Event::Verdict(Verdict::Ended(refusal), _)) => refusal.code.name(),
        Some(Event::Proven(..)) => "proven",
        None => "no_verdict",
        _ => "another event",
    };
    let Asker::Request(context) = ended.asker else { panic!("{:?}", ended.asker) };
    (context, event, ended.waited_ms)
}

const ACTIVE: Option<(u32, &str)> = Some((200, r#"{"active":true}"#));
const INACTIVE: Option<(u32, &str)> = Some((200, r#"{"active":false}"#));
const PROVEN: Option<(u32, &str)> =
    Some((200, r#"{"active":true,"aud":"api","exp":1000,"iat":90,"sub":"alice","client_id":"app","scope":"read"}"#));

#[test]
fn each_request_is_a_call_of_its_own_and_has_its_own_answer() {
    let mut bench = Bench::new();
    let (first, second) = (bench.ask(10, NOW_MS), bench.ask(11, NOW_MS));
    assert_ne!(first, second);
    assert_eq!(said(bench.answered(second, INACTIVE, NOW_MS + 7)), (11, "session_revoked", 7));
    assert_eq!(said(bench.answered(first, ACTIVE, NOW_MS + 9)), (10, "active", 9));
    assert!(!bench.calls.is_busy());
}

#[test]
fn an_opaque_token_is_what_the_endpoint_says() {
    let mut bench = Bench::new();
    let (good, bad) = (bench.ask_opaque(10, 1, NOW_MS), bench.ask_opaque(11, 1, NOW_MS));
    assert_eq!(said(bench.answered(good, PROVEN, NOW_MS)), (10, "proven", 0));
    assert_eq!(said(bench.answered(bad, INACTIVE, NOW_MS)), (11, "invalid_token", 0));
}

#[test]
fn calls_about_unverified_tokens_leave_room_for_the_others_and_count_until_they_end() {
    let mut bench = Bench::new();
    let ask = |bench: &mut Bench, context: usize, now_ms| {
        let arrival = Arrival::bearer(RuleId(1), "t", attributes(), Monotonic(now_ms));
        bench.calls.ask(context as u32, Inquiry::Token(arrival), &bench.policy, Monotonic(now_ms))
    };
    for context in 0..UNVERIFIED_MAX {
        assert!(ask(&mut bench, context, NOW_MS));
    }
    assert!(!ask(&mut bench, 5_000, NOW_MS));
    // Envoy goes on with a call whose request has gone.
    bench.calls.withdraw(0);
    assert!(!ask(&mut bench, 5_000, NOW_MS));
    bench.calls.take_pending();
    bench.ask(6_000, NOW_MS);
    bench.calls.expire(Monotonic(NOW_MS + TIMEOUT_MS));
    assert!(ask(&mut bench, 5_000, NOW_MS + TIMEOUT_MS));
}

#[test]
fn an_answer_counts_once() {
    let mut bench = Bench::new();
    let key = bench.ask(10, NOW_MS);
    assert_eq!(said(bench.answered(key, ACTIVE, NOW_MS)).1, "active");
    assert_eq!(said(bench.answered(key, ACTIVE, NOW_MS)).1, "nothing");
    assert_eq!(said(bench.answered(4_000_000_000, ACTIVE, NOW_MS)).1, "nothing");
}

#[test]
fn every_failure_of_a_call_is_no_verdict() {
    for response in [None, Some((503, "")), Some((504, "")), Some((401, r#"{"active":true}"#)), Some((200, "{"))] {
        let mut bench = Bench::new();
        let (verified, opaque) = (bench.ask(10, NOW_MS), bench.ask_opaque(11, 1, NOW_MS));
        assert_eq!(said(bench.answered(verified, response, NOW_MS)), (10, "no_verdict", 0), "{response:?}");
        assert_eq!(said(bench.answered(opaque, response, NOW_MS)), (11, "no_verdict", 0), "{response:?}");
    }
}

#[test]
fn a_call_without_an_answer_ends_when_its_time_is_up() {
    let mut bench = Bench::new();
    let key = bench.ask(10, NOW_MS);
    bench.ask_opaque(11, 1, NOW_MS + 1);
    assert!(bench.calls.expire(Monotonic(NOW_MS + TIMEOUT_MS - 1)).is_empty());
    let ended: Vec<_> =
        bench.calls.expire(Monotonic(NOW_MS + TIMEOUT_MS)).into_iter().map(|ended| said(Some(ended))).collect();
    assert_eq!(ended, [(10, "no_verdict", TIMEOUT_MS)]);
    assert_eq!(said(bench.answered(key, ACTIVE, NOW_MS + TIMEOUT_MS)).1, "nothing", "too late");
    assert_eq!(bench.calls.expire(Monotonic(NOW_MS + TIMEOUT_MS + 1)).len(), 1);
    assert!(!bench.calls.is_busy());
}

#[test]
fn nobody_is_called_for_a_request_that_has_gone() {
    let mut bench = Bench::new();
    let key = bench.ask(10, NOW_MS);
    bench.calls.withdraw(10);
    assert_eq!(said(bench.answered(key, ACTIVE, NOW_MS)).1, "nothing");
    assert!(bench.calls.expire(Monotonic(u64::MAX)).is_empty());

    let principal = principal(&bench.policy, &[]);
    let question = Question { rule: RuleId(1), principal, attributes: attributes(), proof: None, redeemed: None };
    assert!(bench.calls.ask(12, Inquiry::Session(question), &bench.policy, Monotonic(NOW_MS)));
    bench.calls.withdraw(12);
    assert!(bench.calls.take_pending().is_empty());
}

#[test]
fn a_question_without_its_token_or_beyond_the_limit_is_not_taken() {
    let mut bench = Bench::new();
    let token = principal(&bench.policy, &[]);
    let question = |attributes| {
        Inquiry::Session(Question {
            rule: RuleId(1),
            principal: Rc::clone(&token),
            attributes,
            proof: None,
            redeemed: None,
        })
    };
    assert!(!bench.calls.ask(1, question(Rc::default()), &bench.policy, Monotonic(NOW_MS)));
    for context in 0..CALLS_MAX {
        assert!(bench.calls.ask(context as u32, question(attributes()), &bench.policy, Monotonic(NOW_MS)));
    }
    assert!(!bench.calls.ask(1, question(attributes()), &bench.policy, Monotonic(NOW_MS)));
    assert_eq!(bench.calls.take_pending().len(), CALLS_MAX);
}
