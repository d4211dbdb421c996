//! Tests of the stream client against a service that answers, stalls, misbehaves or disconnects.

use super::*;
use crate::answer::Code;
use crate::authorize::{
    fixtures::{policy, principal, question},
    principal::Principal,
};
use crate::policy::Limits;
use crate::route::RuleId;
use crate::time::Now;
use std::rc::Rc;

const TIMEOUT_MS: u64 = 200;

fn now(ms: u64) -> Now {
    Now { wall_ms: Some(ms), instant: Monotonic(ms) }
}

struct Bench {
    client: StreamClient,
    follows: Follows,
    principal: Rc<Principal>,
}

impl Bench {
    fn new() -> Self {
        let policy = policy("enforce");
        let hello = wire::Hello { filter_version: "test".into(), ..Default::default() };
        Self {
            client: StreamClient::new(hello, false, TIMEOUT_MS, 1),
            follows: Follows::default(),
            principal: principal(&policy, &["read", "write"]),
        }
    }

    fn act(&mut self, now_ms: u64) -> Option<Act> {
        self.client.act(&mut self.follows, Monotonic(now_ms))
    }

    fn message(&mut self, stream: u32, bytes: &[u8], now_ms: u64) -> Received {
        self.client.message(stream, bytes, &mut self.follows, Monotonic(now_ms))
    }

    /// Opens `stream` and lets the service welcome it.
    fn connect(&mut self, stream: u32, now_ms: u64) {
        assert_eq!(self.act(now_ms), Some(Act::Open));
        self.client.opened(Some(stream), Monotonic(now_ms));
        assert!(self.sent(now_ms).hello.is_some(), "the hello comes first");
        assert!(self.message(stream, &welcome(), now_ms).settled.is_empty());
    }

    fn ask(&mut self, context: u32, now_ms: u64) -> bool {
        self.client.ask(context, question(&self.principal, 1, "GET"), Monotonic(now_ms))
    }

    /// A request stays open.
    fn join(&mut self, context: u32, rule: RuleId, outlive_token: bool) -> FollowId {
        let limits = Limits { outlive_token, ..policy("enforce").rules.swap_remove(rule.0).limits };
        self.follows.join(context, &self.principal, rule, &limits, None).expect("room")
    }

    /// The one message that is sent now.
    fn sent(&mut self, now_ms: u64) -> wire::FilterMessage {
        match self.act(now_ms) {
            Some(Act::Send { message, .. }) => wire::FilterMessage::decode(message.as_slice()).expect("a message"),
            other => panic!("nothing was sent: {other:?}"),
        }
    }

    fn answer(&mut self, stream: u32, ids: &[u32], now_ms: u64) -> Vec<Settled> {
        let verdicts = ids.iter().map(|id| wire::Verdict { id: *id, outcome: 1, ..Default::default() }).collect();
        let message = wire::ServiceMessage { verdicts, received: true, ..Default::default() };
        self.message(stream, &message.encode_to_vec(), now_ms).settled
    }
}

fn welcome() -> Vec<u8> {
    wire::ServiceMessage { welcome: Some(wire::Welcome::default()), ..Default::default() }.encode_to_vec()
}

fn ids(message: &wire::FilterMessage) -> Vec<u32> {
    message.questions.iter().map(|question| question.id).collect()
}

fn contexts(settled: &[Settled]) -> Vec<(u32, bool)> {
    settled.iter().map(|settled| (settled.context, settled.verdict.is_some())).collect()
}

#[test]
fn a_token_is_described_once_and_named_by_handle_after() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.ask(10, 0);
    let first = bench.sent(0);
    assert_eq!(first.tokens.len(), 1);
    bench.answer(1, &ids(&first), 1);
    bench.ask(11, 1);
    let second = bench.sent(1);
    assert!(second.tokens.is_empty());
    assert_eq!(second.questions[0].token, first.tokens[0].handle);
}

#[test]
fn questions_wait_while_a_group_is_on_its_way_and_leave_together() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.ask(10, 0);
    let first = bench.sent(0);
    bench.ask(11, 0);
    bench.ask(12, 0);
    assert_eq!(bench.act(0), None);
    assert_eq!(contexts(&bench.answer(1, &ids(&first), 1)), [(10, true)]);
    assert_eq!(bench.sent(1).questions.len(), 2);
}

