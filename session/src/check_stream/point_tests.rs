//! What a stream makes of the decisions of another decision point. Nobody is asked here: the tests say what was decided.

use super::answers::Asked;
use super::state::tests::{BACKGROUND, PLAIN, YOUNG, fresh, hello, id, token};
use super::{Answers, Destination, StreamState};
use crate::audit::Kind;
use crate::conditions::Classes;
use crate::fixtures::{Fixture, MINUTE, T0};
use crate::pdp::{OnOutage, Pdp, PdpMetrics, PdpSettings, Query, Ruling};
use crate::registry::revoked;
use crate::signals::Url;
use portcullis_contract::wire::{FilterMessage, Follow, Outcome, Question, Verdict};
use std::sync::Arc;

const SECOND: u64 = 1_000;

struct Stream<'f> {
    state: StreamState,
    fixture: &'f Fixture,
}

fn point(on_outage: OnOutage, classes: &[&str]) -> Arc<Pdp> {
    let base = "http://127.0.0.1:9".to_owned();
    let only = classes.iter().map(|&class| class.to_owned()).collect();
    let classes = Classes { only, except: Vec::new() };
    let url = Url::read(&base).unwrap();
    let settings = PdpSettings { base, url, credential: None, timeout_ms: 1_000, on_outage, ca: None, classes };
    let metrics = PdpMetrics::new(&prometheus::Registry::new()).unwrap();
    Arc::new(Pdp::start(settings, Arc::new(metrics)).unwrap())
}

impl<'f> Stream<'f> {
    fn open(fixture: &'f Fixture, on_outage: OnOutage, classes: &[&str]) -> Self {
        let mut state = fresh(fixture).asking(Some(point(on_outage, classes)));
        let mut hello = hello();
        hello.routes[YOUNG as usize].class = "api".to_owned();
        let tokens = vec![token(1, "s", T0)];
        state.receive(FilterMessage { hello: Some(hello), tokens, ..FilterMessage::default() }, T0).unwrap();
        Self { state, fixture }
    }

    /// The answers to a message, once all look-ups are made.
    fn send(&mut self, message: FilterMessage, now_ms: u64) -> Answers {
        let mut answers = self.state.receive(message, now_ms).unwrap();
        let look_ups = std::mem::take(&mut answers.look_ups);
        let registry = &self.fixture.registry;
        let found: Vec<_> = look_ups.iter().map(|look_up| registry.look_up(look_up).unwrap()).collect();
        let more = self.state.looked_up(&found, now_ms);
        answers.verdicts.extend(more.verdicts);
        answers.followed.extend(more.followed);
        answers.held.extend(more.held);
        answers.queries.extend(more.queries);
        answers
    }

    fn ask(&mut self, route: u32, method: &str, now_ms: u64) -> Answers {
        let question = Question { id: 7, token: 1, route, method: method.to_owned(), ..Question::default() };
        self.send(FilterMessage { questions: vec![question], ..FilterMessage::default() }, now_ms)
    }

    /// The verdict once that was decided.
    fn decided(&mut self, route: u32, method: &str, ruling: Ruling, now_ms: u64) -> Verdict {
        let asked = self.ask(route, method, now_ms);
        assert!(verdicts(&asked).is_empty(), "{asked:?}");
        let [(number, _)] = <[(Asked, Query); 1]>::try_from(asked.queries).unwrap();
        let answers = self.state.ruled(number, ruling, now_ms);
        let [verdict] = <[Verdict; 1]>::try_from(verdicts(&answers)).unwrap();
        assert_eq!((verdict.id, self.state.waiting()), (7, 0));
        verdict
    }

    fn last_seen_ms(&self) -> u64 {
        self.fixture.registry.find(id("s")).unwrap().last_seen_ms()
    }
}

fn verdicts(answers: &Answers) -> Vec<Verdict> {
    let held = answers.held.iter().filter(|held| held.to == Destination::Question).map(|held| &held.verdict);
    answers.verdicts.iter().chain(held).cloned().collect()
}

#[test]
fn a_question_waits_for_the_decision_and_only_what_is_permitted_is_activity() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture, OnOutage::Deny, &[]);
    assert_eq!(stream.decided(PLAIN, "GET", Ruling::Permit, T0).outcome(), Outcome::Active);
    let denied = stream.decided(PLAIN, "GET", Ruling::Deny, T0 + MINUTE);
    assert_eq!(denied.outcome(), Outcome::ConditionFailed);
    let condition = denied.condition.unwrap();
    assert_eq!((condition.id.as_str(), condition.tell), ("authzen", false));
    assert_eq!(stream.decided(PLAIN, "GET", Ruling::None, T0 + MINUTE).outcome(), Outcome::Unavailable);
    assert_eq!(stream.last_seen_ms(), T0);
    assert_eq!(stream.decided(PLAIN, "GET", Ruling::Permit, T0 + 2 * MINUTE).outcome(), Outcome::Active);
    assert_eq!(stream.last_seen_ms(), T0 + 2 * MINUTE);
    assert_eq!(stream.decided(BACKGROUND, "GET", Ruling::Permit, T0 + 3 * MINUTE).outcome(), Outcome::Active);
    assert_eq!(stream.last_seen_ms(), T0 + 2 * MINUTE);
}

