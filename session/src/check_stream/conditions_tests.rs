//! What conditions make of questions and follows, and when they are asked again.

use super::state::tests::{PLAIN, Stream, YOUNG, fresh, hello, id, token, verdicts};
use super::{Destination, RouteTables};
use crate::approvals::{Grant, Grants, Instance};
use crate::attributes::{ADMIN, Attribute, Fact, Holder, Value};
use crate::audit::{Kind, Next};
use crate::conditions::{Classes, ConditionSettings, Conditions, Mode};
use crate::fixtures::{Fixture, HOUR, MINUTE, T0, narrowing};
use crate::intern::ScopeSet;
use portcullis_conditions::{Declared, Kind as Type};
use portcullis_contract::wire::{self, Circumstances, FilterMessage, Follow, Outcome, Question, Token, Verdict};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const RISK: &str = r#"@id("no-risk") @reason("the risk is high")
forbid (principal, action, resource == Portcullis::Route::"plain") when { context.risk == "high" };"#;

/// A directory of policies.
fn folder(policies: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), policies);
    folder
}

fn write(folder: &Path, policies: &str) {
    std::fs::write(folder.join("a.cedar"), policies).unwrap();
}

fn settings(folder: &Path, mode: Mode) -> ConditionSettings {
    let declared = [("ticket", Type::String), ("score", Type::Long)];
    let declared = Declared(declared.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect());
    ConditionSettings::load(folder, mode, declared).unwrap()
}

pub(super) fn conditions(fixture: &Fixture, policies: &str, mode: Mode) -> Arc<Conditions> {
    let settings = settings(folder(policies).path(), mode);
    Arc::new(Conditions::start(settings, Arc::clone(&fixture.metrics), T0))
}

/// A stream with a token of the session `s`, where these policies decide.
fn stream(fixture: &Fixture, policies: &str) -> Stream {
    let mut stream = Stream::judged(fixture, &conditions(fixture, policies, Mode::Enforce));
    stream.describe(token(1, "s", T0), T0);
    stream
}

fn question(route: u32) -> Question {
    Question { id: 101, token: 1, route, method: "GET".to_owned(), ..Question::default() }
}

fn asks(stream: &mut Stream, question: Question, now_ms: u64) -> Verdict {
    let answers = stream.send(FilterMessage { questions: vec![question], ..FilterMessage::default() }, now_ms);
    let [verdict] = <[Verdict; 1]>::try_from(verdicts(answers, Destination::Question)).unwrap();
    verdict
}

fn outcome(stream: &mut Stream, now_ms: u64) -> Outcome {
    asks(stream, question(PLAIN), now_ms).outcome()
}

fn follows(stream: &mut Stream, now_ms: u64) -> Vec<Outcome> {
    let follow = Follow { id: 5, token: 1, route: PLAIN, method: "GET".to_owned(), ..Follow::default() };
    let answers = stream.send(FilterMessage { follows: vec![follow], ..FilterMessage::default() }, now_ms);
    outcomes(verdicts(answers, Destination::Follow))
}

fn reviewed(stream: &mut Stream, now_ms: u64) -> Vec<Outcome> {
    outcomes(verdicts(stream.0.review(now_ms), Destination::Follow))
}

fn outcomes(verdicts: Vec<Verdict>) -> Vec<Outcome> {
    verdicts.iter().map(Verdict::outcome).collect()
}

pub(super) fn set(
    fixture: &Fixture,
    holder: Holder,
    name: &str,
    value: impl Into<serde_json::Value>,
    until_ms: Option<u64>,
) {
    let value = Value::read(&value.into()).unwrap();
    let fact = Fact { value, set_at_ms: T0, expires_at_ms: until_ms, login_until_ms: None };
    let (name, source) = (name.to_owned(), ADMIN.to_owned());
    fixture.registry.set_attributes(&[Attribute { holder, name, source, fact: Some(fact) }]);
}

pub(super) fn session() -> Holder {
    Holder::Session(id("s"))
}

pub(super) fn subject() -> Holder {
    Holder::Subject { issuer: "https://id".to_owned(), subject: "alice".to_owned() }
}