#[test]
fn a_question_without_an_answer_has_no_verdict_when_its_time_is_up() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.ask(10, 0);
    bench.sent(0);
    assert!(bench.client.expire(Monotonic(TIMEOUT_MS - 1)).is_empty());
    assert_eq!(contexts(&bench.client.expire(Monotonic(TIMEOUT_MS))), [(10, false)]);
    assert_eq!(bench.act(TIMEOUT_MS), None, "one slow answer does not cost the stream");
    bench.client.expire(Monotonic(2 * TIMEOUT_MS));
    assert_eq!(bench.act(2 * TIMEOUT_MS), Some(Act::Cancel { stream: 1 }), "a silent peer is left");
}

#[test]
fn an_answer_that_comes_too_late_or_twice_or_to_no_question_is_nothing() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.ask(10, 0);
    let sent = bench.sent(0);
    assert_eq!(bench.answer(1, &ids(&sent), 1).len(), 1);
    assert!(bench.answer(1, &ids(&sent), 2).is_empty());
    assert!(bench.answer(1, &[4_000_000_000], 2).is_empty());
}

#[test]
fn what_was_unanswered_is_asked_once_more_on_the_next_stream_with_its_token() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.ask(10, 0);
    let first = bench.sent(0);
    assert!(bench.client.closed(1, Monotonic(1)).is_empty());
    bench.connect(2, 100);
    let again = bench.sent(100);
    assert_eq!(ids(&again), ids(&first));
    assert_eq!(again.tokens.len(), 1, "handles are void on a new stream");
    assert_eq!(contexts(&bench.client.closed(2, Monotonic(101))), [(10, false)], "once more, and not again");
}

#[test]
fn a_question_that_was_never_sent_survives_the_loss_of_a_stream() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.ask(10, 0);
    bench.sent(0);
    bench.ask(11, 0);
    bench.client.closed(1, Monotonic(1));
    bench.connect(2, 100);
    let both = bench.sent(100);
    assert_eq!(contexts(&bench.answer(2, &ids(&both), 101)), [(10, true), (11, true)]);
}

#[test]
fn bytes_that_are_no_message_end_the_stream_and_are_no_verdict() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.ask(10, 0);
    bench.sent(0);
    assert!(bench.message(1, &[0xff; 9], 1).settled.is_empty());
    assert_eq!(bench.act(1), Some(Act::Cancel { stream: 1 }));
    assert!(bench.answer(1, &[0], 2).is_empty(), "the broken stream is not listened to any more");
}

#[test]
fn an_unknown_outcome_is_a_refusal() {
    for outcome in [0, 99, -1] {
        let mut bench = Bench::new();
        bench.connect(1, 0);
        bench.ask(10, 0);
        let id = ids(&bench.sent(0))[0];
        let message = wire::ServiceMessage {
            verdicts: vec![wire::Verdict { id, outcome, ..Default::default() }],
            ..Default::default()
        };
        let settled = bench.message(1, &message.encode_to_vec(), 1).settled;
        assert_eq!(settled[0].verdict, Some(Verdict::Ended(Code::SessionUnknown.into())), "{outcome}");
    }
}

#[test]
fn once_an_attempt_has_failed_nobody_waits_and_a_welcome_ends_that() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.client.closed(1, Monotonic(0));
    assert!(bench.ask(10, 0), "the next stream may come in time");
    assert_eq!(bench.act(1_000), Some(Act::Open));
    bench.client.opened(None, Monotonic(1_000));
    assert!(!bench.ask(11, 1_000));
    bench.connect(2, 3_000);
    assert!(bench.ask(12, 3_000));
}

#[test]
fn attempts_are_spaced_out_and_never_more_than_a_second_apart() {
    let mut bench = Bench::new();
    let (mut now_ms, mut opened_at) = (0, Vec::new());
    while opened_at.len() < 12 {
        if bench.act(now_ms) == Some(Act::Open) {
            opened_at.push(now_ms);
            bench.client.opened(None, Monotonic(now_ms));
        }
        now_ms += 1;
    }
    let gaps: Vec<u64> = opened_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (25..=1_000).contains(gap)), "{gaps:?}");
    assert!(gaps.last() > gaps.first(), "{gaps:?}");
}

#[test]
fn a_withdrawn_question_is_not_sent() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.ask(10, 0);
    bench.client.withdraw(10);
    assert_eq!(bench.act(0), None);
}

#[test]
fn a_retired_token_is_forgotten_after_the_question_that_needs_it() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.ask(10, 0);
    let first = bench.sent(0);
    bench.ask(11, 0);
    bench.client.retire(&bench.principal);
    bench.answer(1, &ids(&first), 1);
    let second = bench.sent(1);
    assert_eq!(second.questions.len(), 1);
    assert_eq!(second.forgotten, [second.questions[0].token]);
}

