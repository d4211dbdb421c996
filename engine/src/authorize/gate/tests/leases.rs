//! Leases, from the first question to the requests that need none.

use super::*;
use crate::authorize::{LeaseEvent, fixtures, identity, log_record, request::Permit, upstream_token};
use serde_json::{Value, json};

const LEASE_MS: u64 = 300;
const PERIOD_MS: u64 = 100;
const CAPABLE: [&str; 2] = [wire::LEASES, wire::UPSTREAM_TOKENS];

/// A worker that is given leases on every route.
fn bench(change: impl FnOnce(&mut Value)) -> Bench {
    bench_with(change, &CAPABLE)
}

fn bench_with(change: impl FnOnce(&mut Value), capabilities: &[&str]) -> Bench {
    let mut policy = fixtures::document("enforce");
    policy["session"]["freshness"] = json!({"lease": "300ms"});
    change(&mut policy);
    let policy = Policy::parse(policy.to_string().as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
    Bench::of(policy, &welcome(capabilities)).keyed()
}

/// A good verdict with a lease.
fn leased(id: u32) -> wire::Verdict {
    let outcome = wire::Outcome::Active.into();
    wire::Verdict { id, outcome, lease_ms: Some(LEASE_MS), ..Default::default() }
}

fn permit(step: Step) -> Permit {
    match step {
        Step::Release(permit) => permit,
        other => panic!("{other:?}"),
    }
}

impl Bench {
    fn hears(&mut self, message: wire::ServiceMessage, ms: u64) -> Vec<Due> {
        self.gate.message(STREAM, &message.encode_to_vec(), at(NOW_MS + ms))
    }

    fn answers(&mut self, verdict: wire::Verdict, ms: u64) -> Permit {
        let mut due =
            self.hears(wire::ServiceMessage { verdicts: vec![verdict], received: true, ..Default::default() }, ms);
        assert_eq!(due.len(), 1);
        permit(due.pop().unwrap().1)
    }

    /// A request, and the question that it causes.
    fn asks(&mut self, context: ContextId, path: &str, token: &str, ms: u64) -> wire::Question {
        assert_eq!(code(&self.request(context, path, Some(token), NOW_MS + ms)), "wait");
        self.sent(NOW_MS + ms).questions.remove(0)
    }

    /// A request is asked about, and answered with a lease.
    fn lease(&mut self, path: &str, token: &str, ms: u64) -> u32 {
        let question = self.asks(1, path, token, ms);
        self.answers(leased(question.id), ms);
        self.gate.gone(1);
        question.lease.expect("a lease is asked for")
    }

    fn takes_back(&mut self, id: u32, leases: Vec<u32>, ms: u64) {
        let take_backs = vec![wire::TakeBack { id, leases }];
        assert!(self.hears(wire::ServiceMessage { take_backs, ..Default::default() }, ms).is_empty());
    }

    /// The code of a request that nobody waits for afterwards.
    fn tries(&mut self, path: &str, token: &str, ms: u64) -> &'static str {
        let step = self.request(2, path, Some(token), NOW_MS + ms);
        self.gate.gone(2);
        code(&step)
    }

    fn counted(&mut self, event: LeaseEvent) -> u64 {
        let counts: Vec<_> = self.gate.tally.drain().collect();
        counts.iter().find(|(count, _)| *count == Count::Lease(event)).map_or(0, |(_, amount)| *amount)
    }
}

#[test]
fn a_second_request_needs_no_question_and_its_upstream_sees_no_difference() {
    let mut bench = bench(|_| ());
    let token = bench.token("read write");
    let question = bench.asks(1, "/both", &token, 0);
    assert!(question.lease.is_some());
    let narrowed = Some(wire::Scopes { scopes: vec!["read".into(), "write".into()] });
    let asked = bench.answers(wire::Verdict { narrowed, ..leased(question.id) }, 5);
    let released = permit(bench.request(2, "/both", Some(&token), NOW_MS + 10));
    assert_eq!(bench.gate.act(at(NOW_MS + 10).instant), None);
    assert!(bench.gate.is_released(2) && released.is_leased && !asked.is_leased);
    assert_eq!((&released.narrowed, &released.strip), (&asked.narrowed, &asked.strip));
    let policy = bench.gate.policy();
    assert!(identity::headers(&released, policy).eq(identity::headers(&asked, policy)));
    assert_eq!(log_record::permit(&released, policy), log_record::permit(&asked, policy) + " by=lease");

    // Another route, and another token of the same session, have no lease yet.
    let other = bench.token_of("s1", "read");
    assert_eq!((bench.tries("/me", &token, 20), bench.tries("/me", &other, 20)), ("wait", "wait"));
    assert_eq!(
        (bench.tries("/both", &token, LEASE_MS - 1), bench.tries("/both", &token, LEASE_MS)),
        ("released", "wait")
    );
    bench.gate.tick(at(NOW_MS + LEASE_MS));
    let counts: Vec<_> = bench.gate.tally.drain().collect();
    for (event, amount) in [(LeaseEvent::Given, 1), (LeaseEvent::Released, 2), (LeaseEvent::Expired, 1)] {
        assert!(counts.contains(&(Count::Lease(event), amount)), "{event:?} in {counts:?}");
    }
    assert!(counts.contains(&(Count::Check(crate::authorize::CheckOutcome::Active), 1)));
}

