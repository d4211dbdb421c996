//! Leases over the network: what promises something waits until no filter can decide by what was before.

#[cfg(feature = "conditions")]
mod conditions;
mod promises;

use crate::client::{Answer, FILTER, Filter, session_id, token};
use crate::fixtures::{Fixture, PATIENCE, T0};
use portcullis_contract::wire::{
    FilterMessage, Hello, Outcome, Question, Renewal, Route, ServiceMessage, TakeBack, Verdict,
};
use std::time::{Duration, Instant};
use tonic::transport::Endpoint;

/// A lease that a test does not want to see the end of, and one that it does, in milliseconds.
const LONG: u64 = 5_000;
const SHORT: u64 = 400;

fn hello(lease_ms: u64) -> FilterMessage {
    let leased = Route { name: "leased".to_owned(), lease_ms, ..Route::default() };
    let strong = Route { name: "strong".to_owned(), acr: vec!["aal2".to_owned()], lease_ms, ..Route::default() };
    FilterMessage {
        hello: Some(Hello { routes: vec![leased, strong], ..Hello::default() }),
        ..FilterMessage::default()
    }
}

/// A filter that decides by leases of that length.
async fn filter(fixture: &Fixture, lease_ms: u64) -> Filter {
    saying(fixture, hello(lease_ms)).await
}

async fn saying(fixture: &Fixture, hello: FilterMessage) -> Filter {
    let channel = Endpoint::from_shared(format!("http://{}", fixture.checks)).unwrap().connect().await.unwrap();
    Filter::begun(channel, FILTER, hello).await.unwrap()
}

async fn ask(filter: &mut Filter, lease: u32, route: u32) -> Verdict {
    let method = "GET".to_owned();
    let question = Question { id: 9, token: 1, route, method, lease: Some(lease), ..Question::default() };
    filter.send(FilterMessage { questions: vec![question], ..FilterMessage::default() }).await;
    filter.verdicts(1).await.pop().unwrap()
}

/// Asks until there is a lease: the service notes its length first. When it was asked for.
async fn leased(filter: &mut Filter, lease: u32, route: u32) -> Instant {
    loop {
        let asked_at = Instant::now();
        let verdict = ask(filter, lease, route).await;
        assert_eq!(verdict.outcome(), Outcome::Active);
        if verdict.lease_ms.is_some() {
            return asked_at;
        }
        tokio::task::yield_now().await;
    }
}

/// A filter that has a lease of the session `s`, and when it has asked for it.
async fn with_lease(fixture: &Fixture, lease_ms: u64) -> (Filter, Instant) {
    let mut filter = filter(fixture, lease_ms).await;
    filter.send(FilterMessage { tokens: vec![token(1, "s", T0)], ..FilterMessage::default() }).await;
    let asked_at = leased(&mut filter, 1, 0).await;
    (filter, asked_at)
}

async fn message(filter: &mut Filter) -> ServiceMessage {
    let message = tokio::time::timeout(PATIENCE, filter.answer()).await.expect("nothing is sent");
    message.unwrap().expect("the stream was closed")
}

async fn take_back(filter: &mut Filter) -> TakeBack {
    let [taken] = <[TakeBack; 1]>::try_from(message(filter).await.take_backs).unwrap();
    taken
}

/// Makes a call that is answered only once the filter has given its lease 1 back; returns the answer.
async fn taken_back_before(filter: &mut Filter, call: impl Future<Output = Answer>) -> Answer {
    tokio::pin!(call);
    let taken = tokio::select! {
        answer = &mut call => panic!("answered before the lease was taken back: {answer:?}"),
        taken = take_back(filter) => taken,
    };
    assert_eq!(taken.leases, [1]);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut call).await.is_err(), "it was not given back yet");
    filter.send(FilterMessage { taken_back: vec![taken.id], ..FilterMessage::default() }).await;
    let answer = call.await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    answer
}

/// What is answered now has waited for the end of a short lease, and not for much longer.
fn waited_out(asked_at: Instant, what: &str) {
    let waited = asked_at.elapsed();
    assert!(waited >= Duration::from_millis(SHORT), "{what}: {waited:?}");
    assert!(waited < Duration::from_millis(10 * SHORT), "{what}: {waited:?}");
}

fn waited_ms(answer: &Answer) -> Option<u64> {
    let line = answer.head.lines().find_map(|line| line.strip_prefix("server-timing: leases;dur="));
    line.map(|text| text.parse().unwrap())
}

