//! Who may come back, and what a login moves, over the check stream.

use crate::client::{PLAIN, YOUNG, session_id, token};
use crate::fixtures::{Fixture, MINUTE, T0};
use portcullis_contract::wire::{Outcome, SessionKey, Token};
use portcullis_contract::{KeyKind, SessionId};

/// A token of a login at `login_ms`, issued then.
fn login(handle: u32, sid: &str, login_ms: u64) -> Token {
    Token { authenticated_at_ms: Some(login_ms), ..token(handle, sid, login_ms) }
}

/// A machine client's token.
fn machine(handle: u32, issued_at_ms: u64) -> Token {
    let (robot, grant) = ("robot".to_owned(), "client_credentials".to_owned());
    let key_kind = SessionKey::Machine as i32;
    Token { key_kind, subject: robot.clone(), client_id: robot, grant, ..token(handle, "robot", issued_at_ms) }
}

fn robots_path() -> String {
    format!("/v1/sessions/{}", SessionId::of(KeyKind::Machine, "https://id", "robot", "robot"))
}

#[tokio::test]
async fn a_token_from_before_the_revocation_of_an_ended_session_does_not_pass_when_it_is_first_shown_after() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(machine(1, T0)).await.outcome(), Outcome::Active);
    fixture.at(31 * MINUTE);
    assert_eq!(filter.outcome(1).await, Outcome::IdleTimeout);
    // The next token is issued meanwhile, and not shown.
    let unshown = machine(2, T0 + 35 * MINUTE);
    fixture.at(40 * MINUTE);
    let revoked = fixture.call("POST", &format!("{}/revoke", robots_path()), "").await;
    assert_eq!((revoked.status, &revoked.json()["reason"]), (200, &"revoked".into()), "{revoked:?}");
    fixture.at(41 * MINUTE);
    assert_eq!(filter.ask_new(unshown).await.outcome(), Outcome::Revoked);
    assert_eq!(filter.ask_new(machine(3, T0 + 41 * MINUTE)).await.outcome(), Outcome::Active);
}

#[tokio::test]
async fn a_refused_login_says_in_the_history_what_asked_for_another_one() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s1", T0)).await;
    fixture.at(2 * MINUTE);
    assert_eq!(filter.ask(1, YOUNG).await.outcome(), Outcome::StepUpRequired);
    let history = fixture.call("GET", &format!("/v1/sessions/{}/events", session_id("s1")), "").await.json();
    let refused = history["events"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&refused["outcome"], &refused["step_up"]),
        (&"step_up_required".into(), &"max_age".into()),
        "{refused}"
    );
    assert!(refused["wanted"].as_str().is_some_and(|age| age.parse::<u64>().is_ok()), "{refused}");
    assert!(refused["had"].as_str().is_some_and(|login| login.ends_with('Z')), "{refused}");
}

#[tokio::test]
async fn a_step_up_succeeds_with_a_fresh_login_under_the_same_sid() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_with(vec![login(1, "s", T0)], 1, YOUNG).await.outcome(), Outcome::Active);
    fixture.at(2 * MINUTE);
    assert_eq!(filter.ask(1, YOUNG).await.outcome(), Outcome::StepUpRequired);
    // A refreshed token is no login.
    let refreshed = Token { handle: 2, issued_at_ms: T0 + 2 * MINUTE, ..login(2, "s", T0) };
    assert_eq!(filter.ask_with(vec![refreshed], 2, YOUNG).await.outcome(), Outcome::StepUpRequired);
    assert_eq!(filter.ask_with(vec![login(3, "s", T0 + 2 * MINUTE)], 3, YOUNG).await.outcome(), Outcome::Active);
    let shown = fixture.call("GET", &format!("/v1/sessions/{}", session_id("s")), "").await.json();
    assert_eq!(
        (&shown["opened_at"], &shown["login_at"]),
        (&"2023-11-14T22:13:20Z".into(), &"2023-11-14T22:15:20Z".into())
    );
}

#[tokio::test]
async fn a_sid_that_ended_by_a_limit_comes_back_with_a_login_and_not_with_a_refreshed_token() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(login(1, "s", T0)).await.outcome(), Outcome::Active);
    fixture.at(31 * MINUTE);
    assert_eq!(filter.outcome(1).await, Outcome::IdleTimeout);
    let refreshed = Token { issued_at_ms: T0 + 31 * MINUTE, ..login(2, "s", T0) };
    assert_eq!(filter.ask_new(refreshed).await.outcome(), Outcome::IdleTimeout);
    let verdict = filter.ask_new(login(3, "s", T0 + 31 * MINUTE)).await;
    assert_eq!((verdict.outcome(), verdict.remaining_ms), (Outcome::Active, Some(480 * MINUTE)));
    assert_eq!(filter.outcome(1).await, Outcome::IdleTimeout, "its token is from before the end");
}

#[tokio::test]
async fn two_clients_under_one_sid_have_limits_and_scopes_of_their_own() {
    let types =
        "access: [{name: app, when: {client: [app]}, absolute: 8h, idle: 2m}, {name: rest, absolute: 8h, idle: 30m}]";
    let fixture = Fixture::with(types).await;
    let mut filter = fixture.filter().await;
    let app = Token { client_id: "app".to_owned(), scopes: vec!["admin".to_owned()], ..token(2, "s", T0) };
    for (token, idle_ms) in [(token(1, "s", T0), 30 * MINUTE), (app, 2 * MINUTE)] {
        let verdict = filter.ask_new(token).await;
        assert_eq!((verdict.outcome(), verdict.idle_ms), (Outcome::Active, Some(idle_ms)));
    }
    // What the first client is granted does not let the second one have it.
    let more = Token { client_id: "app".to_owned(), ..token(3, "s", T0) };
    assert_eq!(filter.ask_new(more).await.outcome(), Outcome::ScopeEscalation);
    fixture.at(3 * MINUTE);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    assert_eq!(filter.outcome(2).await, Outcome::IdleTimeout, "the first client's activity is not the second one's");
}

#[tokio::test]
async fn an_auth_time_of_a_machine_client_is_ignored() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    let dated = Token { authenticated_at_ms: Some(0), ..machine(1, T0) };
    let verdict = filter.ask_with(vec![dated], 1, PLAIN).await;
    assert_eq!((verdict.outcome(), verdict.remaining_ms), (Outcome::Active, Some(480 * MINUTE)));
    let shown = fixture.call("GET", &robots_path(), "").await.json();
    assert_eq!((&shown["state"], &shown["login_at"]), (&"active".into(), &"2023-11-14T22:13:20Z".into()));
}
