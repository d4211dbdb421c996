//! Stopping well: streams are told, answered to the end, and only then ended.

use crate::client::{FILTER, Filter, PLAIN, http, session_id, token};
use crate::fixtures::{Fixture, PATIENCE, T0};
use portcullis_contract::wire::{FilterMessage, Outcome, Question};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Endpoint;

#[tokio::test]
async fn a_stream_is_told_once_and_answered_until_the_filter_closes_its_half() {
    let mut fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.follow(token(1, "s", T0), PLAIN).await;
    fixture.drain();
    let told = filter.answer().await.unwrap().unwrap();
    assert!(told.drain && told.verdicts.is_empty() && told.followed.is_empty(), "{told:?}");
    assert_eq!(http(fixture.admin, "", "GET", "/readyz", "").await.status, 503);
    assert_eq!(http(fixture.admin, "", "GET", "/healthz", "").await.status, 200);
    TcpStream::connect(fixture.checks).await.expect_err("it takes new connections");

    assert_eq!(filter.outcome(1).await, Outcome::Active);
    let path = format!("/v1/sessions/{}/revoke", session_id("s"));
    assert_eq!(fixture.call("POST", &path, "").await.status, 200);
    assert_eq!(filter.pushed().await.outcome(), Outcome::Revoked);

    // What was asked before the half was closed is answered.
    let questions = (0..300).map(|id| Question { id, token: 1, route: PLAIN, ..Question::default() });
    for question in questions.clone() {
        filter.send(FilterMessage { questions: vec![question], ..FilterMessage::default() }).await;
    }
    filter.close();
    let mut answered = Vec::new();
    while let Some(answer) = filter.answer().await.unwrap() {
        assert!(!answer.drain, "told twice");
        answered.extend(answer.verdicts.iter().map(|verdict| verdict.id));
    }
    assert_eq!(answered, questions.map(|question| question.id).collect::<Vec<_>>());
    let began = Instant::now();
    fixture.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn without_streams_it_stops_at_once() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s", T0)).await;
    filter.close();
    assert_eq!(filter.answer().await.unwrap(), None);
    // The connection is still open.
    let began = Instant::now();
    fixture.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    drop(filter);
}

#[tokio::test]
async fn a_filter_that_does_not_leave_is_left_after_two_seconds_and_no_revocation_waits_for_that() {
    let mut fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s", T0)).await;
    fixture.drain();
    let began = Instant::now();
    assert!(filter.answer().await.unwrap().unwrap().drain);
    let stays = tokio::spawn(async move { (filter.answer().await, Instant::now()) });
    let path = format!("/v1/sessions/{}/revoke", session_id("s"));
    let mut slowest = Duration::ZERO;
    while !stays.is_finished() && began.elapsed() < Duration::from_millis(1_500) {
        let asked = Instant::now();
        assert_eq!(fixture.call("POST", &path, "").await.status, 200);
        slowest = slowest.max(asked.elapsed());
    }
    let (ended, at) = tokio::time::timeout(PATIENCE, stays).await.unwrap().unwrap();
    assert_eq!(ended.unwrap(), None, "its end is no error");
    let took = at - began;
    assert!((Duration::from_millis(1_500)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_question_that_waits_for_the_disk_when_the_time_is_up_is_answered() {
    let mut fixture = Fixture::open().await;
    let (mut asks, mut other) = (fixture.filter().await, fixture.filter().await);
    fixture.faults.slow_reads.shut(true);
    let questions = vec![Question { id: 9, token: 1, route: PLAIN, ..Question::default() }];
    asks.send(FilterMessage { tokens: vec![token(1, "s", T0)], questions, ..FilterMessage::default() }).await;
    assert!(asks.answer().await.unwrap().unwrap().received);
    fixture.drain();
    assert!(asks.answer().await.unwrap().unwrap().drain && other.answer().await.unwrap().unwrap().drain);
    // Both have the same time.
    assert_eq!(tokio::time::timeout(PATIENCE, other.answer()).await.unwrap().unwrap(), None);
    fixture.faults.slow_reads.shut(false);
    let answered = tokio::time::timeout(PATIENCE, asks.answer()).await.unwrap().unwrap().expect("an answer");
    assert_eq!(answered.verdicts[0].outcome(), Outcome::Active);
    assert_eq!(asks.answer().await.unwrap(), None);
    fixture.stop().await;
}

#[tokio::test]
async fn a_filter_that_has_not_said_hello_is_sent_elsewhere_at_once() {
    let mut fixture = Fixture::open().await;
    let channel = Endpoint::from_shared(format!("http://{}", fixture.checks)).unwrap().connect().await.unwrap();
    let mut filter = Filter::silent(channel, FILTER).await.unwrap();
    fixture.drain();
    let refused = tokio::time::timeout(PATIENCE, filter.answer()).await.unwrap().unwrap_err();
    let why = "the service is about to stop, or may not give verdicts now";
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, why));
    fixture.stop().await;
}

#[tokio::test]
async fn a_draining_connection_takes_no_more_streams() {
    let mut fixture = Fixture::open().await;
    let channel = Endpoint::from_shared(format!("http://{}", fixture.checks)).unwrap().connect().await.unwrap();
    let mut filter = Filter::over(channel.clone(), FILTER).await.unwrap();
    filter.ask_new(token(1, "s", T0)).await;
    fixture.drain();
    assert!(filter.answer().await.unwrap().unwrap().drain);
    let began = Instant::now();
    // GOAWAY makes the client connect anew, which is refused here.
    while let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, Filter::silent(channel.clone(), FILTER)).await {
        assert!(began.elapsed() < Duration::from_secs(2), "new streams are still taken");
    }
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    filter.close();
    assert_eq!(filter.answer().await.unwrap(), None);
    fixture.stop().await;
}