#[test]
fn a_draining_service_is_left_only_when_the_next_stream_is_welcomed() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    let drain = wire::ServiceMessage { drain: true, ..Default::default() }.encode_to_vec();
    bench.message(1, &drain, 0);
    assert_eq!(bench.act(0), Some(Act::Open));
    bench.ask(10, 0);
    let old = bench.sent(0);
    assert_eq!(old.questions.len(), 1, "the old stream goes on");
    bench.client.opened(Some(2), Monotonic(1));
    assert!(bench.sent(1).hello.is_some());
    bench.message(2, &welcome(), 2);
    bench.ask(11, 2);
    let new = bench.sent(2);
    assert_eq!((new.questions.len(), new.tokens.len()), (1, 1), "the new one knows no token yet");
    assert_eq!(contexts(&bench.answer(1, &ids(&old), 3)), [(10, true)]);
    assert_eq!(bench.act(3), Some(Act::Close { stream: 1 }));
    assert_eq!(contexts(&bench.answer(2, &ids(&new), 3)), [(11, true)]);
    assert!(bench.client.closed(1, Monotonic(4)).is_empty());
    assert_eq!(bench.act(4), None);
}

#[test]
fn what_a_stream_that_is_left_cannot_tell_of_a_follow_is_nothing_to_the_next_one() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    let id = bench.join(10, RuleId(1), false);
    assert_eq!(bench.sent(0).follows.len(), 1);
    bench.ask(11, 0);
    let old = bench.sent(0);
    bench.message(1, &wire::ServiceMessage { drain: true, ..Default::default() }.encode_to_vec(), 0);
    assert_eq!(bench.act(0), Some(Act::Open));
    bench.client.opened(Some(2), Monotonic(1));
    assert!(bench.sent(1).hello.is_some());
    bench.message(2, &welcome(), 2);
    assert_eq!(bench.sent(2).follows.len(), 1, "it is followed there");
    let unavailable = wire::Verdict { id: id.0, outcome: wire::Outcome::Unavailable.into(), ..Default::default() };
    let message = wire::ServiceMessage { followed: vec![unavailable], ..Default::default() }.encode_to_vec();
    assert!(bench.message(1, &message, 3).followed.is_empty());
    assert_eq!(contexts(&bench.answer(1, &ids(&old), 3)), [(11, true)]);
    assert_eq!(bench.act(2_000), Some(Act::Close { stream: 1 }));
    assert_eq!(bench.act(2_000), None, "it is not announced twice");
    assert_eq!(bench.message(2, &message, 2_000).followed.len(), 1);
}

#[test]
fn a_drain_that_ends_in_a_loss_loses_no_question() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.ask(10, 0);
    let asked = bench.sent(0);
    bench.message(1, &wire::ServiceMessage { drain: true, ..Default::default() }.encode_to_vec(), 0);
    assert_eq!(bench.act(0), Some(Act::Open));
    bench.client.opened(Some(2), Monotonic(1));
    bench.sent(1);
    assert!(bench.client.closed(1, Monotonic(2)).is_empty());
    bench.message(2, &welcome(), 3);
    assert_eq!(ids(&bench.sent(3)), ids(&asked));
}

#[test]
fn open_requests_of_a_token_on_a_route_are_one_follow() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    let id = bench.join(10, RuleId(1), false);
    assert_eq!(bench.join(11, RuleId(1), false), id);
    let sent = bench.sent(0);
    assert_eq!((sent.follows.len(), sent.tokens.len()), (1, 1));
    bench.follows.leave(id, 10);
    assert_eq!(bench.act(0), None);
    bench.follows.leave(id, 11);
    assert_eq!(bench.sent(0).unfollowed, [id.0]);
}

#[test]
fn follows_are_told_again_on_the_next_stream_and_an_unknown_one_is_nothing() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    let id = bench.join(10, RuleId(1), false);
    bench.sent(0);
    bench.client.closed(1, Monotonic(0));
    bench.connect(2, 1_000);
    assert_eq!(bench.sent(1_000).follows[0].id, id.0);
    let followed = vec![wire::Verdict { id: 77, outcome: 4, ..Default::default() }];
    let message = wire::ServiceMessage { followed, ..Default::default() };
    let received = bench.message(2, &message.encode_to_vec(), 1_001);
    assert!(received.followed.iter().all(|(id, _)| bench.follows.contexts(*id).is_empty()));
}

#[test]
fn activity_is_told_from_time_to_time_and_not_with_every_byte() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    let id = bench.join(10, RuleId(1), false);
    bench.sent(0);
    bench.follows.note_activity(id);
    assert_eq!(bench.sent(600).active, [id.0]);
    bench.follows.note_activity(id);
    assert_eq!(bench.act(700), None);
    assert_eq!(bench.sent(1_100).active, [id.0]);
}

