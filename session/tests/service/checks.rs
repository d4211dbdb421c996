//! The check stream over the network.

use crate::client::{FILTER, Filter, PLAIN, YOUNG, hello, token};
use crate::fixtures::{Fixture, MINUTE, T0};
use portcullis_session::id::SessionId;
use portcullis_session::wire::{FilterMessage, Outcome, Question};
use tonic::Code;

#[tokio::test]
async fn all_questions_of_a_message_are_answered() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    let ask = |id| Question { id, token: 1, route: PLAIN, ..Question::default() };
    let questions = || (0..500).map(ask).collect();
    filter
        .send(FilterMessage { tokens: vec![token(1, "s", T0)], questions: questions(), ..FilterMessage::default() })
        .await;
    for is_in_memory in [false, true] {
        if is_in_memory {
            filter.send(FilterMessage { questions: questions(), ..FilterMessage::default() }).await;
            let answer = filter.answer().await.unwrap().unwrap();
            assert_eq!((answer.received, answer.verdicts.len()), (true, 500), "together, and at once");
        } else {
            let verdicts = filter.verdicts(500).await;
            let ids: Vec<u32> = verdicts.iter().map(|verdict| verdict.id).collect();
            assert_eq!(ids, (0..500).collect::<Vec<_>>());
            assert!(verdicts.iter().all(|verdict| verdict.outcome() == Outcome::Active));
        }
    }
}

#[tokio::test]
async fn a_caller_without_the_credential_gets_no_stream() {
    let fixture = Fixture::open().await;
    for wrong in ["", "wrong", "admin-secret"] {
        let status = Filter::open(fixture.checks, wrong).await.map(drop).unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_unauthenticated_total{listener=\"checks\"} 3"), "{metrics}");
}

#[tokio::test]
async fn a_broken_contract_closes_the_stream_and_no_other() {
    let fixture = Fixture::open().await;
    let mut good = fixture.filter().await;
    assert_eq!(good.ask_new(token(1, "s", T0)).await.outcome(), Outcome::Active);
    let unknown = FilterMessage {
        questions: vec![Question { id: 1, token: 77, ..Question::default() }],
        ..FilterMessage::default()
    };
    for wrong in [hello(), unknown] {
        let mut bad = fixture.filter().await;
        bad.send(wrong).await;
        assert_eq!(bad.answer().await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(good.outcome(1).await, Outcome::Active);
}

#[tokio::test]
async fn a_hello_of_megabytes_is_taken_and_one_beyond_the_limit_is_not() {
    let fixture = Fixture::open().await;
    for (megabytes, is_taken) in [(15, true), (17, false)] {
        let mut filter = fixture.filter().await;
        let mut big = token(1, "s", T0);
        big.jti = "x".repeat(megabytes * 1024 * 1024);
        filter
            .send(FilterMessage {
                tokens: vec![big],
                questions: vec![Question { token: 1, ..Question::default() }],
                ..FilterMessage::default()
            })
            .await;
        assert_eq!(filter.answer().await.is_ok(), is_taken, "{megabytes}");
    }
}

#[tokio::test]
async fn once_a_revocation_is_answered_the_next_question_is_refused_on_every_stream() {
    let fixture = Fixture::open().await;
    let mut filters = vec![fixture.filter().await, fixture.filter().await, fixture.filter().await];
    for n in 0..20 {
        let sid = format!("s{n}");
        for filter in &mut filters {
            assert_eq!(filter.ask_new(token(n, &sid, T0)).await.outcome(), Outcome::Active);
        }
        let id = SessionId::of("https://id", &sid);
        let revoked = fixture.call("POST", &format!("/v1/sessions/{id}/revoke"), "").await;
        assert_eq!(revoked.status, 200, "{revoked:?}");
        for filter in &mut filters {
            assert_eq!(filter.outcome(n).await, Outcome::Revoked);
        }
    }
}

#[tokio::test]
async fn limits_of_sessions_and_routes_are_kept() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "s", T0)).await;
    fixture.at(2 * MINUTE);
    assert_eq!(filter.ask(1, YOUNG).await.outcome(), Outcome::StepUpRequired);
    let verdict = filter.ask(1, PLAIN).await;
    assert_eq!((verdict.remaining_ms, verdict.idle_ms), (Some(478 * MINUTE), Some(30 * MINUTE)));
    fixture.at(32 * MINUTE);
    assert_eq!(filter.outcome(1).await, Outcome::IdleTimeout);
}

#[tokio::test]
async fn sessions_survive_a_stop_and_ended_ones_stay_ended() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.ask_new(token(1, "live", T0)).await;
    filter.ask_new(token(2, "dead", T0)).await;
    let id = SessionId::of("https://id", "dead");
    fixture.call("POST", &format!("/v1/sessions/{id}/revoke"), "").await;
    filter.close();
    let folder = fixture.stop().await;
    while filter.answer().await.unwrap().is_some() {}

    let fixture = Fixture::in_folder(folder, "").await;
    fixture.at(5);
    let listed = fixture.call("GET", "/v1/sessions?state=active", "").await.json();
    assert_eq!(listed["sessions"][0]["key"], "live");
    let mut filter = Filter::open(fixture.checks, FILTER).await.unwrap();
    assert_eq!(filter.ask_new(token(1, "live", T0)).await.outcome(), Outcome::Active);
    assert_eq!(filter.ask_new(token(2, "dead", T0 + 4)).await.outcome(), Outcome::Revoked);
}
