//! Orders of durable changes and of what is written behind, with crashes and failing disks in between.

use super::scribe::Scribe;
use super::*;
use crate::book::{Binding, revoked};
use crate::judge::Reason;
use crate::rules::Whom;
use crate::session::Stored;
use crate::testing::{HOUR, Room, T0, machine, person, types};

fn scribe(room: &Room) -> Scribe {
    Scribe::new(Arc::clone(&room.book), room.store.clone(), Arc::new(AtomicBool::new(true)))
}

/// Writes what is to be written behind.
pub(crate) fn flush(room: &Room) {
    scribe(room).write_behind(&room.book.take_unwritten());
}

/// An operation with the receiver of its answer.
fn op<T>(make: impl FnOnce(Reply<T>) -> Op) -> (Op, oneshot::Receiver<Result<T, NotWritten>>) {
    let (reply, answer) = oneshot::channel();
    (make(reply), answer)
}

fn opening(token: Token) -> Box<Opening> {
    let access = types().named("person").unwrap();
    Box::new(Opening { token, access, now_ms: T0 })
}

fn everyone(before_ms: u64) -> Rule {
    Rule { issuer: "https://id".to_owned(), whom: Whom::Everyone, before_ms, made_at_ms: T0 + 1 }
}

fn narrow() -> ScopeSet {
    ScopeSet::new(["openid"])
}

#[test]
fn a_store_that_fails_leaves_memory_as_it_was() {
    let room = Room::new();
    let session = room.live(&person("s", T0), T0);
    let scopes = session.scopes().1;
    let scribe = scribe(&room);
    room.store.fails.store(true, Ordering::SeqCst);

    let (revoke, mut revoked) = op(|reply| Op::Revoke(session.clone(), T0, reply));
    let (change, mut changed) = op(|reply| Op::Scopes(session.clone(), narrow(), reply));
    let (open, mut opened) = op(|reply| Op::Open(opening(person("t", T0)), reply));
    let (rule, mut ruled) = op(|reply| Op::Rule(everyone(T0 + 1), reply));
    scribe.make(vec![revoke, change, open, rule]);

    assert!(matches!(revoked.try_recv(), Ok(Err(NotWritten::Failed(_)))));
    assert!(matches!(changed.try_recv(), Ok(Err(NotWritten::Failed(_)))));
    assert!(matches!(opened.try_recv(), Ok(Err(NotWritten::Failed(_)))));
    assert!(matches!(ruled.try_recv(), Ok(Err(NotWritten::Failed(_)))));
    assert_eq!((session.ended(), session.scopes().1), (None, scopes));
    assert!(room.book.find(person("t", 0).id).is_none());
    assert!(matches!(room.bind(&person("u", T0), T0), Binding::Live(_)));
}

#[test]
fn what_could_not_be_written_behind_is_written_later() {
    let room = Room::new();
    drop(room.live(&person("s", T0), T0));
    room.store.fails.store(true, Ordering::SeqCst);
    flush(&room);
    room.store.fails.store(false, Ordering::SeqCst);
    flush(&room);
    let room = room.crash();
    assert!(room.book.find(person("s", 0).id).is_some());
}

#[test]
fn a_revocation_and_a_change_of_scopes_in_one_commit_leave_an_ended_session_in_any_order() {
    for is_revoked_first in [true, false] {
        for is_stored in [true, false] {
            let room = Room::new();
            let session = room.live(&person("s", T0), T0);
            if is_stored {
                flush(&room);
            }
            let (revoke, mut end) = op(|reply| Op::Revoke(session.clone(), T0 + 1, reply));
            let (change, _) = op(|reply| Op::Scopes(session.clone(), narrow(), reply));
            let group = if is_revoked_first { vec![revoke, change] } else { vec![change, revoke] };
            scribe(&room).make(group);
            assert_eq!(end.try_recv().unwrap(), Ok(revoked(T0 + 1)));
            room.book.mark_unwritten(&session);
            flush(&room);
            drop(session);
            let room = room.crash();
            let binding = room.bind(&person("s", T0 + HOUR), T0 + HOUR);
            assert!(matches!(binding, Binding::Gone(Reason::Revoked)), "{is_revoked_first} {is_stored}: {binding:?}");
        }
    }
}

#[test]
fn a_rule_and_an_opening_in_one_commit_leave_no_session_alive_in_any_order() {
    for is_rule_first in [true, false] {
        let room = Room::new();
        let (rule, _ended) = op(|reply| Op::Rule(everyone(T0 + 1), reply));
        let (open, _opened) = op(|reply| Op::Open(opening(person("s", T0)), reply));
        let group = if is_rule_first { vec![rule, open] } else { vec![open, rule] };
        scribe(&room).make(group);
        let entered = room.book.find(person("s", 0).id);
        assert!(entered.is_none_or(|session| session.ended().is_some()), "{is_rule_first}");
        let room = room.crash();
        let binding = room.bind(&person("s", T0 + HOUR), T0 + HOUR);
        assert!(matches!(binding, Binding::Gone(Reason::Revoked)), "{is_rule_first}: {binding:?}");
    }
}