#[test]
fn in_an_outage_what_only_reads_may_be_released() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture, OnOutage::ReadOnly, &[]);
    assert_eq!(stream.decided(PLAIN, "GET", Ruling::None, T0).outcome(), Outcome::Active);
    assert_eq!(stream.decided(PLAIN, "POST", Ruling::None, T0).outcome(), Outcome::Unavailable);
    assert_eq!(stream.decided(PLAIN, "GET", Ruling::Deny, T0).outcome(), Outcome::ConditionFailed);
}

#[test]
fn what_something_else_refuses_is_not_asked_about_and_what_has_ended_meanwhile_stays_ended() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture, OnOutage::Deny, &[]);
    stream.decided(PLAIN, "GET", Ruling::Permit, T0);
    // Its login is too old for the route.
    let old = stream.ask(YOUNG, "GET", T0 + 15 * MINUTE);
    assert_eq!((verdicts(&old)[0].outcome(), old.queries.len()), (Outcome::StepUpRequired, 0));
    let asked = stream.ask(PLAIN, "GET", T0 + 16 * MINUTE);
    let session = fixture.registry.find(id("s")).unwrap();
    fixture.registry.end(&session, revoked(T0 + 16 * MINUTE), crate::audit::EndedBy::Admin);
    let answers = stream.state.ruled(asked.queries[0].0, Ruling::Permit, T0 + 16 * MINUTE);
    assert_eq!(verdicts(&answers)[0].outcome(), Outcome::Revoked);
    assert!(stream.ask(PLAIN, "GET", T0 + 16 * MINUTE).queries.is_empty());
}

#[test]
fn only_routes_of_its_classes_are_asked_about_and_a_query_says_what_is_known() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture, OnOutage::Deny, &["api"]);
    assert_eq!(verdicts(&stream.ask(PLAIN, "GET", T0))[0].outcome(), Outcome::Active);
    let asked = stream.ask(YOUNG, "POST", T0);
    let (_, query) = &asked.queries[0];
    let wanted = Query {
        session: id("s").to_string(),
        issuer: "https://id".to_owned(),
        subject: "alice".to_owned(),
        client: "web".to_owned(),
        scopes: ["openid", "orders:read", "orders:write"].map(str::to_owned).to_vec(),
        method: "POST".to_owned(),
        route: "young".to_owned(),
        class: "api".to_owned(),
        now_ms: T0,
        ..Query::default()
    };
    assert_eq!(query, &wanted);
}

#[test]
fn an_open_request_is_asked_about_within_thirty_seconds_and_cut_when_it_is_denied() {
    for (on_outage, ruling, wanted) in [
        (OnOutage::Deny, Ruling::Permit, None),
        (OnOutage::Deny, Ruling::Deny, Some(Outcome::ConditionFailed)),
        (OnOutage::Deny, Ruling::None, Some(Outcome::Unavailable)),
        (OnOutage::ReadOnly, Ruling::None, None),
    ] {
        let fixture = Fixture::new();
        let mut stream = Stream::open(&fixture, on_outage, &[]);
        stream.decided(PLAIN, "GET", Ruling::Permit, T0);
        let follow = Follow { id: 3, token: 1, route: PLAIN, method: "GET".to_owned(), ..Follow::default() };
        let entered = stream.send(FilterMessage { follows: vec![follow], ..FilterMessage::default() }, T0);
        assert_eq!((entered.followed[0].outcome(), entered.queries.len()), (Outcome::Active, 0));
        let due_ms = stream.state.review_at_ms().unwrap();
        assert!((T0 + 15 * SECOND..=T0 + 30 * SECOND).contains(&due_ms), "{due_ms}");
        assert!(stream.state.review(due_ms - 1).queries.is_empty());
        let due = stream.state.review(due_ms);
        assert_eq!(due.queries.iter().map(|(asked, _)| *asked).collect::<Vec<_>>(), [Asked::Follow(3)]);
        let answers = stream.state.ruled(Asked::Follow(3), ruling, due_ms + SECOND);
        assert_eq!(answers.followed.first().map(Verdict::outcome), wanted, "{ruling:?}");
        let next_ms = stream.state.review_at_ms();
        let is_next = |next_ms| (due_ms + 15 * SECOND..=due_ms + 30 * SECOND).contains(&next_ms);
        assert_eq!(
            (wanted.is_none(), next_ms.is_some_and(is_next)),
            (next_ms.is_some(), wanted.is_none()),
            "{ruling:?}"
        );
        let audited = stream.fixture.audit.history().of(id("s"), None).events;
        let denials = audited.iter().filter(|event| event.kind == Kind::Refused).count();
        assert_eq!(denials, usize::from(ruling == Ruling::Deny), "{ruling:?}");
    }
}

#[test]
fn a_change_of_its_session_has_an_open_request_asked_about_at_once_and_one_of_anybody_does_not() {
    let fixture = Fixture::new();
    let mut stream = Stream::open(&fixture, OnOutage::Deny, &[]);
    stream.decided(PLAIN, "GET", Ruling::Permit, T0);
    let follow = Follow { id: 3, token: 1, route: PLAIN, method: "GET".to_owned(), ..Follow::default() };
    stream.send(FilterMessage { follows: vec![follow], ..FilterMessage::default() }, T0);
    fixture.registry.followers().all_changed();
    assert!(stream.state.review(T0 + SECOND).queries.is_empty());
    fixture.registry.followers().changed(id("s"));
    assert_eq!(stream.state.review(T0 + SECOND).queries.len(), 1);
    // Until that is answered, it is not asked about again.
    fixture.registry.followers().changed(id("s"));
    assert!(stream.state.review(T0 + 2 * SECOND).queries.is_empty());
}
