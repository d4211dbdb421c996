//! What the followers of a session are told, and when.

use super::desk::Desk;
use super::follows::{FOLLOWS_MAX, Follows, Occasion};
use super::tests::{BACKGROUND, BUSY, PLAIN, Stream, YOUNG, hello, id, machine, token};
use crate::book::{Enrolment, revoked};
use crate::checks::desk::{Answers, Broken};
use crate::intern::ScopeSet;
use crate::judge::Asked;
use crate::rules::{Rule, Whom};
use crate::session::Stored;
use crate::testing::{ABSOLUTE, HOUR, IDLE, MINUTE, Room, T0, person};
use crate::wire::{FilterMessage, Follow, Outcome, Verdict};
use std::sync::{Arc, Barrier};

fn follow(id: u32, token: u32, route: u32) -> Follow {
    Follow { id, token, route }
}

impl Stream {
    fn send(&mut self, message: FilterMessage, now_ms: u64) -> Vec<Verdict> {
        self.0.read(message, now_ms).unwrap().followed
    }

    fn follow(&mut self, follows: &[Follow], now_ms: u64) -> Vec<(u32, Outcome)> {
        told(&self.send(FilterMessage { follows: follows.to_vec(), ..FilterMessage::default() }, now_ms))
    }

    fn active(&mut self, ids: &[u32], now_ms: u64) -> Vec<(u32, Outcome)> {
        told(&self.send(FilterMessage { active: ids.to_vec(), ..FilterMessage::default() }, now_ms))
    }

    fn look(&mut self, now_ms: u64) -> Vec<(u32, Outcome)> {
        told(&self.0.look(now_ms).unwrap().followed)
    }
}

fn told(followed: &[Verdict]) -> Vec<(u32, Outcome)> {
    let mut told: Vec<_> = followed.iter().map(|verdict| (verdict.id, verdict.outcome())).collect();
    told.sort_unstable_by_key(|(id, _)| *id);
    told
}

const ACTIVE: Outcome = Outcome::Active;

#[test]
fn a_revocation_is_told_once_wherever_it_falls_between_entering_and_judging() {
    // All orders of two steps each: the follow is entered, then judged; the end is in memory, then told.
    let orders = ["EJRT", "ERJT", "ERTJ", "REJT", "RETJ", "RTEJ"];
    for order in orders {
        for is_enrolled in [true, false] {
            let room = Room::new();
            let token = Arc::new(person("s", T0));
            // Another token of the session may have opened it.
            let session = room.live(&person("s", T0), T0);
            let mut follows = Follows::new(&room.book);
            let mut answers = Answers::default();
            if is_enrolled {
                follows.open(1, Arc::clone(&token), Asked::default(), T0, &mut answers).unwrap();
            }
            for step in order.chars() {
                match step {
                    'E' => follows.enter(7, Arc::clone(&token), Asked::default()).unwrap(),
                    'J' => follows.judge(7, Occasion::Entered, T0, &mut answers).unwrap(),
                    'R' => assert!(session.end(revoked(T0))),
                    'T' => room.book.followers.changed(session.id),
                    _ => unreachable!("{order}"),
                }
                // The stream may be woken at any time.
                if order.starts_with("ER") && step == 'T' {
                    follows.look(T0, &mut answers).unwrap();
                }
            }
            follows.look(T0, &mut answers).unwrap();
            follows.look(T0, &mut answers).unwrap();
            let of_7: Vec<_> = answers.followed.iter().filter(|v| v.id == 7).map(Verdict::outcome).collect();
            assert_eq!(of_7.last(), Some(&Outcome::Revoked), "{order}: a revocation is lost");
            assert_eq!(of_7.iter().filter(|outcome| **outcome != ACTIVE).count(), 1, "{order}");
        }
    }
}

#[test]
fn a_follow_is_in_the_register_before_it_is_judged() {
    let room = Room::new();
    let token = Arc::new(person("s", T0));
    let mut follows = Follows::new(&room.book);
    follows.enter(7, Arc::clone(&token), Asked::default()).unwrap();
    room.book.followers.changed(token.id);
    assert!(follows.mailbox().take().follows.contains(&7));
}

