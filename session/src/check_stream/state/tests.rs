//! What a filter is answered on one stream, message by message.

use super::StreamState;
use crate::audit::{Actor, EndedBy, Kind, Next};
use crate::check_stream::{Answers, Broken, Destination, RouteTables};
#[cfg(feature = "conditions")]
use crate::conditions::Conditions;
use crate::fixtures::{ABSOLUTE, Fixture, HOUR, IDLE, MINUTE, T0};
use crate::intern::ScopeSet;
use crate::judge::{End, Reason};
use crate::life::Stage;
use crate::made_by::MadeBy;
use crate::metrics::Opened;
use crate::narrowings::Left;
use crate::registry::{Registry, revoked};
use crate::revocations::{Revocation, RevokedParty};
use portcullis_contract::wire::{FilterMessage, Hello, Outcome, Question, Route, Scopes, SessionKey, Token, Verdict};
use portcullis_contract::{KeyKind, SessionId};
use std::sync::Arc;

/// The routes of every test, by index.
pub(in crate::check_stream) const PLAIN: u32 = 0;
pub(in crate::check_stream) const BACKGROUND: u32 = 1;
pub(in crate::check_stream) const YOUNG: u32 = 2;
pub(in crate::check_stream) const BUSY: u32 = 3;
const WRITE: u32 = 4;

