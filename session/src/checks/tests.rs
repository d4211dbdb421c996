//! What a filter is answered on one stream, message by message.

use super::desk::{Answers, Broken, Desk};
use crate::book::revoked;
use crate::id::SessionId;
use crate::intern::ScopeSet;
use crate::judge::{End, Reason};
use crate::rules::{Rule, Whom};
use crate::session::Stored;
use crate::testing::{ABSOLUTE, HOUR, IDLE, MINUTE, Room, T0};
use crate::wire::{FilterMessage, Hello, Outcome, Question, Route, Scopes, SessionKey, Token, Verdict};
use crate::writer::tests::flush;
use std::sync::Arc;

/// The routes of every test, by index.
pub(super) const PLAIN: u32 = 0;
pub(super) const BACKGROUND: u32 = 1;
pub(super) const YOUNG: u32 = 2;
pub(super) const BUSY: u32 = 3;
const WRITE: u32 = 4;

pub(super) fn hello() -> Hello {
    let route = |name: &str| Route { name: name.to_owned(), ..Route::default() };
    let routes = vec![
        route("plain"),
        Route { background: true, ..route("background") },
        Route { max_age_ms: Some(15 * MINUTE), ..route("young") },
        Route { max_idle_ms: Some(5 * MINUTE), ..route("busy") },
        Route {
            all_of: vec!["orders:write".to_owned()],
            any_of: vec![group(&["admin"]), group(&["openid"])],
            ..route("write")
        },
    ];
    Hello { routes, ..Hello::default() }
}

fn group(scopes: &[&str]) -> Scopes {
    Scopes { scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect() }
}

pub(super) fn token(handle: u32, key: &str, issued_at_ms: u64) -> Token {
    Token {
        handle,
        issuer: "https://id".to_owned(),
        key_kind: SessionKey::Claim as i32,
        session_key: key.to_owned(),
        subject: "alice".to_owned(),
        client_id: "web".to_owned(),
        scopes: ["openid", "orders:read", "orders:write"].map(str::to_owned).to_vec(),
        issued_at_ms,
        expires_at_ms: issued_at_ms + HOUR,
        ..Token::default()
    }
}

pub(super) fn machine(handle: u32, issued_at_ms: u64) -> Token {
    Token {
        key_kind: SessionKey::Client as i32,
        grant: "client_credentials".to_owned(),
        ..token(handle, "robot", issued_at_ms)
    }
}

fn question(token: u32, route: u32) -> Question {
    Question { id: 100 + token, token, route, ..Question::default() }
}

pub(super) fn id(key: &str) -> SessionId {
    SessionId::of("https://id", key)
}

/// A stream of the room's book on which hello has been said.
pub(super) struct Stream(pub(super) Desk);

impl Stream {
    pub(super) fn open(room: &Room) -> Self {
        let mut desk = Desk::new(Arc::clone(&room.book));
        desk.read(FilterMessage { hello: Some(hello()), ..FilterMessage::default() }, T0).unwrap();
        Self(desk)
    }

    pub(super) fn tell(&mut self, token: Token, now_ms: u64) {
        let message = FilterMessage { tokens: vec![token], ..FilterMessage::default() };
        assert!(self.0.read(message, now_ms).unwrap().verdicts.is_empty());
    }

    pub(super) fn answers(&mut self, token: u32, route: u32, now_ms: u64) -> Answers {
        let message = FilterMessage { questions: vec![question(token, route)], ..FilterMessage::default() };
        self.0.read(message, now_ms).unwrap()
    }

    fn ask(&mut self, token: u32, route: u32, now_ms: u64) -> Verdict {
        let [verdict] = <[Verdict; 1]>::try_from(self.answers(token, route, now_ms).verdicts).unwrap();
        assert_eq!(verdict.id, 100 + token);
        verdict
    }

    pub(super) fn outcome(&mut self, token: u32, route: u32, now_ms: u64) -> Outcome {
        self.ask(token, route, now_ms).outcome()
    }
}

