//! Signals with crashes, failing disks and others of their kind in one commit.

use super::signal::{Applied, Effect, Signal};
use super::*;
use crate::blocks::{Block, BlockedParty};
use crate::fixtures::{Fixture, HOUR, T0, person};
use crate::made_by::MadeBy;
use crate::revocations::{Revocation, RevokedParty};
use crate::signals::Fate;
use crate::store::{Receipt, ReceiptId};
use portcullis_contract::wire::Outcome;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot::Receiver;

fn revoke(at_ms: u64) -> Effect {
    Effect::Revoke(Revocation {
        issuer: "https://id".to_owned(),
        party: RevokedParty::Subject("alice".to_owned()),
        before_ms: at_ms,
        made_at_ms: at_ms,
        ends_at_ms: at_ms,
        reason: "idp: test".to_owned(),
        by: MadeBy::default(),
    })
}

fn party() -> BlockedParty {
    BlockedParty::Subject("alice".to_owned())
}

fn block(transmitter: &str) -> Effect {
    Effect::Block(Block {
        issuer: "https://id".to_owned(),
        party: party(),
        until_ms: None,
        made_at_ms: T0,
        reason: String::new(),
        transmitter: transmitter.to_owned(),
        email: None,
        by: MadeBy::default(),
    })
}

fn unblock() -> Effect {
    Effect::Unblock { issuer: "https://id".to_owned(), party: party(), held: None }
}

type Answer = Receiver<Result<Applied, NotWritten>>;

fn signal(transmitter: &str, jti: &str, effects: Vec<Effect>) -> (Op, Answer) {
    let receipt = Some(Receipt { id: ReceiptId::of(transmitter, jti), until_ms: T0 + HOUR });
    op(|reply| {
        let transmitter = transmitter.to_owned();
        Op::Signal(Box::new(Signal { transmitter, receipt, effects, ..Signal::default() }), reply)
    })
}

fn answers(fixture: &Fixture, signals: Vec<(Op, Answer)>) -> Vec<Result<Applied, NotWritten>> {
    let (ops, answers): (Vec<_>, Vec<_>) = signals.into_iter().unzip();
    fixture.commit().make_all(ops);
    answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect()
}

#[test]
fn a_signal_has_its_effects_once_whenever_it_comes_again() {
    let fixture = Fixture::new();
    drop(fixture.live(&person("s", T0), T0));
    let both = vec![signal("a", "1", vec![revoke(T0 + 1)]), signal("a", "1", vec![revoke(T0 + 1)])];
    assert_eq!(
        answers(&fixture, both),
        [Ok(Applied::Now { fate: Fate::Applied, ended: 1 }), Ok(Applied::Before)],
        "in one commit"
    );
    assert_eq!(answers(&fixture, vec![signal("a", "1", vec![revoke(T0 + HOUR)])]), [Ok(Applied::Before)]);
    let fixture = fixture.crash();
    assert_eq!(answers(&fixture, vec![signal("a", "1", vec![revoke(T0 + HOUR)])]), [Ok(Applied::Before)]);
    // Another transmitter's of that name is another one.
    assert_eq!(
        answers(&fixture, vec![signal("b", "1", vec![block("b")])]),
        [Ok(Applied::Now { fate: Fate::Unmatched, ended: 0 })]
    );
    assert_eq!(fixture.outcome(&person("s", T0 + HOUR), T0 + HOUR), Outcome::Blocked);
    // Its receipt is dropped when its token is too old to be accepted.
    let forget = Op::ForgetReceived(T0 + HOUR + 1);
    fixture.commit().make_all(vec![forget]);
    assert_eq!(
        answers(&fixture, vec![signal("a", "1", Vec::new())]),
        [Ok(Applied::Now { fate: Fate::Unmatched, ended: 0 })]
    );
}