#[test]
fn a_condition_refuses_and_neither_touches_nor_ends_the_session() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture, RISK);
    assert_eq!(outcome(&mut stream, T0), Outcome::Active);
    set(&fixture, session(), "risk", "high", None);
    let verdict = asks(&mut stream, question(PLAIN), T0 + MINUTE);
    let condition = verdict.condition.clone().unwrap();
    assert_eq!(
        (verdict.outcome(), condition.id, condition.reason),
        (Outcome::ConditionFailed, "no-risk".into(), "the risk is high".into())
    );
    assert!(!condition.tell);
    let live = fixture.registry.find(id("s")).unwrap();
    assert_eq!((live.last_seen_ms(), live.ended()), (T0, None));
    assert_eq!(asks(&mut stream, question(YOUNG), T0 + MINUTE).outcome(), Outcome::Active, "another route");
    set(&fixture, session(), "risk", "low", None);
    let verdict = asks(&mut stream, question(PLAIN), T0 + MINUTE);
    assert_eq!((verdict.outcome(), verdict.condition), (Outcome::Active, None));
}

#[test]
fn conditions_release_nothing_that_is_refused_otherwise() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture, RISK);
    assert_eq!(outcome(&mut stream, T0), Outcome::Active);
    set(&fixture, session(), "risk", "high", None);
    let too_old = T0 + 15 * MINUTE;
    assert_eq!(asks(&mut stream, question(YOUNG), too_old).outcome(), Outcome::StepUpRequired);
    // Of scopes that are missing, the filter says which.
    const WRITE: u32 = 4;
    let policy = r#"@id("never") @reason("no") forbid (principal, action, resource);"#;
    let mut stream = self::stream(&fixture, policy);
    let live = fixture.registry.find(id("s")).unwrap();
    fixture.registry.narrow(&[narrowing(&live, Some(&["openid"]))]);
    let verdict = asks(&mut stream, question(WRITE), T0);
    assert!(verdict.outcome() == Outcome::Active && verdict.narrowed.is_some(), "{verdict:?}");
    assert_eq!(outcome(&mut stream, T0), Outcome::ConditionFailed);
}

#[test]
fn an_attribute_of_the_session_wins_over_its_devices_and_that_over_its_subjects() {
    let fixture = Fixture::new();
    let mut stream = Stream::judged(&fixture, &conditions(&fixture, RISK, Mode::Enforce));
    stream.describe(Token { device: "d".to_owned(), ..token(1, "s", T0) }, T0);
    let device = || Holder::device("https://id", "d").unwrap();
    assert_eq!(outcome(&mut stream, T0), Outcome::Active);
    for (holder, risk, expected) in [
        (subject(), "high", Outcome::ConditionFailed),
        (device(), "low", Outcome::Active),
        (session(), "high", Outcome::ConditionFailed),
        (session(), "low", Outcome::Active),
        (device(), "high", Outcome::Active),
    ] {
        set(&fixture, holder.clone(), "risk", risk, None);
        assert_eq!(outcome(&mut stream, T0), expected, "{holder:?} {risk}");
    }
    // The connection's certificate names another device than the token.
    set(&fixture, Holder::device("https://id", "other").unwrap(), "risk", "high", None);
    let removed = Attribute { holder: session(), name: "risk".to_owned(), source: ADMIN.to_owned(), fact: None };
    fixture.registry.set_attributes(&[removed]);
    set(&fixture, device(), "risk", "low", None);
    let circumstances = Circumstances { device: "other".to_owned(), ..Circumstances::default() };
    let on_other = Question { circumstances: Some(circumstances), ..question(PLAIN) };
    assert_eq!(asks(&mut stream, on_other, T0).outcome(), Outcome::ConditionFailed);
    assert_eq!(outcome(&mut stream, T0), Outcome::Active);
}

