//! Which session a token belongs to, what ends it, and that an end stays.

use super::*;
use crate::intern::ScopeSet;
use crate::rules::{Rule, Whom};
use crate::testing::{ABSOLUTE, HOUR, IDLE, MINUTE, Room, T0, machine, person};
use crate::writer::tests::flush;

fn rule(whom: Whom, before_ms: u64) -> Rule {
    Rule { issuer: "https://id".to_owned(), whom, before_ms, made_at_ms: before_ms }
}

fn gone(binding: &Binding) -> Option<Reason> {
    match binding {
        Binding::Gone(reason) => Some(*reason),
        _ => None,
    }
}

fn counter(room: &Room, line: &str) -> bool {
    let text = room.book.audit.metrics.text().unwrap();
    text.lines().any(|l| l == line)
}

#[test]
fn the_first_use_opens_a_session_that_later_tokens_join() {
    let room = Room::new();
    let session = room.live(&person("s", T0 - HOUR), T0);
    assert_eq!(session.opened_at_ms, T0 - HOUR);
    assert_eq!(session.last_seen_ms(), T0);
    let refreshed = room.live(&person("s", T0), T0 + 1);
    assert!(Arc::ptr_eq(&session, &refreshed));
    assert_eq!(session.last_seen_ms(), T0, "binding is no activity");
}

#[test]
fn a_background_question_opens_a_session_but_is_no_presence() {
    let room = Room::new();
    let token = person("s", T0 - 10 * MINUTE);
    let Binding::Live(session) = room.book.bind(&token, false, T0).unwrap() else { panic!("not live") };
    assert_eq!(session.last_seen_ms(), T0 - 10 * MINUTE);
}

#[test]
fn a_token_that_no_access_type_matches_is_refused() {
    let room = Room::new();
    let token = Token { scopes: ScopeSet::new(["other"]), ..person("s", T0) };
    assert!(matches!(room.bind(&token, T0), Binding::Unknown));
    assert!(room.book.find(token.id).is_none());
}

#[test]
fn explicit_enrolment_refuses_what_it_does_not_know() {
    let room = Room::with(Enrolment::Explicit);
    for token in [person("s", T0), machine(T0)] {
        assert!(matches!(room.bind(&token, T0), Binding::Unknown));
    }
}

#[test]
fn an_ended_session_of_a_claim_never_comes_back() {
    let ends = [(Reason::Revoked, T0 + 1), (Reason::IdleTimeout, T0 + IDLE), (Reason::LifetimeExceeded, T0 + ABSOLUTE)];
    for (reason, at_ms) in ends {
        let mut room = Room::new();
        let session = room.live(&person("s", T0), T0);
        match reason {
            Reason::Revoked => assert!(room.book.end(&session, revoked(at_ms), "admin")),
            Reason::IdleTimeout => {}
            Reason::LifetimeExceeded => session.touch(at_ms - 1),
        }
        drop(session);
        let later = at_ms + 100 * HOUR;
        for _ in 0..3 {
            for issued in [T0, at_ms, at_ms + 1, later] {
                assert_eq!(gone(&room.bind(&person("s", issued), later)), Some(reason), "{issued}");
            }
            let end = room.book.read(person("s", 0).id, later).unwrap().unwrap().ended;
            assert_eq!(end, Some(End { reason, at_ms }));
            // First from memory, then from the tombstone, then after a crash.
            flush(&room);
            assert!(room.book.find(person("s", 0).id).is_none(), "buried sessions leave memory");
            room = room.crash();
        }
    }
}

#[test]
fn a_machine_clients_session_comes_back_only_for_a_token_issued_after_the_end() {
    for is_flushed in [false, true] {
        let mut room = Room::new();
        let first = room.live(&machine(T0), T0);
        let end_ms = T0 + HOUR;
        room.book.end(&first, revoked(end_ms), "admin");
        drop(first);
        if is_flushed {
            flush(&room);
            room = room.crash();
        }
        let now = end_ms + HOUR;
        for issued in [T0, end_ms - 1, end_ms] {
            assert_eq!(gone(&room.bind(&machine(issued), now)), Some(Reason::Revoked), "{issued}");
        }
        let second = room.live(&machine(end_ms + 1), now);
        assert_eq!(second.opened_at_ms, end_ms + 1);
        assert_eq!(second.returned, Some(revoked(end_ms)));
        drop(second);
        for _ in 0..2 {
            assert_eq!(gone(&room.bind(&machine(end_ms), now)), Some(Reason::Revoked), "an old token stays refused");
            room.live(&machine(end_ms + 2), now);
            flush(&room);
            room = room.crash();
        }
    }
}

#[test]
fn equal_keys_of_two_kinds_take_the_stricter_one() {
    let room = Room::new();
    let session = room.live(&machine(T0), T0);
    room.book.end(&session, revoked(T0), "admin");
    let claim = Token { kind: KeyKind::Claim, ..machine(T0 + HOUR) };
    assert_eq!(gone(&room.bind(&claim, T0 + HOUR)), Some(Reason::Revoked));
}