#[test]
fn no_end_is_lost_between_threads() {
    let room = Room::new();
    for n in 0..3_000 {
        let token = Arc::new(person(&format!("s{n}"), T0));
        let session = room.live(&token, T0);
        let mut follows = Follows::new(&room.book);
        let mut answers = Answers::default();
        let gate = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                gate.wait();
                room.book.end(&session, revoked(T0), "admin");
            });
            gate.wait();
            // Not always at the same instant of the other thread.
            (0..n % 50).for_each(|_| std::hint::spin_loop());
            follows.open(7, token, Asked::default(), T0, &mut answers).unwrap();
        });
        follows.look(T0, &mut answers).unwrap();
        assert_eq!(answers.followed.last().map(Verdict::outcome), Some(Outcome::Revoked), "{n}");
    }
}

#[test]
fn a_change_of_scopes_is_not_lost_wherever_it_falls_between_entering_and_judging() {
    for order in ["EJRT", "ERJT", "ERTJ", "REJT", "RETJ", "RTEJ"] {
        let room = Room::new();
        let token = Arc::new(person("s", T0));
        let session = room.live(&token, T0);
        let mut follows = Follows::new(&room.book);
        let mut answers = Answers::default();
        for step in order.chars() {
            match step {
                'E' => follows.enter(7, Arc::clone(&token), Asked::default()).unwrap(),
                'J' => follows.judge(7, Occasion::Entered, T0, &mut answers).unwrap(),
                'R' => session.set_scopes(ScopeSet::new(["openid"])),
                _ => room.book.followers.changed(session.id),
            }
        }
        follows.look(T0, &mut answers).unwrap();
        let left = answers.followed.last().and_then(|verdict| verdict.narrowed.clone()).map(|left| left.scopes);
        assert_eq!(left, Some(vec!["openid".to_owned()]), "{order}");
    }
}

#[test]
fn every_follow_of_a_session_hears_of_its_end_and_no_other_does() {
    let room = Room::new();
    let mut streams = [Stream::open(&room), Stream::open(&room)];
    for stream in &mut streams {
        stream.tell(token(1, "s", T0), T0);
        stream.tell(token(2, "t", T0), T0);
        let follows = [follow(1, 1, PLAIN), follow(2, 1, BACKGROUND), follow(3, 2, PLAIN)];
        assert_eq!(stream.follow(&follows, T0), [(1, ACTIVE), (2, ACTIVE), (3, ACTIVE)]);
        // The follow outlives the handle.
        stream.send(FilterMessage { forgotten: vec![1, 2], ..FilterMessage::default() }, T0);
    }
    room.book.end(&room.book.find(id("s")).unwrap(), revoked(T0), "admin");
    for stream in &mut streams {
        assert_eq!(stream.look(T0), [(1, Outcome::Revoked), (2, Outcome::Revoked)]);
        assert_eq!(stream.look(T0), []);
    }
    let metrics = room.book.audit.metrics.text().unwrap();
    for line in ["cuts_total{outcome=\"revoked\"} 4", "follows_total 6", "follows_open 2"] {
        assert!(metrics.contains(&format!("portcullis_{line}")), "{line}: {metrics}");
    }
    drop(streams);
    assert!(room.book.audit.metrics.text().unwrap().contains("portcullis_follows_open 0"));
}

#[test]
fn a_follow_that_is_taken_back_hears_nothing_and_its_id_is_free() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    stream.follow(&[follow(1, 1, PLAIN), follow(2, 1, PLAIN)], T0);
    let unfollowed = FilterMessage { unfollowed: vec![1, 77], active: vec![1, 78], ..FilterMessage::default() };
    assert_eq!(stream.send(unfollowed, T0), []);
    room.book.end(&room.book.find(id("s")).unwrap(), revoked(T0), "admin");
    assert_eq!(stream.look(T0), [(2, Outcome::Revoked)]);
    assert_eq!(stream.look(T0 + ABSOLUTE), []);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN), follow(2, 1, PLAIN)], T0).len(), 2);
    assert_eq!(stream.0.due_ms(), None, "nothing is open any more");
}