#[test]
fn what_is_stored_wins_over_what_the_token_and_the_request_say() {
    let fixture = Fixture::new();
    let policy = r#"@id("ticket") @reason("no ticket")
forbid (principal, action, resource) unless { context.session has ticket && context.session.ticket == "t-1" };"#;
    let mut stream = Stream::judged(&fixture, &conditions(&fixture, policy, Mode::Enforce));
    let attribute = |value: &str| wire::Attribute { name: "ticket".to_owned(), value: value.to_owned() };
    stream.describe(token(1, "s", T0), T0);
    let asking = |header: &str| {
        let circumstances = Circumstances { attributes: vec![attribute(header)], ..Circumstances::default() };
        Question { circumstances: Some(circumstances), ..question(PLAIN) }
    };
    assert_eq!(outcome(&mut stream, T0), Outcome::ConditionFailed);
    assert_eq!(asks(&mut stream, asking("t-1"), T0).outcome(), Outcome::Active);
    assert_eq!(asks(&mut stream, asking("t-2"), T0).outcome(), Outcome::ConditionFailed);
    set(&fixture, subject(), "ticket", "t-2", None);
    assert_eq!(asks(&mut stream, asking("t-1"), T0).outcome(), Outcome::ConditionFailed, "the stored one counts");
    stream.describe(Token { claims: vec![attribute("t-1")], ..token(2, "u", T0) }, T0);
    let of_other = |token| Question { id: 100 + token, token, ..question(PLAIN) };
    assert_eq!(asks(&mut stream, of_other(2), T0).outcome(), Outcome::ConditionFailed, "it is of the same subject");
    let removed = Attribute { holder: subject(), name: "ticket".to_owned(), source: ADMIN.to_owned(), fact: None };
    fixture.registry.set_attributes(&[removed]);
    assert_eq!(asks(&mut stream, of_other(2), T0).outcome(), Outcome::Active, "by its claim");
    assert_eq!(outcome(&mut stream, T0), Outcome::ConditionFailed, "another token of another session");
}

#[test]
fn conditions_decide_nothing_about_a_route_of_another_engine() {
    let fixture = Fixture::new();
    let policies = folder(r#"@id("never") forbid (principal, action, resource);"#);
    let classes = |only: &[&str]| {
        let only = only.iter().map(|&class| class.to_owned()).collect();
        let settings = settings(policies.path(), Mode::Enforce).about(Classes { only, except: Vec::new() });
        Arc::new(Conditions::start(settings, Arc::clone(&fixture.metrics), T0))
    };
    for (only, expected) in [
        (&["admin"][..], Outcome::Active),
        (&["admin", ""][..], Outcome::ConditionFailed),
        (&[][..], Outcome::ConditionFailed),
    ] {
        let mut stream = Stream::judged(&fixture, &classes(only));
        stream.describe(token(1, "s", T0), T0);
        for method in ["GET", "PROPFIND"] {
            let asked = Question { method: method.to_owned(), ..question(PLAIN) };
            assert_eq!(asks(&mut stream, asked, T0).outcome(), expected, "{only:?} {method}");
        }
    }
}

#[test]
fn a_method_that_conditions_do_not_know_is_refused_where_there_are_any() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture, RISK);
    for method in ["PROPFIND", "get", ""] {
        let asked = |route| Question { method: method.to_owned(), ..question(route) };
        let verdict = asks(&mut stream, asked(PLAIN), T0);
        assert_eq!((verdict.outcome(), verdict.condition.unwrap().id), (Outcome::ConditionFailed, "method".to_owned()));
        assert_eq!(
            asks(&mut stream, asked(YOUNG), T0).outcome(),
            Outcome::ConditionFailed,
            "no condition can be about it"
        );
    }
    let mut stream = self::stream(&fixture, "");
    let asked = Question { method: "PROPFIND".to_owned(), ..question(PLAIN) };
    assert_eq!(asks(&mut stream, asked, T0).outcome(), Outcome::Active, "there are no conditions");
}

#[test]
fn a_follow_is_cut_when_a_fact_of_its_session_its_subject_or_its_device_changes() {
    let device = || Holder::device("https://id", "d").unwrap();
    for holder in [session(), subject(), device()] {
        let fixture = Fixture::new();
        let mut stream = Stream::judged(&fixture, &conditions(&fixture, RISK, Mode::Enforce));
        stream.describe(Token { device: "d".to_owned(), ..token(1, "s", T0) }, T0);
        assert_eq!(follows(&mut stream, T0), [Outcome::Active]);
        set(&fixture, holder.clone(), "risk", "medium", None);
        assert_eq!(reviewed(&mut stream, T0), []);
        set(&fixture, holder.clone(), "risk", "high", None);
        assert!(!stream.0.notifier().take().follows.is_empty(), "{holder:?}: nobody has woken the stream");
        fixture.registry.followers().all_changed();
        assert_eq!(reviewed(&mut stream, T0), [Outcome::ConditionFailed], "{holder:?}");
    }
}