#[test]
fn each_request_without_a_lease_has_a_question_of_its_own_and_one_of_them_asks_for_it() {
    let mut bench = bench(|_| ());
    let token = bench.token("read write");
    let first = bench.asks(1, "/both", &token, 0);
    // It arrives while the first question is out: the answer to that says nothing about it.
    assert_eq!(code(&bench.request(2, "/both", Some(&token), NOW_MS + 1)), "wait");
    let due =
        bench.hears(wire::ServiceMessage { verdicts: vec![leased(first.id)], received: true, ..Default::default() }, 2);
    assert_eq!(due.iter().map(|(context, step)| (*context, code(step))).collect::<Vec<_>>(), [(1, "released")]);
    let second = bench.sent(NOW_MS + 2).questions.remove(0);
    assert!(first.lease.is_some() && second.lease.is_none());
    assert!(!bench.answers(wire::Verdict { lease_ms: None, ..leased(second.id) }, 3).is_leased);
}

#[test]
fn one_renewal_extends_all_leases_and_says_which_were_used() {
    let mut bench = bench(|policy| policy["routes"][3]["session"]["touch"] = json!(false));
    let token = bench.token("read write");
    let leases = ["/both", "/me", "/read"].map(|path| bench.lease(path, &token, 0));
    assert_eq!(bench.tries("/both", &token, 50), "released");
    assert_eq!(bench.tries("/read", &token, 50), "released", "of a background route");
    assert_eq!(bench.gate.act(at(NOW_MS + PERIOD_MS - 1).instant), None);
    let sent = bench.sent(NOW_MS + PERIOD_MS);
    assert_eq!(sent.renewal, Some(wire::Renewal { active: vec![leases[0]], ended: vec![] }));
    assert!(sent.questions.is_empty());
    let renewed = Some(wire::Renewed { refused: vec![leases[1]] });
    assert!(bench.hears(wire::ServiceMessage { renewed, ..Default::default() }, 150).is_empty());
    assert_eq!(bench.tries("/me", &token, LEASE_MS), "wait");
    assert_eq!(bench.tries("/both", &token, LEASE_MS + PERIOD_MS - 1), "released");
    assert_eq!(bench.tries("/both", &token, LEASE_MS + PERIOD_MS), "wait");
    assert_eq!(bench.gate.pace_ms(), Some(PERIOD_MS / 2), "ticks come often enough for renewals");
}

#[test]
fn what_is_taken_back_is_acknowledged_at_once_and_after_it_has_ended() {
    let mut bench = bench(|_| ());
    let token = bench.token("read write");
    let held = bench.lease("/both", &token, 0);
    // One is held, one is asked for, and there are questions that wait for the group that is out.
    let asked = bench.asks(3, "/me", &token, 1);
    assert_eq!(code(&bench.request(4, "/read", Some(&token), NOW_MS + 1)), "wait");
    bench.takes_back(7, vec![held, asked.lease.unwrap()], 2);
    assert_eq!(bench.tries("/both", &token, 2), "wait");
    let sent = bench.sent(NOW_MS + 2);
    assert_eq!(sent, wire::FilterMessage { taken_back: vec![7], ..Default::default() });
    // The verdict that was on its way is good for its own request, and for no other.
    assert!(!bench.answers(leased(asked.id), 3).is_leased);
    assert_eq!(bench.tries("/me", &token, 3), "wait");
    bench.gate.tick(at(NOW_MS + 4));
    assert_eq!(bench.counted(LeaseEvent::TakenBack), 1);
}

