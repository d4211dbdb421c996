//! Durable changes and what is written later, with crashes and failing disks in between.

use super::late::Late;
use super::op::Reply;
use super::thread::CHUNK;
use super::*;
use crate::attributes::{ADMIN, Attribute, Fact, Holder, Value};
use crate::audit::{Actor, EndedBy};
use crate::blocks::{Block, BlockedParty};
use crate::bound_token::BoundToken;
use crate::fixtures::{Fixture, HOUR, MINUTE, T0, login, machine, narrowing, person, types};
use crate::intern::ScopeSet;
use crate::judge::{End, Reason};
use crate::made_by::MadeBy;
use crate::narrowings::Narrowing;
use crate::registry::{Binding, FirstUse, NotOpened, revoked};
use crate::revocations::{Revocation, RevokedParty};
use crate::session::Session;
use crate::store::{Change, Record, Store};
use crate::token::Token;
use portcullis_contract::SessionId;
use portcullis_contract::wire::Outcome;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

impl Commit {
    /// Makes a group of changes, with all that it leaves to be written.
    pub(crate) fn make_all(&self, ops: Vec<Op>) {
        let late = self.make(ops);
        self.write_all(late);
    }

    /// Writes all that a group has left.
    pub(crate) fn write_all(&self, mut late: Late) {
        while !self.write_late(&mut late, 1) {}
    }
}

/// An operation with the receiver of its answer.
pub(crate) fn op<T>(make: impl FnOnce(Reply<T>) -> Op) -> (Op, oneshot::Receiver<Result<T, NotWritten>>) {
    let (reply, answer) = oneshot::channel();
    (make(Reply { by: Actor::Nobody, to: reply }), answer)
}

fn revoking(id: SessionId, now_ms: u64) -> Revoking {
    Revoking { id, reason: String::new(), unseen: Unseen::Ignored, now_ms }
}

fn revoking_unseen(id: SessionId, now_ms: u64) -> Revoking {
    Revoking { unseen: Unseen::Revoked, ..revoking(id, now_ms) }
}

fn end_of(answered: Result<Option<Box<Record>>, NotWritten>) -> Option<End> {
    answered.unwrap().and_then(|record| record.ended)
}

fn opening(token: Token) -> Box<Opening> {
    let access = types().named("person").unwrap();
    Box::new(Opening { token, access, now_ms: T0 })
}

fn everyone(before_ms: u64) -> Revocation {
    Revocation {
        issuer: "https://id".to_owned(),
        party: RevokedParty::Everyone,
        before_ms,
        made_at_ms: T0 + 1,
        ends_at_ms: T0 + 1,
        reason: String::new(),
        by: MadeBy::default(),
    }
}

fn narrow(session: &Session) -> Narrowing {
    narrowing(session, Some(&["openid"]))
}

#[test]
fn a_store_that_fails_leaves_memory_as_it_was() {
    let fixture = Fixture::new();
    let session = fixture.live(&person("s", T0), T0);
    let scopes = session.scopes().1.now;
    let commit = fixture.commit();
    fixture.store.fails.store(true, Ordering::SeqCst);

    let (revoke, mut revoked) = op(|reply| Op::Revoke(revoking(session.id, T0), reply));
    let (change, mut changed) = op(|reply| Op::Narrow(narrow(&session), reply));
    let (open, mut opened) = op(|reply| Op::Open(opening(person("t", T0)), reply));
    let (revocation, mut made) = op(|reply| Op::Revocation(everyone(T0 + 1), reply));
    commit.make_all(vec![revoke, change, open, revocation]);

    assert!(matches!(revoked.try_recv(), Ok(Err(NotWritten::Failed(_)))));
    assert!(matches!(changed.try_recv(), Ok(Err(NotWritten::Failed(_)))));
    assert!(matches!(opened.try_recv(), Ok(Err(NotWritten::Failed(_)))));
    assert!(matches!(made.try_recv(), Ok(Err(NotWritten::Failed(_)))));
    assert_eq!((session.ended(), session.scopes().1.now), (None, scopes));
    assert!(fixture.registry.find(person("t", 0).id).is_none());
    assert_eq!(fixture.outcome(&person("u", T0), T0), Outcome::Active);
}