#[test]
fn a_follow_that_breaks_the_contract_closes_the_stream() {
    let rows = [("unknown handle", vec![follow(1, 9, PLAIN)]), ("unknown route", vec![follow(1, 1, 99)])];
    let twice = ("an id that is open", vec![follow(1, 1, PLAIN), follow(1, 1, BACKGROUND)]);
    for (name, follows) in rows.into_iter().chain([twice]) {
        let room = Room::new();
        let mut desk = Desk::new(Arc::clone(&room.book));
        let message = FilterMessage {
            hello: Some(hello()),
            tokens: vec![token(1, "s", T0)],
            follows,
            ..FilterMessage::default()
        };
        assert!(matches!(desk.read(message, T0), Err(Broken::Contract(_))), "{name}");
    }
}

#[test]
fn the_number_of_follows_is_bounded() {
    let room = Room::new();
    let mut follows = Follows::new(&room.book);
    let token = Arc::new(person("s", T0));
    for id in 0..u32::try_from(FOLLOWS_MAX).unwrap() {
        follows.enter(id, Arc::clone(&token), Asked::default()).unwrap();
    }
    assert!(matches!(follows.enter(u32::MAX, token, Asked::default()), Err(Broken::Contract(_))));
}

#[test]
fn limits_are_met_without_a_question_each_at_its_instant() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    let follows = [follow(1, 1, PLAIN), follow(2, 1, YOUNG), follow(3, 1, BUSY), follow(4, 1, BACKGROUND)];
    assert_eq!(stream.follow(&follows, T0).len(), 4);
    for (after, outcome) in [
        (5 * MINUTE, vec![(3, Outcome::IdleTimeout)]),
        (15 * MINUTE, vec![(2, Outcome::StepUpRequired)]),
        (IDLE, vec![(1, Outcome::IdleTimeout), (4, Outcome::IdleTimeout)]),
    ] {
        assert_eq!(stream.0.due_ms(), Some(T0 + after));
        assert_eq!(stream.look(T0 + after - 1), []);
        assert_eq!(stream.look(T0 + after), outcome);
    }
    assert_eq!(stream.0.due_ms(), None);
    assert!(room.book.find(id("s")).unwrap().ended().is_some(), "its own limit ends the session, not only the follow");
}

#[test]
fn activity_moves_the_idle_limit_and_nothing_moves_the_lifetime() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    stream.follow(&[follow(1, 1, PLAIN), follow(2, 1, BUSY), follow(3, 1, BACKGROUND)], T0);
    // A route's limits are of the session: activity on one follow is activity for all.
    let mut now_ms = T0;
    while now_ms + 4 * MINUTE < T0 + ABSOLUTE - 1 {
        now_ms += 4 * MINUTE;
        assert_eq!(stream.active(&[1], now_ms), []);
        assert_eq!(stream.look(now_ms), []);
    }
    assert_eq!(stream.look(T0 + ABSOLUTE - 1), []);
    assert_eq!(stream.active(&[1], T0 + ABSOLUTE).len(), 3);
    assert_eq!(room.book.find(id("s")).unwrap().ended().map(|end| end.at_ms), Some(T0 + ABSOLUTE));
}

#[test]
fn only_bytes_on_a_route_that_is_not_background_are_activity() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    let seen = || room.book.find(id("s")).unwrap().last_seen_ms() - T0;
    stream.follow(&[follow(1, 1, PLAIN), follow(2, 1, BACKGROUND)], T0);
    stream.follow(&[follow(3, 1, PLAIN)], T0 + MINUTE);
    assert_eq!(seen(), 0, "a follow is no activity");
    stream.active(&[2], T0 + MINUTE);
    assert_eq!(seen(), 0, "background");
    stream.active(&[1], T0 + MINUTE);
    assert_eq!(seen(), MINUTE);
    // Bytes that come too late do not bring back what is over.
    let over = [(1, Outcome::IdleTimeout), (2, Outcome::IdleTimeout), (3, Outcome::IdleTimeout)];
    assert_eq!(stream.active(&[1], T0 + MINUTE + IDLE), over);
    assert_eq!(seen(), MINUTE);
}