#[test]
fn a_fact_that_expires_changes_the_answer_at_its_instant() {
    let fixture = Fixture::new();
    let policy = r#"@id("ticket") @reason("no ticket")
forbid (principal, action, resource) unless { context.session has ticket };"#;
    let mut stream = stream(&fixture, policy);
    set(&fixture, session(), "ticket", "t", Some(T0 + MINUTE));
    assert_eq!(outcome(&mut stream, T0 + MINUTE - 1), Outcome::Active);
    assert_eq!(outcome(&mut stream, T0 + MINUTE), Outcome::ConditionFailed);
    assert_eq!(outcome(&mut stream, T0), Outcome::Active, "the clock was set back");
    assert_eq!(follows(&mut stream, T0), [Outcome::Active]);
    assert_eq!(stream.0.review_at_ms(), Some(T0 + MINUTE));
    assert_eq!(reviewed(&mut stream, T0 + MINUTE - 1), []);
    assert_eq!(reviewed(&mut stream, T0 + MINUTE), [Outcome::ConditionFailed]);
}

#[test]
fn what_depends_on_the_time_is_judged_again_every_second() {
    let fixture = Fixture::new();
    let policy = format!(
        r#"@id("age") @reason("too old") @advice("step_up:max_age=60")
forbid (principal, action, resource) when {{ context.now > datetime("{}") }};"#,
        "2023-11-14T22:13:25Z"
    );
    let mut stream = stream(&fixture, &policy);
    assert_eq!(follows(&mut stream, T0), [Outcome::Active]);
    // At different instants for different sessions.
    let first_ms = stream.0.review_at_ms().unwrap();
    assert!((T0 + 500..=T0 + 1_000).contains(&first_ms), "{first_ms}");
    assert_eq!(reviewed(&mut stream, first_ms), []);
    let next_ms = stream.0.review_at_ms().unwrap();
    assert!((first_ms + 500..=first_ms + 1_000).contains(&next_ms), "{next_ms}");
    assert_eq!(reviewed(&mut stream, T0 + 6_000), [Outcome::StepUpRequired]);
    let condition = asks(&mut stream, question(PLAIN), T0 + 6_000).condition.unwrap();
    assert_eq!((condition.max_age_ms, condition.acr), (Some(60_000), vec![]));
}

#[test]
fn a_grant_of_a_scope_that_the_route_requires_is_a_fact() {
    let fixture = Fixture::new();
    let policy = r#"@id("granted") @reason("ask first") @requestable("orders:write")
forbid (principal, action, resource == Portcullis::Route::"write") unless { principal has granted_until };"#;
    let mut stream = stream(&fixture, policy);
    const WRITE: u32 = 4;
    let verdict = asks(&mut stream, question(WRITE), T0);
    let condition = verdict.condition.clone().unwrap();
    assert_eq!((verdict.outcome(), condition.requestable), (Outcome::ApprovalRequired, "orders:write".to_owned()));
    let grant = |until_ms| Grant {
        id: "g".to_owned(),
        from_ms: T0,
        until_ms,
        instance: Instance::default(),
        survives_login: false,
        once: false,
        used: None,
        ended: None,
    };
    let live = fixture.registry.find(id("s")).unwrap();
    for (scope, until_ms, expected) in [
        ("orders:read", None, Outcome::ApprovalRequired),
        ("orders:write", None, Outcome::Active),
        ("orders:write", Some(T0 + MINUTE), Outcome::Active),
    ] {
        live.set_grants(Grants::new(vec![(ScopeSet::new([scope]), grant(until_ms))]));
        assert_eq!(asks(&mut stream, question(WRITE), T0).outcome(), expected, "{scope} {until_ms:?}");
    }
    assert_eq!(asks(&mut stream, question(WRITE), T0 + MINUTE).outcome(), Outcome::ApprovalRequired, "it is over");
}