#[test]
fn what_could_not_be_written_behind_is_written_later() {
    let fixture = Fixture::new();
    drop(fixture.live(&person("s", T0), T0));
    fixture.store.fails.store(true, Ordering::SeqCst);
    fixture.flush();
    fixture.store.fails.store(false, Ordering::SeqCst);
    fixture.flush();
    let fixture = fixture.crash();
    assert!(fixture.registry.find(person("s", 0).id).is_some());
}

#[test]
fn a_revocation_and_a_change_of_scopes_in_one_commit_leave_an_ended_session_in_any_order() {
    for is_revoked_first in [true, false] {
        for is_stored in [true, false] {
            let fixture = Fixture::new();
            let session = fixture.live(&person("s", T0), T0);
            if is_stored {
                fixture.flush();
            }
            let (revoke, mut end) = op(|reply| Op::Revoke(revoking(session.id, T0 + 1), reply));
            let (change, _) = op(|reply| Op::Narrow(narrow(&session), reply));
            let group = if is_revoked_first { vec![revoke, change] } else { vec![change, revoke] };
            fixture.commit().make_all(group);
            assert_eq!(end_of(end.try_recv().unwrap()), Some(revoked(T0 + 1001)));
            fixture.registry.enqueue(&session);
            fixture.flush();
            drop(session);
            let fixture = fixture.crash();
            let outcome = fixture.outcome(&person("s", T0 + HOUR), T0 + HOUR);
            assert_eq!(outcome, Outcome::Revoked, "{is_revoked_first} {is_stored}");
        }
    }
}

#[test]
fn a_revocation_and_an_opening_in_one_commit_leave_no_session_alive_in_any_order() {
    for is_revocation_first in [true, false] {
        let fixture = Fixture::new();
        let (revocation, _ended) = op(|reply| Op::Revocation(everyone(T0 + 1), reply));
        let (open, _opened) = op(|reply| Op::Open(opening(person("s", T0)), reply));
        let group = if is_revocation_first { vec![revocation, open] } else { vec![open, revocation] };
        fixture.commit().make_all(group);
        let entered = fixture.registry.find(person("s", 0).id);
        assert!(entered.is_none_or(|session| session.ended().is_some()), "{is_revocation_first}");
        let fixture = fixture.crash();
        let outcome = fixture.outcome(&person("s", T0 + HOUR), T0 + HOUR);
        assert_eq!(outcome, Outcome::Revoked, "{is_revocation_first}");
    }
}

#[test]
fn the_tombstones_of_a_revocation_are_on_disk_when_it_is_answered() {
    let fixture = Fixture::new();
    drop(fixture.live(&person("s", T0), T0));
    let (revocation, mut ended) = op(|reply| Op::Revocation(everyone(T0 + 1), reply));
    fixture.commit().make_all(vec![revocation]);
    assert_eq!(ended.try_recv().unwrap(), Ok(1));
    let fixture = fixture.crash();
    // The revocation itself does not cover this token: it was issued later.
    assert_eq!(fixture.outcome(&person("s", T0 + HOUR), T0 + HOUR), Outcome::Revoked);
}

#[test]
fn of_two_openings_in_one_commit_one_is_made_and_it_is_the_one_on_disk() {
    let fixture = Fixture::new();
    let other = Token { subject: "bob".into(), ..person("s", T0) };
    let (one, mut first) = op(|reply| Op::Open(opening(person("s", T0)), reply));
    let (two, mut second) = op(|reply| Op::Open(opening(other), reply));
    fixture.commit().make_all(vec![one, two]);
    assert!(matches!(first.try_recv(), Ok(Ok(Ok(_)))));
    assert!(matches!(second.try_recv(), Ok(Ok(Err(NotOpened::Lives)))));
    drop(first);
    fixture.flush();
    let fixture = fixture.crash();
    assert_eq!(&*fixture.registry.find(person("s", 0).id).unwrap().subject, "alice");
}