pub(in crate::check_stream) fn hello() -> Hello {
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

pub(in crate::check_stream) fn token(handle: u32, key: &str, issued_at_ms: u64) -> Token {
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

pub(in crate::check_stream) fn machine(handle: u32, issued_at_ms: u64) -> Token {
    Token {
        key_kind: SessionKey::Machine as i32,
        grant: "client_credentials".to_owned(),
        ..token(handle, "robot", issued_at_ms)
    }
}

fn question(token: u32, route: u32) -> Question {
    Question { id: 100 + token, token, route, ..Question::default() }
}

pub(in crate::check_stream) fn id(key: &str) -> SessionId {
    SessionId::of(KeyKind::Claim, "https://id", key, "web")
}

pub(in crate::check_stream) fn robot() -> SessionId {
    SessionId::of(KeyKind::Machine, "https://id", "robot", "web")
}

/// The state of a stream on which nothing has been sent.
pub(in crate::check_stream) fn fresh(fixture: &Fixture) -> StreamState {
    let (registry, audit) = (Arc::clone(&fixture.registry), Arc::clone(&fixture.audit));
    StreamState::new(registry, audit, Arc::clone(&fixture.metrics), Arc::default())
}

/// A stream on which the hello has been sent.
pub(in crate::check_stream) struct Stream(
    pub(in crate::check_stream) StreamState,
    pub(in crate::check_stream) Arc<Registry>,
);

impl Stream {
    pub(in crate::check_stream) fn open(fixture: &Fixture) -> Self {
        let mut state = fresh(fixture);
        state.receive(FilterMessage { hello: Some(hello()), ..FilterMessage::default() }, T0).unwrap();
        Self(state, Arc::clone(&fixture.registry))
    }

    /// The same, where these conditions decide as well.
    #[cfg(feature = "conditions")]
    pub(in crate::check_stream) fn judged(fixture: &Fixture, conditions: &Arc<Conditions>) -> Self {
        let mut state = fresh(fixture).judging_by(Some(Arc::clone(conditions)));
        state.receive(FilterMessage { hello: Some(hello()), ..FilterMessage::default() }, T0).unwrap();
        Self(state, Arc::clone(&fixture.registry))
    }

    /// The answers to a message, once all look-ups are made.
    pub(in crate::check_stream) fn send(&mut self, message: FilterMessage, now_ms: u64) -> Answers {
        let mut all = self.0.receive(message, now_ms).unwrap();
        while !all.look_ups.is_empty() {
            let look_ups = std::mem::take(&mut all.look_ups);
            let found: Vec<_> = look_ups.into_iter().map(|look_up| self.1.look_up(&look_up).unwrap()).collect();
            let more = self.0.looked_up(&found, now_ms);
            all.verdicts.extend(more.verdicts);
            all.followed.extend(more.followed);
            all.held.extend(more.held);
            all.look_ups.extend(more.look_ups);
        }
        assert_eq!(self.0.waiting(), 0);
        all
    }

    pub(in crate::check_stream) fn describe(&mut self, token: Token, now_ms: u64) {
        let message = FilterMessage { tokens: vec![token], ..FilterMessage::default() };
        assert!(self.0.receive(message, now_ms).unwrap().verdicts.is_empty());
    }

    pub(in crate::check_stream) fn answers(&mut self, token: u32, route: u32, now_ms: u64) -> Answers {
        self.send(FilterMessage { questions: vec![question(token, route)], ..FilterMessage::default() }, now_ms)
    }

    fn ask(&mut self, token: u32, route: u32, now_ms: u64) -> Verdict {
        let answers = self.answers(token, route, now_ms);
        let [verdict] = <[Verdict; 1]>::try_from(verdicts(answers, Destination::Question)).unwrap();
        assert_eq!(verdict.id, 100 + token);
        verdict
    }

    /// The outcome of a question that needs no look-up.
    fn outcome_now(&mut self, token: u32) -> Outcome {
        let asks = FilterMessage { questions: vec![question(token, PLAIN)], ..FilterMessage::default() };
        self.0.receive(asks, T0).unwrap().verdicts[0].outcome()
    }

    pub(in crate::check_stream) fn outcome(&mut self, token: u32, route: u32, now_ms: u64) -> Outcome {
        self.ask(token, route, now_ms).outcome()
    }
}

/// All verdicts on questions or follows, also those that wait for the writer.
pub(in crate::check_stream) fn verdicts(answers: Answers, of: Destination) -> Vec<Verdict> {
    let mut all = if of == Destination::Question { answers.verdicts } else { answers.followed };
    all.extend(answers.held.into_iter().filter(|held| held.to == of).map(|held| held.verdict));
    all
}

#[test]
fn tokens_come_before_the_questions_of_their_message_and_are_forgotten_after() {
    let fixture = Fixture::new();
    let state = fresh(&fixture);
    let message = FilterMessage {
        hello: Some(hello()),
        tokens: vec![token(7, "a", T0), token(8, "b", T0 - HOUR)],
        questions: vec![question(8, PLAIN), question(7, PLAIN), question(7, BACKGROUND)],
        forgotten: vec![8],
        ..FilterMessage::default()
    };
    let mut stream = Stream(state, Arc::clone(&fixture.registry));
    let answers = stream.send(message, T0 + 1);
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
    assert!(matches!(stream.0.receive(asked, T0 + 2), Err(Broken(_))), "a forgotten handle is void");
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
            "handle described twice",
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
        let fixture = Fixture::new();
        let mut state = fresh(&fixture);
        let last = messages.pop().unwrap();
        for message in messages {
            state.receive(message, T0).unwrap();
        }
        assert!(matches!(state.receive(last, T0), Err(Broken(_))), "{name}");
    }
}

#[test]
fn only_an_active_question_of_a_route_that_is_not_background_is_activity() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    let seen = || fixture.registry.find(id("s")).unwrap().last_seen_ms() - T0;
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
    let fixture = Fixture::new();
    let mut streams = [Stream::open(&fixture), Stream::open(&fixture)];
    for stream in &mut streams {
        stream.describe(token(1, "s", T0), T0);
        assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    }
    let session = fixture.registry.find(id("s")).unwrap();
    fixture.registry.end(&session, revoked(T0 + 1), EndedBy::Admin);
    for stream in &mut streams {
        assert_eq!(stream.outcome(1, PLAIN, T0 + 1), Outcome::Revoked);
    }
}