#[test]
fn questions_of_one_message_are_answered_together_and_tokens_come_before_them() {
    let room = Room::new();
    let mut desk = Desk::new(Arc::clone(&room.book));
    let message = FilterMessage {
        hello: Some(hello()),
        tokens: vec![token(7, "a", T0), token(8, "b", T0 - HOUR)],
        questions: vec![question(8, PLAIN), question(7, PLAIN), question(7, BACKGROUND)],
        forgotten: vec![8],
        ..FilterMessage::default()
    };
    let answers = desk.read(message, T0 + 1).unwrap();
    let told: Vec<_> = answers.verdicts.iter().map(|v| (v.id, v.outcome(), v.remaining_ms, v.idle_ms)).collect();
    let active = Outcome::Active;
    assert_eq!(
        told,
        [
            (108, active, Some(ABSOLUTE - HOUR - 1), Some(IDLE)),
            (107, active, Some(ABSOLUTE - 1), Some(IDLE)),
            (107, active, Some(ABSOLUTE - 1), Some(IDLE)),
        ]
    );
    let asked = FilterMessage { questions: vec![question(8, PLAIN)], ..FilterMessage::default() };
    assert!(matches!(desk.read(asked, T0 + 2), Err(Broken::Contract(_))), "a forgotten handle is void");
}

#[test]
fn a_message_that_breaks_the_contract_closes_the_stream() {
    let said = || FilterMessage { hello: Some(hello()), ..FilterMessage::default() };
    let none = FilterMessage::default;
    let rows: Vec<(&str, Vec<FilterMessage>)> = vec![
        ("no hello", vec![none()]),
        ("two hellos", vec![said(), said()]),
        ("unknown handle", vec![FilterMessage { questions: vec![question(1, PLAIN)], ..said() }]),
        (
            "unknown route",
            vec![FilterMessage { tokens: vec![token(1, "a", T0)], questions: vec![question(1, 5)], ..said() }],
        ),
        (
            "handle told twice",
            vec![
                FilterMessage { tokens: vec![token(1, "a", T0)], ..said() },
                FilterMessage { tokens: vec![token(1, "a", T0)], ..none() },
            ],
        ),
        ("no kind of key", vec![FilterMessage { tokens: vec![Token { key_kind: 0, ..token(1, "a", T0) }], ..said() }]),
        (
            "unknown kind of key",
            vec![FilterMessage { tokens: vec![Token { key_kind: 9, ..token(1, "a", T0) }], ..said() }],
        ),
    ];
    for (name, mut messages) in rows {
        let room = Room::new();
        let mut desk = Desk::new(Arc::clone(&room.book));
        let last = messages.pop().unwrap();
        for message in messages {
            desk.read(message, T0).unwrap();
        }
        assert!(matches!(desk.read(last, T0), Err(Broken::Contract(_))), "{name}");
    }
}

#[test]
fn only_an_active_question_of_a_route_that_is_not_background_is_activity() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    let seen = || room.book.find(id("s")).unwrap().last_seen_ms() - T0;
    for (route, after, outcome, seen_after) in [
        (BACKGROUND, 4 * MINUTE, Outcome::Active, 0),
        (PLAIN, 5 * MINUTE, Outcome::Active, 5 * MINUTE),
        (BUSY, 10 * MINUTE, Outcome::IdleTimeout, 5 * MINUTE),
        (BUSY, 10 * MINUTE - 1, Outcome::Active, 10 * MINUTE - 1),
        (YOUNG, 15 * MINUTE, Outcome::StepUpRequired, 10 * MINUTE - 1),
        (PLAIN, 16 * MINUTE, Outcome::Active, 16 * MINUTE),
        // A clock that went back makes nothing older.
        (PLAIN, 12 * MINUTE, Outcome::Active, 16 * MINUTE),
    ] {
        assert_eq!(stream.outcome(1, route, T0 + after), outcome, "{route} {after}");
        assert_eq!(seen(), seen_after, "{route} {after}");
    }
    assert_eq!(stream.outcome(1, BACKGROUND, T0 + 16 * MINUTE + IDLE), Outcome::IdleTimeout);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::IdleTimeout, "an end is final");
}