#[test]
fn writing_behind_never_brings_an_ended_session_back() {
    let fixture = Fixture::new();
    let session = fixture.live(&person("s", T0), T0);
    let behind = fixture.registry.take_changed();
    let (revoke, _answer) = op(|reply| Op::Revoke(revoking(session.id, T0 + 1), reply));
    let commit = fixture.commit();
    commit.make_all(vec![revoke]);
    commit.write_behind(&behind);
    // Nor does a record from before the end that reaches the store by any way.
    let record = session.record_with(None);
    fixture.store.apply(&[crate::store::Change::Write(record)]).unwrap();
    drop((session, behind, commit));
    let fixture = fixture.crash();
    assert!(fixture.registry.find(person("s", 0).id).is_none());
    assert_eq!(fixture.outcome(&person("s", T0 + 9), T0 + 9), Outcome::Revoked);
}

#[test]
fn a_session_that_came_back_before_its_end_was_written_lives_after_a_crash() {
    for is_old_first in [true, false] {
        let fixture = Fixture::new();
        let old = fixture.live(&machine(T0), T0);
        fixture.flush();
        fixture.registry.end(&old, revoked(T0 + 1), EndedBy::Revocation);
        let new = fixture.live(&machine(T0 + 2), T0 + 2);
        drop(fixture.registry.take_changed());
        let mut behind = vec![old, new];
        if !is_old_first {
            behind.reverse();
        }
        fixture.commit().write_behind(&behind);
        drop(behind);
        let fixture = fixture.crash();
        let live = fixture.live(&machine(T0 + 3), T0 + 3);
        assert_eq!((live.opened_at_ms, live.returned), (T0 + 2, Some(revoked(T0 + 1))), "{is_old_first}");
        assert_eq!(fixture.outcome(&machine(T0 + 1), T0 + 3), Outcome::Revoked);
    }
}

#[test]
fn revoking_an_ended_session_moves_its_end_wherever_it_is_and_writes_it() {
    for is_flushed in [false, true] {
        let fixture = Fixture::new();
        let session = fixture.live(&machine(T0), T0);
        fixture.registry.end(&session, End { reason: Reason::IdleTimeout, at_ms: T0 + 1 }, EndedBy::Judge);
        let id = session.id;
        drop(session);
        if is_flushed {
            fixture.flush();
            assert!(fixture.registry.find(id).is_none());
        }
        let later = T0 + HOUR;
        for calls in 1..3 {
            let (revoke, mut end) = op(|reply| Op::Revoke(revoking(id, later * calls), reply));
            fixture.commit().make_all(vec![revoke]);
            assert_eq!(end_of(end.try_recv().unwrap()), Some(revoked(later * calls + 1000)));
        }
        // A token from before the second call, that is shown for the first time after it.
        let now = later * 2 + 2000;
        assert_eq!(fixture.outcome(&machine(later * 2), now), Outcome::Revoked);
        let fixture = fixture.crash();
        assert_eq!(fixture.outcome(&machine(later * 2 + 1000), now), Outcome::Revoked);
        assert_eq!(fixture.outcome(&machine(later * 2 + 1001), now), Outcome::Active);
    }
}

#[test]
fn a_session_that_comes_back_while_its_end_is_moved_is_over_before_the_answer() {
    let fixture = Fixture::new();
    let first = fixture.live(&machine(T0), T0);
    fixture.registry.end(&first, revoked(T0 + 1), EndedBy::Admin);
    fixture.flush();
    let id = first.id;
    let commit = fixture.commit();
    let (revoke, mut end) = op(|reply| Op::Revoke(revoking(id, T0 + HOUR), reply));
    let second = machine(T0 + 2);
    let asked = fixture.registry.bind(&second, FirstUse::Touches, None, T0 + HOUR).unwrap_err();
    let found = fixture.registry.look_up(&asked).unwrap();
    let group = commit.prepare(vec![revoke]);
    let made = commit.apply(&group.changes);
    // Its question comes while the disk is written, with a look-up from before.
    let opened = fixture.registry.bind(&second, FirstUse::Touches, Some(&found), T0 + HOUR);
    assert!(matches!(opened, Ok(Binding::Session(session)) if session.ended().is_none()));
    commit.write_all(commit.finish(group, made));
    assert_eq!(end_of(end.try_recv().unwrap()), Some(revoked(T0 + HOUR + 1000)));
    assert_eq!(fixture.outcome(&second, T0 + HOUR), Outcome::Revoked);
}