#[test]
fn a_revocation_reaches_tokens_that_are_bound() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    // The session starts late, this token of it early: only the token is before the revocation.
    stream.describe(token(1, "s", T0 + HOUR), T0 + HOUR);
    stream.describe(token(2, "s", T0), T0 + HOUR);
    for handle in [1, 2] {
        assert_eq!(stream.outcome(handle, PLAIN, T0 + HOUR), Outcome::Active);
    }
    let revocation = Revocation {
        issuer: "https://id".to_owned(),
        party: RevokedParty::Client("web".to_owned()),
        before_ms: T0 + 1,
        made_at_ms: T0 + HOUR,
        ends_at_ms: T0 + HOUR,
        reason: String::new(),
        by: MadeBy::default(),
    };
    fixture.registry.publish(&revocation, &mut Vec::new(), EndedBy::Revocation);
    assert_eq!(stream.outcome(1, PLAIN, T0 + HOUR), Outcome::Active);
    assert_eq!(stream.outcome(2, PLAIN, T0 + HOUR), Outcome::Revoked);
}

#[test]
fn scopes_beyond_the_first_tokens_are_escalation() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    let mut more = token(2, "s", T0 + 1);
    more.scopes.push("admin".to_owned());
    stream.describe(more, T0 + 1);
    assert_eq!(stream.outcome(2, PLAIN, T0 + 1), Outcome::ScopeEscalation);
    assert_eq!(stream.outcome(1, PLAIN, T0 + 1), Outcome::Active);
}

#[test]
fn a_change_of_scopes_is_in_the_next_verdict_only_where_it_takes_something() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    stream.describe(Token { scopes: vec!["openid".to_owned()], ..token(2, "s", T0) }, T0);
    let left = |stream: &mut Stream, handle| stream.ask(handle, PLAIN, T0).narrowed.map(|left| left.scopes);
    assert_eq!(left(&mut stream, 1), None);
    let session = fixture.registry.find(id("s")).unwrap();
    session.narrow(Left::only(ScopeSet::new(["openid", "orders:read"])));
    assert_eq!(left(&mut stream, 1), Some(vec!["openid".to_owned(), "orders:read".to_owned()]));
    assert_eq!(left(&mut stream, 2), None);
    session.narrow(Left::only(ScopeSet::new(["orders:write"])));
    assert_eq!(left(&mut stream, 1), Some(vec!["orders:write".to_owned()]));
    assert_eq!(left(&mut stream, 2), Some(vec![]), "no scope left is not the same as nothing said");
    session.narrow(Left::default());
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
        let fixture = Fixture::new();
        let mut stream = Stream::open(&fixture);
        stream.describe(token(1, "s", T0), T0);
        assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
        let session = fixture.registry.find(id("s")).unwrap();
        session.narrow(Left::only(ScopeSet::new(left.iter().copied())));
        assert_eq!(stream.outcome(1, WRITE, T0 + MINUTE), Outcome::Active);
        assert_eq!(session.last_seen_ms(), if touches { T0 + MINUTE } else { T0 }, "{left:?}");
    }
}

#[test]
fn an_old_handle_stays_refused_after_its_client_came_back() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(machine(1, T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    let end_ms = T0 + 12 * HOUR;
    assert_eq!(stream.outcome(1, PLAIN, end_ms), Outcome::LifetimeExceeded);
    stream.describe(machine(2, end_ms), end_ms + 1);
    assert_eq!(stream.outcome(2, PLAIN, end_ms + 1), Outcome::LifetimeExceeded, "issued at the end is not after it");
    stream.describe(machine(3, end_ms + 1), end_ms + 1);
    assert_eq!(stream.outcome(3, PLAIN, end_ms + 1), Outcome::Active);
    for handle in [1, 2] {
        assert_eq!(stream.outcome(handle, PLAIN, end_ms + 2), Outcome::LifetimeExceeded);
    }
}

#[test]
fn an_unknown_session_is_known_once_the_admin_opens_it() {
    let fixture = Fixture::with(crate::registry::Enrolment::Explicit);
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::UnknownSession);
    let access = fixture.registry.access().named("person").unwrap();
    let draft = fixture.registry.draft(&crate::fixtures::person("s", T0), &access, None, T0).unwrap().unwrap();
    fixture.registry.enter(&Arc::new(draft), Opened::Explicit, &Actor::Nobody, T0).unwrap();
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
}