#[test]
fn a_lease_that_is_given_and_taken_back_by_one_message_releases_nothing_more() {
    let mut bench = bench(|_| ());
    let token = bench.token("read write");
    let asked = bench.asks(1, "/both", &token, 0);
    let take_backs = vec![wire::TakeBack { id: 7, leases: vec![asked.lease.unwrap()] }];
    let message =
        wire::ServiceMessage { verdicts: vec![leased(asked.id)], take_backs, received: true, ..Default::default() };
    assert_eq!(code(&bench.hears(message, 1).remove(0).1), "released");
    assert_eq!(bench.tries("/both", &token, 1), "wait");
}

#[test]
fn leases_end_with_their_stream_and_are_not_waited_for_when_it_is_left() {
    let mut bench = bench(|_| ());
    let token = bench.token("read write");
    let lease = bench.lease("/both", &token, 0);
    // The service is about to stop: another stream is opened before this one is left.
    bench.hears(wire::ServiceMessage { drain: true, ..Default::default() }, 1);
    assert_eq!(bench.gate.act(at(NOW_MS + 1).instant), Some(Act::Open));
    bench.gate.opened(Some(STREAM + 1), at(NOW_MS + 1).instant);
    assert!(bench.sent(NOW_MS + 1).hello.is_some());
    assert_eq!(bench.tries("/both", &token, 2), "released", "this stream is still the current one");
    bench.gate.message(STREAM + 1, &welcome(&CAPABLE), at(NOW_MS + 3));
    assert_eq!(bench.tries("/both", &token, 3), "wait");
    let farewell = wire::Renewal { active: vec![lease], ended: vec![lease] };
    match bench.gate.act(at(NOW_MS + 3).instant) {
        Some(Act::Send { stream: STREAM, message }) => {
            assert_eq!(wire::FilterMessage::decode(message.as_slice()).unwrap().renewal, Some(farewell));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.gate.act(at(NOW_MS + 3).instant), Some(Act::Close { stream: STREAM }));
    // The new one gives its own.
    let question = bench.asks(1, "/both", &token, 4);
    let message = wire::ServiceMessage { verdicts: vec![leased(question.id)], received: true, ..Default::default() };
    bench.gate.message(STREAM + 1, &message.encode_to_vec(), at(NOW_MS + 5));
    assert_eq!(bench.tries("/both", &token, 6), "released");
    bench.gate.closed(STREAM + 1, at(NOW_MS + 7));
    assert_eq!((bench.tries("/both", &token, 7), bench.gate.leases_held()), ("wait", 0));
}

#[test]
fn a_late_verdict_of_the_stream_that_is_left_gives_no_lease_on_the_next_one() {
    let mut bench = bench(|_| ());
    let (one, two) = (bench.token_of("s1", "read write"), bench.token_of("s2", "read write"));
    let late = bench.asks(1, "/both", &one, 0);
    bench.hears(wire::ServiceMessage { drain: true, ..Default::default() }, 1);
    assert_eq!(bench.gate.act(at(NOW_MS + 1).instant), Some(Act::Open));
    bench.gate.opened(Some(STREAM + 1), at(NOW_MS + 1).instant);
    assert!(bench.sent(NOW_MS + 1).hello.is_some());
    bench.gate.message(STREAM + 1, &welcome(&CAPABLE), at(NOW_MS + 2));
    assert!(bench.sent(NOW_MS + 2).renewal.is_some(), "the farewell");
    let other = bench.asks(3, "/both", &two, 2);
    assert_eq!(other.lease, late.lease, "each stream has ids of its own");
    assert!(!bench.answers(leased(late.id), 3).is_leased);
    assert_eq!((bench.tries("/both", &one, 4), bench.tries("/both", &two, 4)), ("wait", "wait"));
}

#[test]
fn a_farewell_waits_for_the_renewal_that_is_out() {
    let mut bench = bench(|_| ());
    let token = bench.token("read write");
    let lease = bench.lease("/both", &token, 0);
    assert!(bench.sent(NOW_MS + PERIOD_MS).renewal.is_some());
    bench.hears(wire::ServiceMessage { drain: true, ..Default::default() }, 101);
    assert_eq!(bench.gate.act(at(NOW_MS + 101).instant), Some(Act::Open));
    bench.gate.opened(Some(STREAM + 1), at(NOW_MS + 101).instant);
    assert!(bench.sent(NOW_MS + 101).hello.is_some());
    bench.gate.message(STREAM + 1, &welcome(&CAPABLE), at(NOW_MS + 103));
    assert_eq!(bench.gate.act(at(NOW_MS + 103).instant), None);
    // Its leases are gone all the same, and what is taken back there is acknowledged there.
    bench.takes_back(7, vec![lease], 104);
    let acknowledged = wire::FilterMessage { taken_back: vec![7], ..Default::default() }.encode_to_vec();
    assert_eq!(bench.gate.act(at(NOW_MS + 104).instant), Some(Act::Send { stream: STREAM, message: acknowledged }));
    assert_eq!(bench.tries("/both", &token, 104), "wait");
    bench.hears(wire::ServiceMessage { renewed: Some(wire::Renewed::default()), ..Default::default() }, 105);
    assert!(matches!(bench.gate.act(at(NOW_MS + 105).instant), Some(Act::Send { stream: STREAM, .. })));
    assert_eq!(bench.gate.act(at(NOW_MS + 105).instant), Some(Act::Close { stream: STREAM }));
}

#[test]
fn a_service_without_leases_is_asked_about_each_request_and_the_log_says_so_once() {
    let mut bench = bench_with(|_| (), &[]);
    let token = bench.token("read write");
    for context in 1..3 {
        let question = bench.asks(context, "/both", &token, 0);
        assert_eq!(question.lease, None);
        // What it does not claim to be capable of is not relied on.
        assert!(!bench.answers(leased(question.id), 0).is_leased);
    }
    let news: Vec<String> = bench.gate.take_peer_news().iter().map(ToString::to_string).collect();
    assert!(news.iter().any(|news| news.contains("capability `leases`")), "{news:?}");
    assert_eq!(bench.tries("/both", &token, 1), "wait");
}

#[test]
fn a_route_without_leases_is_asked_about_each_time() {
    let mut bench = bench(|policy| policy["routes"][1]["session"] = json!({"freshness": "each_request"}));
    let token = bench.token("read write");
    let question = bench.asks(1, "/both", &token, 0);
    assert_eq!(question.lease, None);
    bench.answers(leased(question.id), 0);
    assert_eq!(bench.tries("/both", &token, 1), "wait");
}

#[test]
fn while_the_service_is_silent_for_less_than_a_lease_nobody_notices() {
    let mut bench = bench(|policy| policy["session"]["timeout"] = json!("50ms"));
    let token = bench.token("read write");
    bench.lease("/both", &token, 0);
    for ms in (0..LEASE_MS).step_by(10) {
        assert_eq!(bench.tries("/both", &token, ms), "released", "{ms}");
        assert!(bench.gate.tick(at(NOW_MS + ms)).is_empty());
        while bench.gate.act(at(NOW_MS + ms).instant).is_some() {}
    }
    assert_eq!(code(&bench.request(1, "/both", Some(&token), NOW_MS + LEASE_MS)), "wait");
    let due = bench.gate.tick(at(NOW_MS + LEASE_MS + 50));
    assert_eq!(due.iter().map(|(_, step)| code(step)).collect::<Vec<_>>(), ["session_unavailable"]);
}

#[test]
fn leases_outlive_a_stream_whose_service_is_silent_and_are_taken_back_on_it() {
    for is_taken_back in [false, true] {
        let mut bench = bench(|policy| {
            policy["session"] = json!({
                "cluster": "session", "timeout": "50ms", "stream_lease": "500ms", "freshness": {"lease": "5s"},
            });
        });
        let (token, other) = (bench.token("read write"), bench.token_of("s2", "read write"));
        let question = bench.asks(1, "/both", &token, 0);
        bench.answers(wire::Verdict { lease_ms: Some(1_000), ..leased(question.id) }, 0);
        bench.gate.tick(at(NOW_MS + 20));
        assert_eq!(bench.sent(NOW_MS + 20).follows.len(), 1, "a request stays open");
        // Somebody else's question is not answered: the stream is left, and questions go elsewhere.
        bench.asks(9, "/both", &other, 30);
        let mut cut = Vec::new();
        for ms in (30..=900).step_by(10) {
            cut.extend(bench.gate.tick(at(NOW_MS + ms)).iter().map(|(context, step)| (*context, code(step))));
            while let Some(act) = bench.gate.act(at(NOW_MS + ms).instant) {
                assert!(!matches!(act, Act::Cancel { .. } | Act::Close { .. }), "{ms}: {act:?}");
                if act == Act::Open {
                    bench.gate.opened(None, at(NOW_MS + ms).instant);
                }
            }
            assert_eq!(bench.tries("/both", &token, ms), "released", "{ms}");
        }
        assert_eq!(cut, [(9, "session_unavailable")]);
        assert!(!bench.gate.is_connected());
        if is_taken_back {
            bench.takes_back(7, vec![question.lease.unwrap()], 901);
            let message = wire::FilterMessage { taken_back: vec![7], ..Default::default() }.encode_to_vec();
            assert_eq!(bench.gate.act(at(NOW_MS + 901).instant), Some(Act::Send { stream: STREAM, message }));
        }
        let ms = if is_taken_back { 902 } else { 1_000 };
        assert_eq!(code(&bench.request(3, "/both", Some(&token), NOW_MS + ms)), "session_unavailable");
        let due = bench.gate.tick(at(NOW_MS + 1_000));
        // What was heard at 901 is no news of this session.
        assert_eq!(
            due.iter().map(|(_, step)| code(step)).collect::<Vec<_>>(),
            if is_taken_back { vec![] } else { vec!["cut"] }
        );
        assert_eq!(bench.gate.act(at(NOW_MS + 1_000).instant), Some(Act::Cancel { stream: STREAM }));
    }
}

#[test]
fn grace_counts_from_what_the_service_confirmed_last() {
    let mut bench = bench(|policy| {
        policy["session"]["timeout"] = json!("50ms");
        policy["routes"][4]["session"]["on_outage"] = json!({"grace": "400ms"});
    });
    let token = bench.token("read write");
    bench.lease("/grace", &token, 0);
    assert_eq!(bench.tries("/grace", &token, 99), "released");
    assert!(bench.sent(NOW_MS + PERIOD_MS).renewal.is_some());
    bench.hears(wire::ServiceMessage { renewed: Some(wire::Renewed::default()), ..Default::default() }, 101);
    assert_eq!(bench.tries("/grace", &token, 390), "released", "it is no verdict, but tells of one at 100");
    for (ms, expected) in [(450, "released"), (451, "session_unavailable")] {
        assert_eq!(code(&bench.request(1, "/grace", Some(&token), NOW_MS + ms)), "wait");
        let due = bench.gate.tick(at(NOW_MS + ms + 50));
        assert_eq!(due.iter().map(|(_, step)| code(step)).collect::<Vec<_>>(), [expected], "{ms}");
        bench.gate.gone(1);
    }
}

#[test]
fn a_refusal_ends_the_leases_of_its_token() {
    for followed in [false, true] {
        let mut bench = bench(|_| ());
        let token = bench.token("read write");
        bench.lease("/both", &token, 0);
        let revoked = |id| wire::Verdict { id, outcome: wire::Outcome::Revoked.into(), ..Default::default() };
        if followed {
            assert_eq!(code(&bench.request(3, "/both", Some(&token), NOW_MS)), "released");
            bench.gate.tick(at(NOW_MS + 20));
            let id = bench.sent(NOW_MS + 20).follows[0].id;
            let message = wire::ServiceMessage { followed: vec![revoked(id)], ..Default::default() };
            assert_eq!(code(&bench.hears(message, 21).remove(0).1), "cut");
        } else {
            let id = bench.asks(3, "/me", &token, 1).id;
            let message = wire::ServiceMessage { verdicts: vec![revoked(id)], received: true, ..Default::default() };
            assert_eq!(code(&bench.hears(message, 21).remove(0).1), "session_revoked");
        }
        assert_eq!((bench.tries("/both", &token, 22), bench.gate.leases_held()), ("wait", 0));
    }
}

#[test]
fn a_token_whose_key_is_withdrawn_has_no_leases() {
    let mut bench = bench(|_| ());
    let token = bench.token("read write");
    bench.lease("/both", &token, 0);
    let other = ES256KeyPair::generate();
    let key_set = format!(r#"{{"keys":[{}]}}"#, other.public_key().with_key_id("k2").to_jwk());
    let (result, _) = bench.gate.fetched(IssuerId(0), Some((200, key_set.as_bytes())), at(NOW_MS + 1));
    assert!(result.is_ok());
    assert_eq!(bench.gate.leases_held(), 0);
}

#[test]
fn a_clock_that_is_set_ends_leases_and_no_verdict_is_lost() {
    for by_ms in [-20_000_i64, -51, 51, 20_000] {
        let mut bench = bench(|_| ());
        let token = bench.token("read write");
        bench.lease("/both", &token, 0);
        let headers = [(":method", "GET"), (":path", "/both"), (":authority", "api.example")]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let authorization = ("authorization".to_owned(), format!("Bearer {token}").into_bytes());
        let headers: Vec<_> = headers.into_iter().chain([authorization]).collect();
        let now = Now { wall_ms: (NOW_MS + 1).checked_add_signed(by_ms), instant: Monotonic(NOW_MS + 1) };
        assert_eq!(code(&bench.gate.arrive(3, &Head::read(&headers), address, now)), "wait", "{by_ms}");
        let question = bench.sent(NOW_MS + 1).questions.remove(0);
        let message =
            wire::ServiceMessage { verdicts: vec![leased(question.id)], received: true, ..Default::default() };
        let due = bench.gate.message(STREAM, &message.encode_to_vec(), now);
        assert_eq!(due.iter().map(|(_, step)| code(step)).collect::<Vec<_>>(), ["released"], "{by_ms}");
        assert_eq!(code(&bench.gate.arrive(4, &Head::read(&headers), address, now)), "released", "by another lease");
    }
}

#[test]
fn requests_that_leases_release_are_reported_with_what_released_them() {
    let mut bench = bench_with(|_| (), &[wire::LEASES, wire::USAGE]);
    let token = bench.token("read write");
    bench.lease("/both", &token, 0);
    bench.lease("/me", &token, 0);
    for _ in 0..3 {
        assert_eq!(bench.tries("/both", &token, 10), "released");
    }
    assert_eq!(bench.tries("/me", &token, 10), "released");
    let mut uses = bench.sent(NOW_MS + 99).uses;
    uses.sort_by_key(|used| used.route);
    let used = |route, granted: &[&str], count| wire::Use {
        route: Some(route),
        client_id: "app".into(),
        granted: granted.iter().map(|scope| (*scope).to_owned()).collect(),
        count,
        ..Default::default()
    };
    assert_eq!(uses, [used(1, &["read", "write"], 3), used(2, &[], 1)]);
}

#[test]
fn a_lease_releases_with_the_token_for_the_upstream_as_long_as_the_service_would_not_replace_it() {
    let lasts_ms = 20_000;
    for (on_outage, expires_ms, text, expected) in [
        ("refuse", lasts_ms, "a.b.c", "released"),
        ("refuse", lasts_ms / 2, "a.b.c", "wait"),
        ("omit", lasts_ms, "a.b.c", "released"),
        ("omit", lasts_ms, "", "wait"),
    ] {
        let mut bench = bench(|policy| {
            policy["routes"][1]["upstream_token"] = json!({"audience": "orders", "ttl": "20s"});
            if on_outage == "omit" {
                policy["routes"][1]["upstream_token"]["on_outage"] = json!("omit");
            }
        });
        let token = bench.token("read write");
        let question = bench.asks(1, "/both", &token, 0);
        let minted = wire::MintedToken { id: 7, token: text.into(), expires_at_ms: NOW_MS + 5 + expires_ms };
        bench.answers(wire::Verdict { upstream_token: Some(minted), ..leased(question.id) }, 1);
        let step = bench.request(2, "/both", Some(&token), NOW_MS + 5);
        assert_eq!(code(&step), expected, "{on_outage} {expires_ms} {text}");
        if let Step::Release(permit) = step {
            assert_eq!(upstream_token::header(&permit, bench.gate.policy()), Some(("txn-token", "a.b.c")));
        }
    }
}

#[test]
fn a_narrowed_session_is_released_by_what_is_left_of_it() {
    let mut bench = bench(|_| ());
    let token = bench.token("read write");
    let narrowed = Some(wire::Scopes { scopes: vec!["read".into()] });
    let question = bench.asks(1, "/read", &token, 0);
    bench.answers(wire::Verdict { narrowed: narrowed.clone(), ..leased(question.id) }, 1);
    let released = permit(bench.request(2, "/read", Some(&token), NOW_MS + 2));
    assert_eq!(released.narrowed.as_deref(), Some(&["read".to_owned()][..]));
    // A verdict that does not release its own request releases no other.
    let question = bench.asks(3, "/both", &token, 2);
    let verdicts = vec![wire::Verdict { narrowed, ..leased(question.id) }];
    let due = bench.hears(wire::ServiceMessage { verdicts, received: true, ..Default::default() }, 3);
    assert_eq!(code(&due[0].1), "insufficient_scope");
    assert_eq!(bench.tries("/both", &token, 4), "wait");
}
