//! More open requests than a session service follows.

use super::*;
use crate::{authorize::fixtures, route::RuleId};
use portcullis_contract::bounds::{self, FOLLOWS_MAX};
use std::collections::HashSet;

/// Rules of the fixtures' policy: the first denies in an outage, the other one lets reads pass.
const ME: RuleId = RuleId(2);
const READ: RuleId = RuleId(3);

/// A context that no request of these tests has.
const OTHERS: ContextId = 1_000;

impl Bench {
    /// Open requests of as many sessions, released by a rule.
    fn fill(&mut self, contexts: std::ops::Range<usize>, rule: RuleId) {
        let policy = fixtures::policy("enforce");
        let principal = fixtures::principal(&policy, &["read"]);
        for number in contexts {
            let context = OTHERS + u32::try_from(number).expect("fits");
            let mut facts = principal.facts.clone();
            facts.digest.0[..4].copy_from_slice(&context.to_be_bytes());
            facts.dies_at_ms = u64::MAX;
            let principal = Rc::new(Principal::new(IssuerId(0), facts, &policy));
            self.gate.follows.join(context, &principal, rule, &policy.rules[rule.0].limits, None).expect("room");
        }
    }

    /// What is announced now, in all messages together.
    fn announced(&mut self, now_ms: u64) -> Vec<wire::Follow> {
        let mut follows = Vec::new();
        while let Some(Act::Send { message, .. }) = self.gate.act(at(now_ms).instant) {
            assert_eq!(bounds::check(&message), Ok(()));
            follows.extend(wire::FilterMessage::decode(message.as_slice()).expect("a message").follows);
        }
        follows
    }
}

#[test]
fn beyond_the_bound_an_open_request_is_cut_where_an_outage_denies_and_goes_on_elsewhere() {
    let mut bench = Bench::with_keys("enforce");
    bench.fill(0..FOLLOWS_MAX - 1, ME);
    assert_eq!(bench.announced(NOW_MS).len(), FOLLOWS_MAX - 1);
    bench.open(1, "read write", "/both");
    assert!(bench.gate.tick(at(NOW_MS + 50)).is_empty());
    assert_eq!(bench.announced(NOW_MS + 50).len(), 1, "the last one that has room");
    bench.open(2, "read write", "/me");
    bench.open(3, "read", "/read");
    let due = bench.gate.tick(at(NOW_MS + 100));
    assert_eq!(due.iter().map(|(context, step)| (*context, code(step))).collect::<Vec<_>>(), [(2, "cut")]);
    assert!(bench.gate.is_released(3));
    assert_eq!(bench.announced(NOW_MS + 100), []);

    let ended = bench.gate.follows.on_rules(|rule| rule == ME).pop().expect("a follow");
    assert_eq!(bench.gate.follows.end(ended).len(), 1);
    let sent = bench.sent(NOW_MS + 150);
    assert_eq!(sent.unfollowed, [ended.0]);
    assert_eq!(sent.follows, [], "the service reads new follows before the ends of others");
    let waited = bench.announced(NOW_MS + 150);
    assert_eq!(waited.iter().map(|follow| follow.route).collect::<Vec<_>>(), [3]);
}

#[test]
fn on_another_stream_those_that_have_to_be_followed_come_first_again() {
    let mut bench = Bench::with_keys("enforce");
    bench.fill(0..10, READ);
    bench.fill(10..FOLLOWS_MAX, ME);
    bench.fill(FOLLOWS_MAX..FOLLOWS_MAX + 10, READ);
    assert_eq!(bench.announced(NOW_MS).len(), FOLLOWS_MAX);
    bench.gate.closed(STREAM, at(NOW_MS));
    assert_eq!(bench.gate.act(at(NOW_MS + 100).instant), Some(Act::Open));
    bench.gate.opened(Some(STREAM + 1), at(NOW_MS + 100).instant);
    assert!(bench.sent(NOW_MS + 100).hello.is_some());
    bench.gate.message(STREAM + 1, &welcome(&[]), at(NOW_MS + 100));
    let follows = bench.announced(NOW_MS + 100);
    let ids: HashSet<u32> = follows.iter().map(|follow| follow.id).collect();
    assert_eq!((follows.len(), ids.len()), (FOLLOWS_MAX, FOLLOWS_MAX));
    assert_eq!(follows.iter().filter(|follow| follow.route == 2).count(), FOLLOWS_MAX - 10);
}