#[test]
fn a_look_up_from_before_a_revocation_opens_no_session_after_it() {
    let fixture = Fixture::new();
    drop(fixture.live(&machine(T0), T0));
    let id = machine(T0).id;
    let end = |at_ms| {
        let (revoke, mut end) = op(|reply| Op::Revoke(revoking(id, at_ms), reply));
        fixture.commit().make_all(vec![revoke]);
        end_of(end.try_recv().unwrap())
    };
    assert_eq!(end(T0), Some(revoked(T0 + 1000)));
    let second = machine(T0 + MINUTE);
    let asked = fixture.registry.bind(&second, FirstUse::Touches, None, T0 + MINUTE).unwrap_err();
    let found = fixture.registry.look_up(&asked).unwrap();
    assert_eq!(end(T0 + MINUTE), Some(revoked(T0 + MINUTE + 1000)));
    assert!(fixture.registry.bind(&second, FirstUse::Touches, Some(&found), T0 + MINUTE).is_err());
}

#[test]
fn a_token_of_an_issuer_whose_clock_is_ahead_does_not_pass_after_its_revocation() {
    let fixture = Fixture::new();
    let ahead = T0 + 20_000;
    drop(fixture.live(&machine(ahead), T0));
    let (revoke, mut end) = op(|reply| Op::Revoke(revoking(machine(T0).id, T0 + 1), reply));
    fixture.commit().make_all(vec![revoke]);
    let end = end_of(end.try_recv().unwrap()).unwrap();
    assert_eq!(end, revoked(ahead + 21_000));
    for issued in [T0, ahead, ahead + 1, T0 + 20_001] {
        assert_eq!(fixture.outcome(&machine(issued), T0 + 2), Outcome::Revoked, "{issued}");
    }
    assert_eq!(fixture.outcome(&machine(end.at_ms + 1), end.at_ms + 1), Outcome::Active);
}

#[test]
fn an_issuers_lead_outlives_a_restart() {
    let fixture = Fixture::new();
    drop(fixture.live(&machine(T0 + 20_000), T0));
    fixture.commit().write_issuers();
    fixture.flush();
    let fixture = fixture.crash();
    let (revoke, mut end) = op(|reply| Op::Revoke(revoking(machine(T0).id, T0 + MINUTE), reply));
    fixture.commit().make_all(vec![revoke]);
    assert_eq!(end_of(end.try_recv().unwrap()), Some(revoked(T0 + MINUTE + 21_000)));
    // It was issued before the revocation, and is seen for the first time after it.
    assert_eq!(fixture.outcome(&machine(T0 + MINUTE + 20_000), T0 + MINUTE + 1), Outcome::Revoked);
}

#[test]
fn an_id_that_was_not_seen_is_revoked_for_its_first_token_also_after_a_crash() {
    for is_flushed in [false, true] {
        let mut fixture = Fixture::new();
        // Of its issuer nothing is known, so the lead of any counts.
        fixture.live(&Token { issuer: "https://other".into(), ..person("x", T0 + 20_000) }, T0);
        let now = T0 + MINUTE;
        let id = person("s", T0).id;
        let (op, mut answer) = op(|reply| Op::Revoke(revoking_unseen(id, now), reply));
        fixture.commit().make_all(vec![op]);
        assert_eq!(answer.try_recv().unwrap().unwrap(), None, "it is not known");
        if is_flushed {
            fixture.commit().write_issuers();
            fixture.flush();
            fixture = fixture.crash();
        }
        let instant = now + 21_000;
        for token in [person("s", T0), login("s", now + 20_000), Token { issued_at_ms: now, ..login("s", T0) }] {
            assert_eq!(fixture.outcome(&token, now), Outcome::Revoked, "{is_flushed}");
        }
        assert_eq!(fixture.outcome(&login("t", T0), now), Outcome::Active, "another one is not concerned");
        assert_eq!(fixture.outcome(&login("s", instant), instant), Outcome::Active, "{is_flushed}");
    }
}