#[test]
fn a_revoked_session_is_refused_at_the_next_question_on_every_stream() {
    let room = Room::new();
    let mut streams = [Stream::open(&room), Stream::open(&room)];
    for stream in &mut streams {
        stream.tell(token(1, "s", T0), T0);
        assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    }
    let session = room.book.find(id("s")).unwrap();
    room.book.end(&session, revoked(T0 + 1), "admin");
    for stream in &mut streams {
        assert_eq!(stream.outcome(1, PLAIN, T0 + 1), Outcome::Revoked);
    }
}

#[test]
fn a_rule_reaches_tokens_that_are_bound() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    // The session starts late, this token of it early: only the token is before the rule.
    stream.tell(token(1, "s", T0 + HOUR), T0 + HOUR);
    stream.tell(token(2, "s", T0), T0 + HOUR);
    for handle in [1, 2] {
        assert_eq!(stream.outcome(handle, PLAIN, T0 + HOUR), Outcome::Active);
    }
    room.book.publish(&Rule {
        issuer: "https://id".to_owned(),
        whom: Whom::Client("web".to_owned()),
        before_ms: T0 + 1,
        made_at_ms: T0 + HOUR,
    });
    assert_eq!(stream.outcome(1, PLAIN, T0 + HOUR), Outcome::Active);
    assert_eq!(stream.outcome(2, PLAIN, T0 + HOUR), Outcome::Revoked);
}

#[test]
fn scopes_beyond_the_first_tokens_are_escalation() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    let mut more = token(2, "s", T0 + 1);
    more.scopes.push("admin".to_owned());
    stream.tell(more, T0 + 1);
    assert_eq!(stream.outcome(2, PLAIN, T0 + 1), Outcome::ScopeEscalation);
    assert_eq!(stream.outcome(1, PLAIN, T0 + 1), Outcome::Active);
}

#[test]
fn a_change_of_scopes_is_in_the_next_verdict_only_where_it_takes_something() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    stream.tell(Token { scopes: vec!["openid".to_owned()], ..token(2, "s", T0) }, T0);
    let left = |stream: &mut Stream, handle| stream.ask(handle, PLAIN, T0).narrowed.map(|left| left.scopes);
    assert_eq!(left(&mut stream, 1), None);
    let session = room.book.find(id("s")).unwrap();
    session.set_scopes(ScopeSet::new(["openid", "orders:read"]));
    assert_eq!(left(&mut stream, 1), Some(vec!["openid".to_owned(), "orders:read".to_owned()]));
    assert_eq!(left(&mut stream, 2), None);
    session.set_scopes(ScopeSet::new(["orders:write"]));
    assert_eq!(left(&mut stream, 1), Some(vec!["orders:write".to_owned()]));
    assert_eq!(left(&mut stream, 2), Some(vec![]), "no scope left is not the same as nothing said");
    session.set_scopes(session.granted.clone());
    assert_eq!(left(&mut stream, 1), None);
}

#[test]
fn a_question_that_the_scopes_left_do_not_cover_is_no_activity() {
    for (left, touches) in [
        (&["openid", "orders:read", "orders:write"][..], true),
        (&["openid", "orders:write"], true),
        (&["orders:write"], false),
        (&["openid"], false),
        (&[], false),
    ] {
        let room = Room::new();
        let mut stream = Stream::open(&room);
        stream.tell(token(1, "s", T0), T0);
        assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
        let session = room.book.find(id("s")).unwrap();
        session.set_scopes(ScopeSet::new(left.iter().copied()));
        assert_eq!(stream.outcome(1, WRITE, T0 + MINUTE), Outcome::Active);
        assert_eq!(session.last_seen_ms(), if touches { T0 + MINUTE } else { T0 }, "{left:?}");
    }
}