#[test]
fn shadow_mode_releases_counts_and_audits() {
    let fixture = Fixture::new();
    let mut stream = Stream::judged(&fixture, &conditions(&fixture, RISK, Mode::Shadow));
    stream.describe(token(1, "s", T0), T0);
    let mut position = fixture.audit.history().end();
    set(&fixture, session(), "risk", "high", None);
    for _ in 0..3 {
        let verdict = asks(&mut stream, question(PLAIN), T0 + MINUTE);
        assert_eq!((verdict.outcome(), verdict.condition), (Outcome::Active, None));
    }
    let live = fixture.registry.find(id("s")).unwrap();
    assert_eq!(live.last_seen_ms(), T0 + MINUTE, "it is activity");
    let mut told = Vec::new();
    while let Some(Next::Event(event)) = fixture.audit.history().next(&mut position) {
        told.extend((event.kind == Kind::WouldRefuse).then(|| serde_json::to_value(&*event).unwrap()));
    }
    assert_eq!(told.len(), 1, "once for each token and condition");
    assert_eq!((&told[0]["condition"], &told[0]["outcome"]), (&"no-risk".into(), &"condition_failed".into()));
    let text = fixture.metrics.text().unwrap();
    let counted = r#"portcullis_conditions_refusals_total{mode="shadow",outcome="condition_failed"} 3"#;
    assert!(text.contains(counted), "{text}");
}

#[test]
fn what_the_session_settles_is_prepared_once_and_evaluated_never() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture, RISK);
    let mut other = self::stream(&fixture, RISK);
    let count = |name: &str| {
        let text = fixture.metrics.text().unwrap();
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().parse::<u64>().unwrap());
        line.unwrap_or_else(|| panic!("{name}: {text}"))
    };
    for _ in 0..10 {
        assert_eq!(outcome(&mut stream, T0), Outcome::Active);
    }
    assert_eq!(count(r#"portcullis_conditions_lookups_total{result="miss"}"#), 1);
    assert_eq!(count("portcullis_conditions_evaluations_total"), 0);
    assert_eq!(outcome(&mut other, T0), Outcome::Active);
    set(&fixture, subject(), "risk", "low", None);
    assert_eq!(outcome(&mut stream, T0), Outcome::Active);
    assert!(count(r#"portcullis_conditions_lookups_total{result="miss"}"#) >= 2, "the facts are others");
}

#[test]
fn other_conditions_are_in_force_at_once_and_those_with_a_fault_never() {
    let fixture = Fixture::new();
    let dir = folder(RISK);
    let conditions = Arc::new(Conditions::start(settings(dir.path(), Mode::Enforce), Arc::clone(&fixture.metrics), T0));
    let tables = Arc::<RouteTables>::default();
    let (registry, audit, metrics) = (&fixture.registry, &fixture.audit, &fixture.metrics);
    let mut state =
        super::StreamState::new(Arc::clone(registry), Arc::clone(audit), Arc::clone(metrics), Arc::clone(&tables))
            .judging_by(Some(Arc::clone(&conditions)));
    let said = FilterMessage { hello: Some(hello()), tokens: vec![token(1, "s", T0)], ..FilterMessage::default() };
    state.receive(said, T0).unwrap();
    fixture.live(&crate::fixtures::person("s", T0), T0);
    let follow = Follow { id: 5, token: 1, route: PLAIN, method: "GET".to_owned(), ..Follow::default() };
    let told = state.receive(FilterMessage { follows: vec![follow], ..FilterMessage::default() }, T0).unwrap();
    assert_eq!(outcomes(told.followed), [Outcome::Active]);
    write(dir.path(), r#"@id("never") @reason("no") forbid (principal, action, resource);"#);
    let before = conditions.in_force();
    let in_use = tables.in_use();
    let new = settings(dir.path(), Mode::Enforce);
    conditions.replace(new, in_use.iter().map(|table| table.conditions()), T0).unwrap();
    assert_ne!(conditions.in_force().digest, before.digest);
    fixture.registry.followers().all_changed();
    assert_eq!(outcomes(state.review(T0).followed), [Outcome::ConditionFailed]);
    write(dir.path(), "forbid (principal, action, resource) when { nonsense };");
    let declared = Declared::default();
    let faults = ConditionSettings::load(dir.path(), Mode::Enforce, declared).unwrap_err();
    assert!(faults.iter().any(|fault| fault.contains("a.cedar:1:")), "{faults:?}");
}

#[test]
fn without_conditions_nothing_is_kept_for_them() {
    let fixture = Fixture::new();
    let state = fresh(&fixture);
    drop(state);
    let mut stream = Stream::open(&fixture);
    stream.describe(token(1, "s", T0), T0);
    assert_eq!(outcome(&mut stream, T0), Outcome::Active);
    let asked = Question { method: "PROPFIND".to_owned(), ..question(PLAIN) };
    assert_eq!(asks(&mut stream, asked, T0 + HOUR / 4).outcome(), Outcome::Active);
}