#[test]
fn an_id_whose_tombstone_cannot_be_read_is_revoked_all_the_same_also_after_a_crash() {
    for unseen in [Unseen::Ignored, Unseen::Revoked] {
        let fixture = Fixture::new();
        let token = login("s", T0);
        let (end, _answer) = op(|reply| Op::Revoke(revoking(fixture.live(&token, T0).id, T0), reply));
        fixture.commit().make_all(vec![end]);
        *fixture.store.damaged.lock().unwrap() = Some(token.id);
        assert!(fixture.store.tombstone(token.id).is_err(), "there is no verdict on it");
        let now = T0 + MINUTE;
        let (revoke, mut answer) = op(|reply| Op::Revoke(Revoking { unseen, ..revoking(token.id, now) }, reply));
        fixture.commit().make_all(vec![revoke]);
        assert_eq!(answer.try_recv().unwrap(), Ok(None), "nothing is known of it");
        let fixture = fixture.crash();
        fixture.store.is_away.store(true, Ordering::SeqCst);
        let mut later = BoundToken::new(Arc::new(login("s", now + HOUR)));
        let look_up = later.bind(&fixture.registry, true, None, now + HOUR).unwrap_err();
        assert!(fixture.registry.look_up(&look_up).is_err(), "a store that is away is another matter");
        fixture.store.is_away.store(false, Ordering::SeqCst);
        *fixture.store.damaged.lock().unwrap() = Some(token.id);
        // Nobody knows what it would take to open it again.
        for token in [token, login("s", now + HOUR)] {
            assert_eq!(fixture.outcome(&token, now + HOUR), Outcome::Revoked);
        }
        assert_eq!(fixture.outcome(&login("t", now), now), Outcome::Active, "another one is not concerned");
    }
}

#[test]
fn a_session_that_opens_while_its_id_is_being_revoked_is_ended() {
    let fixture = Fixture::new();
    let token = login("s", T0);
    let (revoke, mut answer) = op(|reply| Op::Revoke(revoking_unseen(token.id, T0 + 1), reply));
    let group = fixture.commit().prepare(vec![revoke]);
    let session = fixture.live(&token, T0 + 1);
    let made = fixture.store.apply(&group.changes);
    fixture.commit().write_all(fixture.commit().finish(group, made));
    let record = answer.try_recv().unwrap().unwrap().expect("it is known by then");
    assert_eq!((record.id(), record.ended), (session.id, session.ended()));
    assert_eq!(session.ended(), Some(revoked(T0 + 1001)));
    assert_eq!(fixture.outcome(&token, T0 + 2), Outcome::Revoked);
}

#[tokio::test]
async fn the_thread_makes_changes_and_writes_all_behind_when_it_stops() {
    let fixture = Fixture::new();
    let writer = {
        let (audit, metrics) = (Arc::clone(&fixture.audit), Arc::clone(&fixture.metrics));
        Writer::start(Arc::clone(&fixture.registry), fixture.store.clone(), audit, metrics, None).unwrap()
    };
    let session = fixture.live(&person("s", T0), T0);
    assert_eq!(writer.narrow(narrow(&session)).await, Ok(()));
    let gone = fixture.live(&person("gone", T0), T0);
    let ends = (0..50).map(|_| writer.revoke(gone.id, "", T0 + 1));
    for end in futures_util::future::join_all(ends).await {
        assert_eq!(end_of(end), Some(revoked(T0 + 1001)));
    }
    fixture.registry.touch(&session, T0 + 7);
    assert_eq!(writer.stop(), Ok(()));
    assert_eq!(writer.revoke(session.id, "", T0).await, Err(NotWritten::Busy));
    drop((session, gone));
    let fixture = fixture.crash();
    let session = fixture.registry.find(person("s", 0).id).unwrap();
    assert_eq!((session.scopes().1.now, session.last_seen_ms()), (ScopeSet::new(["openid"]), T0 + 7));
    assert!(fixture.registry.find(person("gone", 0).id).is_none());
}