#[test]
fn a_rule_ends_what_it_is_against_and_refuses_what_is_not_yet_seen_for_ever() {
    let room = Room::new();
    let now = T0 + HOUR;
    let [old, new] = ["old", "new"].map(|key| room.live(&person(key, if key == "old" { T0 } else { now }), now));
    let other = room.live(&machine(T0), now);
    let ended = room.book.publish(&rule(Whom::Subject("alice".to_owned()), now));
    assert_eq!(ended.len(), 1);
    assert_eq!(old.ended(), Some(revoked(now)));
    assert!(new.ended().is_none() && other.ended().is_none());
    for (token, refused) in [
        (person("unseen", now - 1), true),
        (person("unseen", now), false),
        // An old token of a session that goes on.
        (person("new", now - 1), true),
        (Token { subject: "bob".into(), ..person("bobs", T0) }, false),
    ] {
        assert_eq!(gone(&room.bind(&token, now + HOUR)).is_some(), refused, "{token:?}");
    }
}

#[test]
fn a_rule_and_a_first_use_at_once_never_leave_a_session_alive() {
    let room = Room::new();
    for round in 0..2000 {
        let token = Token { subject: format!("u{round}").into(), ..person(&format!("s{round}"), T0) };
        let rule = rule(Whom::Subject(format!("u{round}")), T0 + 1);
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                barrier.wait();
                drop(room.book.bind(&token, true, T0));
            });
            barrier.wait();
            room.book.publish(&rule);
        });
        let survivor = room.book.find(token.id).filter(|session| session.ended().is_none());
        assert!(survivor.is_none(), "round {round}");
        assert_eq!(gone(&room.bind(&token, T0)), Some(Reason::Revoked));
    }
}

#[test]
fn a_rule_holds_for_stored_sessions_after_a_crash_as_of_when_it_was_made() {
    let room = Room::new();
    room.live(&person("s", T0), T0);
    flush(&room);
    let made = rule(Whom::Everyone, T0 + 5);
    room.store.apply(&[crate::store::Change::Rule(made)]).unwrap();
    let room = room.crash();
    let session = room.book.find(person("s", 0).id).unwrap();
    assert_eq!(session.ended(), Some(revoked(T0 + 5)));
}

#[test]
fn the_cleaner_ends_what_nobody_asks_about_once_and_as_of_its_limit() {
    let room = Room::new();
    let session = room.live(&person("s", T0), T0);
    let clean = |now| (0..SHARDS).for_each(|shard| room.book.clean(shard, now));
    clean(T0 + IDLE - 1);
    assert_eq!(session.ended(), None);
    clean(T0 + IDLE + HOUR);
    clean(T0 + IDLE + 2 * HOUR);
    let end = End { reason: Reason::IdleTimeout, at_ms: T0 + IDLE };
    assert_eq!(session.ended(), Some(end));
    assert!(counter(&room, "portcullis_sessions_ended_total{reason=\"idle_timeout\"} 1"));
    assert!(counter(&room, "portcullis_sessions_live 0"));
}

#[test]
fn a_lost_enrolment_happens_again_and_last_activity_is_only_ever_older() {
    let room = Room::new();
    room.live(&person("lost", T0), T0);
    let room = room.crash();
    assert!(room.book.find(person("lost", 0).id).is_none());
    let session = room.live(&person("lost", T0), T0 + 5);
    assert_eq!(session.opened_at_ms, T0);
    room.book.touch(&session, T0 + 10);
    drop(session);
    flush(&room);
    let session = room.book.find(person("lost", 0).id).unwrap();
    room.book.touch(&session, T0 + 20);
    drop(session);
    let room = room.crash();
    let session = room.book.find(person("lost", 0).id).unwrap();
    assert_eq!(session.last_seen_ms(), T0 + 10);
}

#[test]
fn pages_show_every_session_once_wherever_it_is() {
    let room = Room::new();
    for n in 0..30 {
        let session = room.live(&person(&format!("s{n}"), T0), T0);
        if n % 3 == 0 {
            room.book.end(&session, revoked(T0), "admin");
        }
        if n == 20 {
            flush(&room);
        }
    }
    let all = |active, limit| {
        let filter = Filter { active, ..Filter::default() };
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = room.book.page(&filter, after, limit, T0).unwrap();
            assert!(page.sessions.len() <= limit);
            ids.extend(page.sessions.iter().map(Record::id));
            match page.next {
                None => return ids,
                next => after = next,
            }
        }
    };
    for limit in [1, 7, 10, 30, 1000] {
        let ids = all(None, limit);
        assert_eq!(ids.len(), 30, "{limit}");
        assert!(ids.is_sorted());
        assert_eq!(all(Some(true), limit).len(), 20, "{limit}");
        assert_eq!(all(Some(false), limit).len(), 10, "{limit}");
    }
}

#[test]
fn forgetting_an_ended_session_leaves_the_one_that_came_in_its_place() {
    let room = Room::new();
    let old = room.live(&machine(T0), T0);
    room.book.end(&old, revoked(T0), "admin");
    let new = room.live(&machine(T0 + 1), T0 + 1);
    room.book.forget(&old);
    let held = room.book.find(new.id).unwrap();
    assert!(Arc::ptr_eq(&held, &new));
}