#[test]
fn a_token_ends_its_open_requests_unless_they_may_outlive_it() {
    let mut bench = Bench::new();
    let dies_at_ms = bench.principal.facts.dies_at_ms;
    let mortal = bench.join(10, RuleId(1), false);
    bench.join(11, RuleId(2), true);
    assert!(bench.follows.overdue(now(dies_at_ms - 1)).is_empty());
    assert_eq!(bench.follows.overdue(now(dies_at_ms + 100)), [(mortal, Code::TokenExpired)]);
}

#[test]
fn a_word_that_comes_late_does_not_free_the_group_after_it() {
    let mut bench = Bench::new();
    bench.connect(1, 0);
    bench.ask(10, 0);
    let first = ids(&bench.sent(0))[0];
    let received = wire::ServiceMessage { received: true, ..Default::default() };
    assert!(bench.message(1, &received.encode_to_vec(), 1).settled.is_empty());
    bench.ask(11, 1);
    bench.sent(1);
    bench.ask(12, 2);
    let late = wire::ServiceMessage {
        verdicts: vec![wire::Verdict { id: first, outcome: 1, ..Default::default() }],
        ..Default::default()
    };
    assert_eq!(contexts(&bench.message(1, &late.encode_to_vec(), 2).settled), [(10, true)]);
    assert_eq!(bench.act(2), None, "the second group is on its way");
    bench.message(1, &received.encode_to_vec(), 3);
    assert_eq!(bench.sent(3).questions.len(), 1);
}

#[test]
fn a_service_without_beats_is_left_where_its_silence_has_to_end_open_requests() {
    for (needs_beats, capabilities, is_used) in [
        (true, vec![wire::BEAT.to_owned()], true),
        (true, vec!["other".to_owned()], false),
        (true, vec![], false),
        (false, vec![], true),
    ] {
        let mut bench = Bench::new();
        bench.client.needs_beats = needs_beats;
        assert_eq!(bench.act(0), Some(Act::Open));
        bench.client.opened(Some(1), Monotonic(0));
        bench.sent(0);
        let welcome = wire::Welcome { service_version: "0.9".into(), capabilities, ..Default::default() };
        let welcome = wire::ServiceMessage { welcome: Some(welcome), ..Default::default() };
        bench.message(1, &welcome.encode_to_vec(), 0);
        let news = bench.client.take_news().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!((bench.client.is_connected(), bench.ask(10, 0)), (is_used, is_used), "{needs_beats}");
        assert_eq!(bench.client.connection.is_out(), !is_used);
        assert_eq!(news.len(), 1);
        assert_eq!(news[0].starts_with("session service 0.9 is not used"), !is_used, "{news:?}");
        if !is_used {
            assert_eq!(bench.act(0), Some(Act::Cancel { stream: 1 }));
            assert_eq!(bench.act(1_000), Some(Act::Open), "it may be another one by then");
        }
    }
}

#[test]
fn the_lease_of_open_requests_ends_with_silence_and_not_before() {
    const LEASE_MS: u64 = 2_000;
    for beats in [false, true] {
        let mut bench = Bench::new();
        bench.client.hello.stream_lease_ms = LEASE_MS;
        assert!(!bench.client.is_lease_over(Monotonic(u64::MAX)), "nothing was ever heard");
        bench.connect(1, 0);
        let capabilities = if beats { vec![wire::BEAT.to_owned()] } else { Vec::new() };
        bench.client.connection = Connection::new(TIMEOUT_MS, 1);
        assert_eq!(bench.act(0), Some(Act::Open));
        bench.client.opened(Some(2), Monotonic(0));
        bench.sent(0);
        let welcome = wire::Welcome { capabilities, ..Default::default() };
        let welcome = wire::ServiceMessage { welcome: Some(welcome), ..Default::default() };
        bench.message(2, &welcome.encode_to_vec(), 0);
        let beat = wire::ServiceMessage { beat: true, ..Default::default() };
        bench.message(2, &beat.encode_to_vec(), 500);
        assert!(!bench.client.is_lease_over(Monotonic(500 + LEASE_MS - 1)));
        let is_over = bench.client.is_lease_over(Monotonic(500 + LEASE_MS));
        assert_eq!(is_over, beats, "a service that never beats is silent when there is nothing to say");
        let left = bench.act(500 + LEASE_MS);
        assert_eq!(left, beats.then_some(Act::Cancel { stream: 2 }));
        bench.client.closed(2, Monotonic(500 + LEASE_MS));
        assert!(bench.client.is_lease_over(Monotonic(500 + LEASE_MS)), "without a stream there is nothing to wait for");
    }
}