#[tokio::test]
async fn a_revocation_is_answered_once_the_filter_has_given_the_lease_back() {
    let fixture = Fixture::open().await;
    let (mut filter, asked_at) = with_lease(&fixture, LONG).await;
    let path = format!("/v1/sessions/{}/revoke", session_id("s"));
    let answer = taken_back_before(&mut filter, fixture.call("POST", &path, "{}")).await;
    assert!(waited_ms(&answer).is_some_and(|ms| (50..LONG).contains(&ms)), "{answer:?}");
    assert!(asked_at.elapsed() < Duration::from_millis(LONG), "it did not wait for the end of the lease");
    let again = fixture.call("POST", &path, "{}").await;
    assert_eq!((again.status, waited_ms(&again)), (200, None), "nothing is left to wait for");
    let verdict = ask(&mut filter, 2, 0).await;
    assert_eq!((verdict.outcome(), verdict.lease_ms), (Outcome::Revoked, None));
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    for line in ["portcullis_leases_given_total 1", "portcullis_leases_taken_back_total 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
}

/// What promises something: on which route it ends or narrows the session `s`.
fn promises() -> Vec<(&'static str, String, &'static str)> {
    let session = format!("/v1/sessions/{}", session_id("s"));
    let alice = r#"{"issuer":"https://id","subject":"alice"}"#;
    vec![
        ("POST", format!("{session}/revoke"), "{}"),
        ("PATCH", session.clone(), r#"{"scopes":["openid"]}"#),
        ("POST", "/v1/revocations".to_owned(), alice),
        ("POST", "/v1/blocks".to_owned(), alice),
        ("POST", "/v1/blocks".to_owned(), r#"{"issuer":"https://id","sid":"s"}"#),
    ]
}

#[tokio::test]
async fn every_answer_that_promises_something_waits_for_the_end_of_a_lease_that_nobody_gives_back_and_no_longer() {
    for (method, path, body) in promises() {
        let fixture = Fixture::open().await;
        let (_hung, asked_at) = with_lease(&fixture, SHORT).await;
        let answer = fixture.call(method, &path, body).await;
        assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
        waited_out(asked_at, &path);
    }
}

#[tokio::test]
async fn a_second_call_waits_as_the_first_one_does() {
    let fixture = Fixture::open().await;
    let (_hung, asked_at) = with_lease(&fixture, SHORT).await;
    let path = format!("/v1/sessions/{}/revoke", session_id("s"));
    let (one, other) = tokio::join!(fixture.call("POST", &path, "{}"), fixture.call("POST", &path, "{}"));
    assert_eq!((one.status, other.status), (200, 200));
    assert!(asked_at.elapsed() >= Duration::from_millis(SHORT), "the second call waits as well");
}

#[tokio::test]
async fn the_leases_of_a_stream_that_was_closed_are_waited_out_and_those_that_the_filter_has_dropped_are_not() {
    let fixture = Fixture::open().await;
    let (filter, asked_at) = with_lease(&fixture, SHORT).await;
    drop(filter);
    let path = format!("/v1/sessions/{}/revoke", session_id("s"));
    assert_eq!(fixture.call("POST", &path, "{}").await.status, 200);
    assert!(asked_at.elapsed() >= Duration::from_millis(SHORT));

    let fixture = Fixture::open().await;
    let (mut filter, asked_at) = with_lease(&fixture, LONG).await;
    let renewal = Some(Renewal { active: vec![1], ended: vec![1] });
    filter.send(FilterMessage { renewal, ..FilterMessage::default() }).await;
    assert_eq!(message(&mut filter).await.renewed.unwrap().refused, Vec::<u32>::new());
    assert_eq!(fixture.call("POST", &path, "{}").await.status, 200);
    assert!(asked_at.elapsed() < Duration::from_millis(LONG));
}

#[tokio::test]
async fn a_renewal_extends_a_lease_for_those_who_wait_for_its_end() {
    let fixture = Fixture::open().await;
    let (mut filter, _) = with_lease(&fixture, SHORT).await;
    let renewed_at = Instant::now();
    filter.send(FilterMessage { renewal: Some(Renewal::default()), ..FilterMessage::default() }).await;
    assert_eq!(message(&mut filter).await.renewed.unwrap().refused, Vec::<u32>::new());
    let path = format!("/v1/sessions/{}/revoke", session_id("s"));
    assert_eq!(fixture.call("POST", &path, "{}").await.status, 200);
    assert!(renewed_at.elapsed() >= Duration::from_millis(SHORT));
}

#[tokio::test]
async fn a_login_that_counts_for_less_takes_back_what_needs_more() {
    let fixture = Fixture::open().await;
    let mut filter = filter(&fixture, LONG).await;
    filter.send(FilterMessage { tokens: vec![token(1, "s", T0)], ..FilterMessage::default() }).await;
    leased(&mut filter, 1, 0).await;
    leased(&mut filter, 2, 1).await;
    let path = format!("/v1/attributes/session/{}/acr", session_id("s"));
    let set = fixture.call("PUT", &path, r#"{"value":"aal1"}"#);
    tokio::pin!(set);
    let taken = tokio::select! {
        answer = &mut set => panic!("{answer:?}"),
        taken = take_back(&mut filter) => taken,
    };
    assert_eq!(taken.leases, [2], "the other route does not ask for it");
    filter.send(FilterMessage { taken_back: vec![taken.id], ..FilterMessage::default() }).await;
    assert!((200..300).contains(&set.await.status));
}

#[tokio::test]
async fn after_a_restart_it_judges_and_gives_leases_at_once_and_answers_once_those_of_before_have_run_out() {
    let fixture = Fixture::open().await;
    let (filter, _) = with_lease(&fixture, LONG / 2).await;
    drop(filter);
    let folder = fixture.stop().await;
    let started_at = Instant::now();
    let fixture = Fixture::in_folder(folder, "").await;
    let (mut filter, asked_at) = with_lease(&fixture, SHORT).await;
    assert!(asked_at.duration_since(started_at) < Duration::from_millis(LONG / 2));
    let path = format!("/v1/sessions/{}/revoke", session_id("s"));
    let revoked = fixture.call("POST", &path, "{}");
    tokio::pin!(revoked);
    let taken = tokio::select! {
        answer = &mut revoked => panic!("{answer:?}"),
        taken = take_back(&mut filter) => taken,
    };
    filter.send(FilterMessage { taken_back: vec![taken.id], ..FilterMessage::default() }).await;
    assert_eq!(ask(&mut filter, 2, 0).await.outcome(), Outcome::Revoked, "it is refused before that is promised");
    assert_eq!(revoked.await.status, 200);
    assert!(started_at.elapsed() >= Duration::from_millis(LONG / 2), "{:?}", started_at.elapsed());
}