#[test]
fn a_rules_tombstones_are_on_disk_when_it_is_answered() {
    let room = Room::new();
    drop(room.live(&person("s", T0), T0));
    let (rule, mut ended) = op(|reply| Op::Rule(everyone(T0 + 1), reply));
    scribe(&room).make(vec![rule]);
    assert_eq!(ended.try_recv().unwrap(), Ok(1));
    let room = room.crash();
    // The rule itself does not speak of this token: it was issued later.
    let binding = room.bind(&person("s", T0 + HOUR), T0 + HOUR);
    assert!(matches!(binding, Binding::Gone(Reason::Revoked)));
}

#[test]
fn of_two_openings_in_one_commit_one_is_made_and_it_is_the_one_on_disk() {
    let room = Room::new();
    let other = Token { subject: "bob".into(), ..person("s", T0) };
    let (one, mut first) = op(|reply| Op::Open(opening(person("s", T0)), reply));
    let (two, mut second) = op(|reply| Op::Open(opening(other), reply));
    scribe(&room).make(vec![one, two]);
    assert!(matches!(first.try_recv(), Ok(Ok(Ok(_)))));
    assert!(matches!(second.try_recv(), Ok(Ok(Err(NotOpened::Lives)))));
    drop(first);
    flush(&room);
    let room = room.crash();
    assert_eq!(&*room.book.find(person("s", 0).id).unwrap().subject, "alice");
}

#[test]
fn writing_behind_never_brings_an_ended_session_back() {
    let room = Room::new();
    let session = room.live(&person("s", T0), T0);
    let behind = room.book.take_unwritten();
    let (revoke, _answer) = op(|reply| Op::Revoke(session.clone(), T0 + 1, reply));
    let scribe = scribe(&room);
    scribe.make(vec![revoke]);
    scribe.write_behind(&behind);
    // Nor does a record from before the end that reaches the store by any way.
    let record = session.record_with(None, &session.scopes().1);
    room.store.apply(&[crate::store::Change::Write(record)]).unwrap();
    drop((session, behind, scribe));
    let room = room.crash();
    assert!(room.book.find(person("s", 0).id).is_none());
    assert!(matches!(room.bind(&person("s", T0 + 9), T0 + 9), Binding::Gone(Reason::Revoked)));
}

#[test]
fn a_session_that_came_back_before_its_end_was_written_lives_after_a_crash() {
    for is_old_first in [true, false] {
        let room = Room::new();
        let old = room.live(&machine(T0), T0);
        flush(&room);
        room.book.end(&old, revoked(T0 + 1), "rule");
        let new = room.live(&machine(T0 + 2), T0 + 2);
        drop(room.book.take_unwritten());
        let mut behind = vec![old, new];
        if !is_old_first {
            behind.reverse();
        }
        scribe(&room).write_behind(&behind);
        drop(behind);
        let room = room.crash();
        let live = room.live(&machine(T0 + 3), T0 + 3);
        assert_eq!((live.opened_at_ms, live.returned), (T0 + 2, Some(revoked(T0 + 1))), "{is_old_first}");
        assert!(matches!(room.bind(&machine(T0 + 1), T0 + 3), Binding::Gone(Reason::Revoked)));
    }
}

#[test]
fn revoking_an_ended_session_answers_its_first_end_and_writes_it() {
    let room = Room::new();
    let session = room.live(&person("s", T0), T0);
    let later = T0 + HOUR;
    let (revoke, mut end) = op(|reply| Op::Revoke(session.clone(), later, reply));
    scribe(&room).make(vec![revoke]);
    let expired = session.ended().unwrap();
    assert_eq!(end.try_recv().unwrap(), Ok(expired));
    assert_eq!(expired.reason, Reason::IdleTimeout);
    assert_eq!(session.stored(), Stored::Tombstone);
}

#[tokio::test]
async fn the_thread_makes_changes_and_writes_all_behind_when_it_stops() {
    let room = Room::new();
    let writer = Writer::start(Arc::clone(&room.book), room.store.clone()).unwrap();
    let session = room.live(&person("s", T0), T0);
    assert_eq!(writer.set_scopes(session.clone(), narrow()).await, Ok(None));
    let gone = room.live(&person("gone", T0), T0);
    let ends = (0..50).map(|_| writer.revoke(gone.clone(), T0 + 1));
    for end in futures_util::future::join_all(ends).await {
        assert_eq!(end, Ok(revoked(T0 + 1)));
    }
    room.book.touch(&session, T0 + 7);
    writer.stop();
    assert_eq!(writer.revoke(session.clone(), T0).await, Err(NotWritten::Busy));
    drop((session, gone));
    let room = room.crash();
    let session = room.book.find(person("s", 0).id).unwrap();
    assert_eq!((session.scopes().1, session.last_seen_ms()), (narrow(), T0 + 7));
    assert!(room.book.find(person("gone", 0).id).is_none());
}