#[test]
fn an_end_that_the_disk_would_not_know_is_held_until_it_is_written() {
    // Found over by its background route.
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    for _ in 0..2 {
        let answers = stream.answers(1, BACKGROUND, T0 + IDLE);
        assert_eq!((answers.verdicts.len(), answers.held.len()), (0, 1));
        assert_eq!(answers.held[0].verdict.outcome(), Outcome::IdleTimeout);
        let end = End { reason: Reason::IdleTimeout, at_ms: T0 + IDLE };
        assert_eq!(answers.held[0].session.ended(), Some(end));
    }

    // Bound on another stream, once it is over.
    stream.describe(token(2, "t", T0), T0);
    assert_eq!(stream.outcome(2, PLAIN, T0), Outcome::Active);
    let mut other = Stream::open(&fixture);
    other.describe(token(2, "t", T0), T0);
    assert_eq!(other.answers(2, PLAIN, T0 + IDLE).held.len(), 1);

    // Not where the record is on disk: it is judged again after a crash, and comes to the same.
    stream.describe(token(3, "u", T0), T0);
    assert_eq!(stream.outcome(3, PLAIN, T0), Outcome::Active);
    fixture.flush();
    assert_eq!(fixture.registry.find(id("u")).unwrap().life().stage(), Stage::Recorded);
    let answers = stream.answers(3, PLAIN, T0 + IDLE);
    assert_eq!((answers.verdicts[0].outcome(), answers.held.len()), (Outcome::IdleTimeout, 0));
}

#[test]
fn what_waits_for_the_disk_holds_up_nothing_else() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "known", T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    // One message about a session in memory, one that is unknown, and one that ended before it was written.
    stream.describe(token(2, "unknown", T0), T0);
    stream.describe(token(3, "over", T0 - HOUR), T0 - HOUR);
    assert_eq!(stream.outcome(3, PLAIN, T0 - HOUR), Outcome::Active);
    assert_eq!(stream.answers(3, BACKGROUND, T0).held.len(), 1);
    let questions =
        [(2, PLAIN), (1, PLAIN), (3, PLAIN), (2, PLAIN)].map(|(token, route)| question(token, route)).to_vec();
    let forgotten = vec![2];
    let answers = stream.0.receive(FilterMessage { questions, forgotten, ..FilterMessage::default() }, T0).unwrap();
    assert!(answers.received);
    assert_eq!(answers.verdicts.iter().map(|verdict| verdict.id).collect::<Vec<_>>(), [101]);
    assert_eq!(answers.held.iter().map(|held| held.verdict.id).collect::<Vec<_>>(), [103]);
    assert_eq!((answers.look_ups.len(), stream.0.waiting()), (1, 2), "one look-up for both questions");

    // The next message is answered meanwhile, and the first goes on when the disk has spoken.
    assert_eq!(stream.outcome_now(1), Outcome::Active);
    let found: Vec<_> = answers.look_ups.iter().map(|look_up| fixture.registry.look_up(look_up).unwrap()).collect();
    let answers = stream.0.looked_up(&found, T0);
    let told: Vec<_> = answers.verdicts.iter().map(|verdict| (verdict.id, verdict.outcome())).collect();
    assert_eq!(told, [(102, Outcome::Active), (102, Outcome::Active)]);
    assert_eq!(stream.0.waiting(), 0);
}

#[test]
fn a_look_up_that_another_end_has_overtaken_is_made_again() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    let asks = FilterMessage { questions: vec![question(1, PLAIN)], ..FilterMessage::default() };
    let answers = stream.0.receive(asks, T0).unwrap();
    let found = fixture.registry.look_up(&answers.look_ups[0]).unwrap();
    // Meanwhile the session opens elsewhere, ends, and its tombstone is written: what was found is no longer true.
    let session = fixture.live(&crate::fixtures::person("s", T0), T0);
    assert!(fixture.registry.end(&session, revoked(T0), EndedBy::Admin));
    fixture.flush();
    assert!(fixture.registry.find(id("s")).is_none());
    let answers = stream.0.looked_up(&[found], T0);
    assert_eq!((answers.verdicts.len(), answers.look_ups.len()), (0, 1));
    let found = fixture.registry.look_up(&answers.look_ups[0]).unwrap();
    assert_eq!(stream.0.looked_up(&[found], T0).verdicts[0].outcome(), Outcome::Revoked);
}