#[test]
fn what_ended_before_the_retention_is_forgotten_and_nothing_else() {
    let fixture = Fixture::new();
    let end = |key: &str, at_ms| {
        let session = fixture.live(&person(key, T0), T0);
        fixture.registry.end(&session, revoked(at_ms), EndedBy::Admin);
    };
    end("old", T0 + 1);
    end("young", T0 + HOUR);
    drop(fixture.live(&person("live", T0), T0));
    fixture.flush();
    let sid = |name: &str, at_ms| {
        let party = RevokedParty::Sid(name.to_owned());
        Revocation { party, ends_at_ms: at_ms, ..everyone(at_ms) }
    };
    for made in [sid("old", T0 + 1), sid("young", T0 + HOUR)] {
        let (op, _answer) = op(|reply| Op::Revocation(made, reply));
        fixture.commit().make_all(vec![op]);
    }
    let (forget, mut next) = op(|reply| Op::Forget(None, T0 + MINUTE, reply));
    fixture.commit().make_all(vec![forget]);
    assert_eq!(next.try_recv(), Ok(Ok(None)));
    let fixture = fixture.crash();
    let is_there = |key: &str| fixture.store.tombstone(person(key, T0).id).unwrap().is_some();
    assert_eq!(["old", "young"].map(is_there), [false, true]);
    assert!(fixture.registry.find(person("live", T0).id).is_some());
    let left: Vec<_> = fixture.registry.rules().revocations.into_iter().map(|made| made.party).collect();
    assert_eq!(left, [RevokedParty::Sid("young".to_owned())]);
}

#[test]
fn attributes_are_dropped_with_their_session_however_many_those_of_live_ones_are() {
    let fixture = Fixture::new();
    let known = |holder: &Holder, number: usize, set_at_ms| {
        let fact = Fact { value: Value::Boolean(true), set_at_ms, expires_at_ms: None, login_until_ms: None };
        let (name, source) = (format!("n{number}"), ADMIN.to_owned());
        Attribute { holder: holder.clone(), name, source, fact: Some(fact) }
    };
    let of_sid = |sid: &str| Holder::Sid { issuer: "https://id".to_owned(), sid: sid.to_owned() };
    for n in 0..16 {
        let key = format!("live-{n}");
        let session = fixture.live(&person(&key, T0), T0);
        let holder = if n % 2 == 0 { of_sid(&key) } else { Holder::Session(session.id) };
        let many: Vec<_> = (0..1_000).map(|number| known(&holder, number, T0)).collect();
        fixture.registry.set_attributes(&many);
    }
    let gone = [of_sid("gone"), Holder::Session(person("gone", T0).id)];
    let subject = Holder::Subject { issuer: "https://id".to_owned(), subject: "alice".to_owned() };
    let young = of_sid("young");
    for holder in gone.iter().chain([&subject]) {
        fixture.registry.set_attributes(&[known(holder, 0, T0)]);
    }
    fixture.registry.set_attributes(&[known(&young, 0, T0 + HOUR)]);
    let (forget, _next) = op(|reply| Op::Forget(None, T0 + MINUTE, reply));
    fixture.commit().make_all(vec![forget]);
    let held = |holder| fixture.registry.attributes_at(holder).len();
    assert_eq!([&gone[0], &gone[1], &subject, &young].map(held), [0, 0, 1, 1]);
    assert_eq!(fixture.registry.all_attributes().len(), 16_002);
}

fn block_of(subject: &str, until_ms: Option<u64>) -> Block {
    let party = BlockedParty::Subject(subject.to_owned());
    let (issuer, reason, transmitter) = ("https://id".to_owned(), String::new(), String::new());
    Block { issuer, party, until_ms, made_at_ms: T0, reason, transmitter, email: None, by: MadeBy::default() }
}