#[test]
fn an_old_handle_stays_refused_after_its_client_came_back() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(machine(1, T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    let end_ms = T0 + 12 * HOUR;
    assert_eq!(stream.outcome(1, PLAIN, end_ms), Outcome::LifetimeExceeded);
    stream.tell(machine(2, end_ms), end_ms + 1);
    assert_eq!(stream.outcome(2, PLAIN, end_ms + 1), Outcome::LifetimeExceeded, "issued at the end is not after it");
    stream.tell(machine(3, end_ms + 1), end_ms + 1);
    assert_eq!(stream.outcome(3, PLAIN, end_ms + 1), Outcome::Active);
    for handle in [1, 2] {
        assert_eq!(stream.outcome(handle, PLAIN, end_ms + 2), Outcome::LifetimeExceeded);
    }
}

#[test]
fn an_unknown_session_is_known_once_the_admin_opens_it() {
    let room = Room::with(crate::book::Enrolment::Explicit);
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::UnknownSession);
    let access = room.book.access().named("person").unwrap();
    let draft = room.book.draft(&crate::testing::person("s", T0), &access, T0).unwrap().unwrap();
    room.book.enter(&Arc::new(draft), T0).unwrap();
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
}

#[test]
fn an_end_that_nothing_on_disk_would_tell_is_to_be_buried_before_it_is_answered() {
    // Found over at its first question, by its background route.
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0 - HOUR), T0);
    let answers = stream.answers(1, BACKGROUND, T0);
    assert_eq!(answers.verdicts[0].outcome(), Outcome::IdleTimeout);
    assert_eq!(answers.to_bury.len(), 1);
    let end = End { reason: Reason::IdleTimeout, at_ms: T0 - HOUR + IDLE };
    assert_eq!(answers.to_bury[0].ended(), Some(end));

    // Bound on another stream, once it is over.
    stream.tell(token(2, "t", T0), T0);
    assert_eq!(stream.outcome(2, PLAIN, T0), Outcome::Active);
    let mut other = Stream::open(&room);
    other.tell(token(2, "t", T0), T0);
    assert_eq!(other.answers(2, PLAIN, T0 + IDLE).to_bury.len(), 1);

    // Not where the record is on disk: it is judged again after a crash, and comes to the same.
    stream.tell(token(3, "u", T0), T0);
    assert_eq!(stream.outcome(3, PLAIN, T0), Outcome::Active);
    flush(&room);
    assert_eq!(room.book.find(id("u")).unwrap().stored(), Stored::Record);
    let answers = stream.answers(3, PLAIN, T0 + IDLE);
    assert_eq!((answers.verdicts[0].outcome(), answers.to_bury.len()), (Outcome::IdleTimeout, 0));
}

#[test]
fn a_refusal_is_told_once_for_each_token_and_outcome_and_counted_each_time() {
    let room = Room::new();
    let mut events = room.book.audit.events();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "s", T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    for _ in 0..5 {
        assert_eq!(stream.outcome(1, YOUNG, T0 + 20 * MINUTE), Outcome::StepUpRequired);
        assert_eq!(stream.outcome(1, BUSY, T0 + 20 * MINUTE), Outcome::IdleTimeout);
    }
    let names: Vec<&str> = std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.name).collect();
    assert_eq!(names, ["opened", "denied", "denied"]);
    let metrics = room.book.audit.metrics.text().unwrap();
    for line in ["{outcome=\"step_up_required\"} 5", "{outcome=\"idle_timeout\"} 5", "{outcome=\"active\"} 1"] {
        assert!(metrics.contains(&format!("portcullis_questions_total{line}")), "{line}");
    }
}

#[test]
fn a_token_without_a_key_names_no_session_and_closes_nothing() {
    let room = Room::new();
    let mut stream = Stream::open(&room);
    stream.tell(token(1, "", T0), T0);
    let nameless = Token { issuer: String::new(), ..token(2, "s", T0) };
    stream.tell(nameless, T0);
    for handle in [1, 2] {
        assert_eq!(stream.outcome(handle, PLAIN, T0), Outcome::UnknownSession);
    }
}