#[test]
fn two_streams_of_one_policy_share_its_routes() {
    let fixture = Fixture::new();
    let tables = Arc::<RouteTables>::default();
    let open = |hello: Hello| {
        let mut state = fresh(&fixture);
        state.route_tables = Arc::clone(&tables);
        state.receive(FilterMessage { hello: Some(hello), ..FilterMessage::default() }, T0).unwrap();
        state
    };
    let (first, second) = (open(hello()), open(hello()));
    let third = open(Hello { policy_digest: "another".to_owned(), ..hello() });
    let [first, second, third] = [&first, &second, &third].map(|state| state.routes.as_ref().unwrap());
    assert!(Arc::ptr_eq(first, second) && !Arc::ptr_eq(first, third));
}

#[test]
fn a_refusal_is_reported_once_for_each_token_and_outcome_and_counted_each_time() {
    let fixture = Fixture::new();
    let history = fixture.audit.history();
    let mut position = history.end();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    assert_eq!(stream.outcome(1, PLAIN, T0), Outcome::Active);
    for _ in 0..5 {
        assert_eq!(stream.outcome(1, YOUNG, T0 + 20 * MINUTE), Outcome::StepUpRequired);
        assert_eq!(stream.outcome(1, BUSY, T0 + 20 * MINUTE), Outcome::IdleTimeout);
    }
    let kinds: Vec<Kind> = std::iter::from_fn(|| match history.next(&mut position)? {
        Next::Event(event) => Some(event.kind),
        Next::Missed(_) => None,
    })
    .collect();
    assert_eq!(kinds, [Kind::Opened, Kind::Refused, Kind::Refused]);
    let metrics = fixture.metrics.text().unwrap();
    for line in ["{outcome=\"step_up_required\"} 5", "{outcome=\"idle_timeout\"} 5", "{outcome=\"active\"} 1"] {
        assert!(metrics.contains(&format!("portcullis_questions_total{line}")), "{line}");
    }
}

#[test]
fn a_later_login_is_reported_and_so_is_what_a_refused_token_has_beyond_its_grant() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    let login = |handle, at_ms: u64| portcullis_contract::wire::Token {
        authenticated_at_ms: Some(at_ms),
        ..token(handle, "s", at_ms)
    };
    stream.describe(login(1, T0), T0);
    stream.describe(login(2, T0 + MINUTE), T0 + MINUTE);
    // A refreshed token of that login is not another one.
    stream.describe(Token { issued_at_ms: T0 + 2 * MINUTE, ..login(3, T0 + MINUTE) }, T0 + 2 * MINUTE);
    let mut more = login(4, T0 + MINUTE);
    more.scopes.push("admin".to_owned());
    stream.describe(more, T0 + 2 * MINUTE);
    for handle in 1..=3 {
        assert_eq!(stream.outcome(handle, PLAIN, T0 + 2 * MINUTE), Outcome::Active, "{handle}");
    }
    assert_eq!(stream.outcome(4, PLAIN, T0 + 2 * MINUTE), Outcome::ScopeEscalation);
    let events = fixture.audit.history().of(id("s"), None).events;
    let told: Vec<_> = events.iter().map(|event| serde_json::to_value(&**event).unwrap()).collect();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Kind::Opened, Kind::Login, Kind::Refused], "{told:?}");
    let refused = &told[2];
    assert_eq!((&refused["outcome"], &refused["route"]), (&"scope_escalation".into(), &"plain".into()));
    assert_eq!(refused["beyond_grant"], serde_json::json!(["admin"]));
}

#[test]
fn a_token_without_a_key_names_no_session_and_closes_nothing() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "", T0), T0);
    let nameless = Token { issuer: String::new(), ..token(2, "s", T0) };
    stream.describe(nameless, T0);
    for handle in [1, 2] {
        assert_eq!(stream.outcome(handle, PLAIN, T0), Outcome::UnknownSession);
    }
}
