//! Stopping well: streams are told, answered to the end, and only then ended.

use crate::client::{FILTER, Filter, PLAIN, http, session_id, token};
use crate::fixtures::{Fixture, PATIENCE, T0};
use portcullis_contract::wire::{FilterMessage, Outcome, Question};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
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
async fn a_filter_that_does_not_leave_is_left_after_the_limit() {
    let mut fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s", T0)).await;
    fixture.drain();
    let began = Instant::now();
    assert!(filter.answer().await.unwrap().unwrap().drain);
    let ended = tokio::time::timeout(PATIENCE, filter.answer()).await.unwrap().unwrap();
    assert_eq!(ended, None, "its end is no error");
    let took = began.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(12)).contains(&took), "{took:?}");
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
    while let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, Filter::over(channel.clone(), FILTER)).await {
        assert!(began.elapsed() < Duration::from_secs(2), "new streams are still taken");
    }
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    filter.close();
    assert_eq!(filter.answer().await.unwrap(), None);
    fixture.stop().await;
}