#[test]
fn a_block_is_durable_and_in_force_when_it_is_answered_and_neither_when_the_disk_fails() {
    let fixture = Fixture::new();
    drop(fixture.live(&person("s", T0), T0));
    let (refused, mut answer) = op(|reply| Op::Block(block_of("alice", None), reply));
    fixture.store.fails.store(true, Ordering::SeqCst);
    fixture.commit().make_all(vec![refused]);
    assert!(matches!(answer.try_recv(), Ok(Err(NotWritten::Failed(_)))));
    assert_eq!(fixture.outcome(&person("s", T0), T0 + 1), Outcome::Active);
    fixture.store.fails.store(false, Ordering::SeqCst);
    let (first, mut answer) = op(|reply| Op::Block(block_of("alice", Some(T0 + HOUR)), reply));
    let (second, mut again) = op(|reply| Op::Block(block_of("alice", None), reply));
    fixture.commit().make_all(vec![first, second]);
    assert_eq!(answer.try_recv(), Ok(Ok(None)));
    assert_eq!(again.try_recv(), Ok(Ok(Some(block_of("alice", Some(T0 + HOUR))))));
    assert_eq!(fixture.outcome(&person("s", T0), T0 + 1), Outcome::Blocked);
    fixture.flush();
    let fixture = fixture.crash();
    assert_eq!(fixture.outcome(&person("s", T0), T0 + 1), Outcome::Blocked);
    let (old, mut is_old) = op(|reply| Op::Unblock(block_of("alice", Some(T0 + HOUR)), reply));
    let (lift, mut is_lifted) = op(|reply| Op::Unblock(block_of("alice", None), reply));
    fixture.commit().make_all(vec![old, lift]);
    assert_eq!((is_old.try_recv(), is_lifted.try_recv()), (Ok(Ok(false)), Ok(Ok(true))));
    let fixture = fixture.crash();
    assert_eq!(fixture.outcome(&person("s", T0), T0 + 1), Outcome::Active);
}

#[test]
fn blocks_that_have_run_out_are_collected_and_those_that_stand_are_not() {
    let fixture = Fixture::new();
    for made in [block_of("old", Some(T0 + 1)), block_of("young", Some(T0 + HOUR)), block_of("ever", None)] {
        let (op, _answer) = op(|reply| Op::Block(made, reply));
        fixture.commit().make_all(vec![op]);
    }
    let (forget, _next) = op(|reply| Op::Forget(None, T0 + MINUTE, reply));
    fixture.commit().make_all(vec![forget]);
    let left = |fixture: &Fixture| {
        let mut left: Vec<_> = fixture.registry.rules().blocks.into_iter().map(|made| made.until_ms).collect();
        left.sort_unstable();
        left
    };
    assert_eq!(left(&fixture), [None, Some(T0 + HOUR)]);
    assert_eq!(left(&fixture.crash()), [None, Some(T0 + HOUR)]);
}

#[test]
fn a_store_that_was_reopened_is_told_of_every_block_again() {
    let fixture = Fixture::new();
    let (block, _answer) = op(|reply| Op::Block(block_of("alice", None), reply));
    fixture.commit().make_all(vec![block]);
    fixture.store.apply(&[Change::Unblock(block_of("alice", None))]).unwrap();
    fixture.commit().recover().unwrap();
    assert_eq!(fixture.crash().registry.rules().blocks, [block_of("alice", None)]);
}

#[tokio::test]
async fn a_revocation_of_many_sessions_does_not_hold_up_other_changes() {
    let fixture = Fixture::new();
    for n in 0..20 * CHUNK {
        drop(fixture.live(&person(&format!("many-{n}"), T0), T0));
    }
    let other = Token { subject: "bob".into(), ..person("other", T0) };
    let other = fixture.live(&other, T0);
    fixture.flush();
    let writer = {
        let (audit, metrics) = (Arc::clone(&fixture.audit), Arc::clone(&fixture.metrics));
        Writer::start(Arc::clone(&fixture.registry), fixture.store.clone(), audit, metrics, None).unwrap()
    };
    let alice = RevokedParty::Subject("alice".to_owned());
    let all = writer.revoke_party(Revocation { party: alice, ..everyone(T0 + 1) });
    let one = async {
        // The large one is under way.
        while fixture.registry.find(person("many-0", T0).id).is_some_and(|session| session.ended().is_none()) {
            tokio::task::yield_now().await;
        }
        writer.revoke(other.id, "", T0 + 2).await
    };
    tokio::pin!(all, one);
    let first = futures_util::future::select(all, one).await;
    assert!(matches!(first, futures_util::future::Either::Right(_)), "the small change is answered first");
    let futures_util::future::Either::Right((_, all)) = first else { unreachable!() };
    // On a busy machine it takes longer than an answer is waited for.
    let all = all.await;
    assert!(all == Ok(20 * CHUNK) || all == Err(NotWritten::Late), "{all:?}");
}