#[test]
fn a_signal_that_could_not_be_written_was_not_received() {
    let fixture = Fixture::new();
    let session = fixture.live(&person("s", T0), T0);
    fixture.store.fails.store(true, Ordering::SeqCst);
    let refused = answers(&fixture, vec![signal("a", "1", vec![revoke(T0 + 1), block("a")])]);
    assert!(matches!(refused[..], [Err(NotWritten::Failed(_))]), "{refused:?}");
    assert_eq!((session.ended(), fixture.outcome(&person("s", T0), T0)), (None, Outcome::Active));
    fixture.store.fails.store(false, Ordering::SeqCst);
    let made = answers(&fixture, vec![signal("a", "1", vec![revoke(T0 + 1), block("a")])]);
    assert_eq!(made, [Ok(Applied::Now { fate: Fate::Applied, ended: 1 })]);
}

#[test]
fn a_signal_whose_commit_failed_and_is_on_disk_all_the_same_has_its_effects_when_it_comes_again() {
    for comes_after_a_crash in [false, true] {
        let fixture = Fixture::new();
        drop(fixture.live(&person("s", T0), T0));
        let commit = fixture.commit();
        fixture.store.lies.store(true, Ordering::SeqCst);
        let (refused, mut answer) = signal("a", "1", vec![revoke(T0 + 1), block("a")]);
        commit.make_all(vec![refused]);
        assert!(matches!(answer.try_recv(), Ok(Err(NotWritten::Failed(_)))));
        fixture.store.lies.store(false, Ordering::SeqCst);
        // Memory is the authority: what it has not is not on disk from now on.
        commit.recover().unwrap();
        drop(commit);
        let fixture = if comes_after_a_crash { fixture.crash() } else { fixture };
        assert_eq!(fixture.outcome(&person("s", T0), T0), Outcome::Active);
        let made = answers(&fixture, vec![signal("a", "1", vec![revoke(T0 + 1), block("a")])]);
        assert!(matches!(made[..], [Ok(Applied::Now { .. })]), "{made:?}");
        assert_eq!(fixture.outcome(&person("s", T0), T0), Outcome::Blocked);
    }
}

#[test]
fn a_signal_lifts_what_its_transmitter_has_blocked_and_nothing_else() {
    let is_blocked = |fixture: &Fixture| fixture.outcome(&person("s", T0), T0 + 1) == Outcome::Blocked;
    let fixture = Fixture::new();
    drop(fixture.live(&person("s", T0), T0));
    answers(&fixture, vec![signal("a", "1", vec![block("a")])]);
    for (transmitter, still) in [("b", true), ("a", false)] {
        answers(&fixture, vec![signal(transmitter, "2", vec![unblock()])]);
        assert_eq!(is_blocked(&fixture), still, "{transmitter}");
    }
    assert!(!is_blocked(&fixture.crash()));

    // An operator who deletes a former block in the same commit lifts nothing.
    let Effect::Block(former) = block("a") else { unreachable!() };
    let fixture = Fixture::new();
    drop(fixture.live(&person("s", T0), T0));
    let current = Block { made_at_ms: T0 + 1, ..former.clone() };
    answers(&fixture, vec![signal("a", "1", vec![Effect::Block(current)])]);
    let (stale, _answer) = op(|reply| Op::Unblock(former, reply));
    let (lift, _answer) = signal("a", "2", vec![unblock()]);
    fixture.commit().make_all(vec![stale, lift]);
    assert!(!is_blocked(&fixture), "the signal has lifted the one that stood");

    // In one commit, each sees what those before it have done.
    for (last, still) in [(vec![unblock()], false), (vec![unblock(), block("a")], true)] {
        let fixture = Fixture::new();
        drop(fixture.live(&person("s", T0), T0));
        answers(&fixture, vec![signal("a", "1", vec![block("a")]), signal("a", "2", last)]);
        assert_eq!(is_blocked(&fixture), still);
        fixture.flush();
        assert_eq!(is_blocked(&fixture.crash()), still);
    }
}