#[test]
fn scopes_are_told_when_they_change_and_only_to_tokens_that_lose_or_regain_some() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    stream.tell(crate::wire::Token { scopes: vec!["openid".to_owned()], ..token(2, "s", T0) }, T0);
    stream.follow(&[follow(1, 1, PLAIN), follow(2, 2, PLAIN)], T0);
    let session = room.book.find(id("s")).unwrap();
    let mut left = |scopes: &[&str]| {
        room.book.set_scopes(&session, ScopeSet::new(scopes));
        let followed = stream.0.look(T0).unwrap().followed;
        followed
            .into_iter()
            .map(|v| (v.id, v.outcome(), v.narrowed.map(|left| left.scopes.join(" "))))
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&["openid", "orders:read"]), [(1, ACTIVE, Some("openid orders:read".to_owned()))]);
    assert_eq!(left(&["openid", "orders:read"]), []);
    assert_eq!(left(&["openid", "orders:read", "orders:write"]), [(1, ACTIVE, None)]);
}

#[test]
fn a_rule_is_told_to_followed_sessions_and_to_tokens_of_sessions_that_live_on() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    let now_ms = T0 + HOUR;
    for (handle, key, issued) in [(1, "late", now_ms), (2, "late", T0), (3, "early", T0)] {
        stream.tell(token(handle, key, issued), now_ms);
        assert_eq!(stream.follow(&[follow(handle, handle, PLAIN)], now_ms), [(handle, ACTIVE)]);
    }
    room.book.publish(&Rule {
        issuer: "https://id".to_owned(),
        whom: Whom::Subject("alice".to_owned()),
        before_ms: T0 + 1,
        made_at_ms: now_ms,
    });
    assert_eq!(stream.look(now_ms), [(2, Outcome::Revoked), (3, Outcome::Revoked)]);
}

#[test]
fn a_follow_is_of_one_session_and_not_of_the_one_that_comes_in_its_place() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    // Issued by a clock that is ahead: the token would open the session anew once it is over.
    stream.tell(machine(1, T0 + HOUR), T0);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN)], T0), [(1, ACTIVE)]);
    room.book.end(&room.book.find(id("robot")).unwrap(), revoked(T0), "admin");
    // Nor does it open that one.
    assert_eq!(stream.look(T0), [(1, Outcome::Revoked)]);
    assert!(room.book.find(id("robot")).unwrap().ended().is_some());

    assert_eq!(stream.outcome(1, PLAIN, T0), ACTIVE);
    stream.tell(machine(2, T0 + HOUR), T0);
    assert_eq!(stream.follow(&[follow(1, 2, PLAIN)], T0), [(1, ACTIVE)]);
    room.book.end(&room.book.find(id("robot")).unwrap(), revoked(T0), "admin");
    let answers = stream.answers(1, PLAIN, T0);
    assert_eq!(answers.verdicts.iter().map(Verdict::outcome).collect::<Vec<_>>(), [ACTIVE]);
    assert_eq!(told(&answers.followed), [(1, Outcome::Revoked)]);
}

#[test]
fn a_follow_that_nothing_stands_behind_ends_at_once() {
    let room = Room::with(Enrolment::Explicit);
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN)], T0), [(1, Outcome::UnknownSession)]);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN)], T0), [(1, Outcome::UnknownSession)], "the id is free again");
}

#[test]
fn a_follow_at_another_replica_opens_the_session_as_of_now() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    // Logged in long ago, and active ever since: elsewhere.
    stream.tell(token(1, "s", T0 - HOUR), T0);
    assert_eq!(stream.follow(&[follow(1, 1, PLAIN)], T0), [(1, ACTIVE)]);
    assert_eq!(stream.0.due_ms(), Some(T0 + IDLE));
    // Background traffic is no presence.
    stream.tell(token(2, "t", T0 - HOUR), T0);
    assert_eq!(stream.follow(&[follow(2, 2, BACKGROUND)], T0), [(2, Outcome::IdleTimeout)]);
}

#[test]
fn an_end_that_a_timer_finds_is_buried_before_it_is_told() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    stream.follow(&[follow(1, 1, PLAIN), follow(2, 1, PLAIN)], T0);
    let answers = stream.0.look(T0 + IDLE).unwrap();
    assert_eq!((answers.followed.len(), answers.to_bury.is_empty()), (2, false));
    assert!(answers.to_bury.iter().all(|session| session.stored() == Stored::Nothing));
}