#[test]
fn a_revocation_that_is_made_while_an_older_one_of_its_party_is_forgotten_or_lifted_stands() {
    let sid = |at_ms| Revocation { party: RevokedParty::Sid("s".to_owned()), ends_at_ms: at_ms, ..everyone(at_ms) };
    for is_lifted in [true, false] {
        let fixture = Fixture::new();
        let (old, _answer) = op(|reply| Op::Revocation(sid(T0 + 1), reply));
        fixture.commit().make_all(vec![old]);
        let held = fixture.registry.rules().revocations.remove(0);
        let now = T0 + 100 * HOUR;
        let (new, _answer) = op(|reply| Op::Revocation(Revocation { made_at_ms: now, ..sid(now) }, reply));
        let (lift, mut lifted) = op(|reply| Op::Lift(held, reply));
        let (forget, _next) = op(|reply| Op::Forget(None, T0 + HOUR, reply));
        fixture.commit().make_all(vec![new, if is_lifted { lift } else { forget }]);
        if is_lifted {
            assert_eq!(lifted.try_recv(), Ok(Ok(false)), "another one stands");
        }
        let fixture = fixture.crash();
        assert_eq!(fixture.outcome(&person("s", now - 1), now), Outcome::Revoked, "{is_lifted}");
    }
}

#[test]
fn a_token_that_shows_its_issuers_lead_while_the_disk_is_written_moves_the_end() {
    for is_party in [false, true] {
        let fixture = Fixture::new();
        let session = fixture.live(&machine(T0), T0);
        let commit = fixture.commit();
        let (revoke, _answer) = match is_party {
            true => {
                let party = RevokedParty::Client("robot".to_owned());
                let at_ms = fixture.registry.instant_of("https://id", &party, T0 + 1);
                let made = Revocation { party, before_ms: at_ms, ends_at_ms: at_ms, ..everyone(at_ms) };
                let (op, answer) = op(|reply| Op::Revocation(made, reply));
                (op, Box::new(answer) as Box<dyn std::any::Any>)
            }
            false => {
                let (op, answer) = op(|reply| Op::Revoke(revoking(session.id, T0 + 1), reply));
                (op, Box::new(answer) as Box<dyn std::any::Any>)
            }
        };
        let group = commit.prepare(vec![revoke]);
        let made = commit.apply(&group.changes);
        let ahead = machine(T0 + 20_000);
        assert_eq!(fixture.outcome(&ahead, T0 + 1), Outcome::Active, "issued before, by a clock that is 20 s ahead");
        commit.write_all(commit.finish(group, made));
        assert_eq!(fixture.outcome(&ahead, T0 + 2), Outcome::Revoked, "{is_party}");
        drop((session, commit));
        let fixture = fixture.crash();
        assert_eq!(fixture.outcome(&ahead, T0 + 2), Outcome::Revoked, "{is_party}");
    }
}

#[test]
fn a_revocation_whose_sessions_could_not_be_written_is_not_answered_as_made() {
    let fixture = Fixture::new();
    drop(fixture.live(&person("s", T0), T0));
    let commit = fixture.commit();
    let (revocation, mut answer) = op(|reply| Op::Revocation(everyone(T0 + 1), reply));
    let mut late = commit.make(vec![revocation]);
    fixture.store.fails.store(true, Ordering::SeqCst);
    assert!(commit.write_late(&mut late, 1));
    assert_eq!(answer.try_recv(), Ok(Err(NotWritten::Late)));
    fixture.store.fails.store(false, Ordering::SeqCst);
    let (again, mut answer) = op(|reply| Op::Revocation(everyone(T0 + 1), reply));
    commit.make_all(vec![again]);
    assert_eq!(answer.try_recv(), Ok(Ok(0)), "all that it covers had ended");
    assert!(fixture.store.tombstone(person("s", T0).id).unwrap().is_some(), "and is written before the answer");
}
