//! The check stream over the network.

use crate::client::{ADMIN, BACKGROUND, FILTER, Filter, PLAIN, YOUNG, hello, session_id, token};
use crate::fixtures::{Fixture, MINUTE, T0};
use portcullis_contract::wire::{FilterMessage, Follow, Outcome, Question, SessionKey, Token};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tonic::Code;
use tonic::transport::Endpoint;

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
async fn answers_that_are_too_much_for_one_message_come_in_several_within_the_bound() {
    const QUESTIONS: u32 = 1_000;
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    let mut many = token(1, "s", T0);
    many.scopes.extend((0..300).map(|n| format!("https://id/scopes/of-a-large-company/{n:04}")));
    assert_eq!(filter.ask_new(many).await.outcome(), Outcome::Active);
    let path = format!("/v1/sessions/{}", session_id("s"));
    assert_eq!(fixture.call("PATCH", &path, r#"{"remove":["openid"]}"#).await.status, 200);

    let asked = |id| Question { id, token: 1, route: PLAIN, ..Question::default() };
    filter.send(FilterMessage { questions: (0..QUESTIONS).map(asked).collect(), ..FilterMessage::default() }).await;
    // Read later than what the first message is still owed.
    filter.send(asks(QUESTIONS, vec![], 1)).await;
    let (mut verdicts, mut acknowledged) = (Vec::new(), Vec::new());
    while verdicts.len() <= QUESTIONS as usize {
        // The client refuses a message beyond the bound.
        let answer = filter.answer().await.unwrap().expect("the stream was closed");
        if answer.received {
            acknowledged.push(verdicts.len());
        }
        verdicts.extend(answer.verdicts);
    }
    assert_eq!(acknowledged, [0, QUESTIONS as usize], "each message is acknowledged once, and at once");
    assert!(verdicts.iter().map(|verdict| verdict.id).eq(0..=QUESTIONS));
    assert!(verdicts.iter().all(|verdict| verdict.narrowed.as_ref().is_some_and(|left| left.scopes.len() == 301)));
}

fn asks(id: u32, token: Vec<Token>, handle: u32) -> FilterMessage {
    let questions = vec![Question { id, token: handle, route: PLAIN, ..Question::default() }];
    FilterMessage { tokens: token, questions, ..FilterMessage::default() }
}

#[tokio::test]
async fn a_slow_disk_holds_up_only_the_answers_that_need_it() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "known", T0)).await.outcome(), Outcome::Active);
    fixture.faults.slow_reads.shut(true);
    filter.send(asks(20, vec![token(2, "unknown", T0)], 2)).await;
    let received = filter.answer().await.unwrap().unwrap();
    assert!(received.received && received.verdicts.is_empty(), "{received:?}");
    // A session that is in memory is answered meanwhile, on this stream and on another.
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    let mut other = fixture.filter().await;
    other.send(asks(9, vec![token(1, "known", T0)], 1)).await;
    assert_eq!(other.verdicts(1).await[0].outcome(), Outcome::Active);
    // And a filter that closes its half still gets what is due.
    filter.close();
    fixture.faults.slow_reads.shut(false);
    let late = filter.answer().await.unwrap().unwrap();
    assert_eq!((late.verdicts[0].id, late.verdicts[0].outcome(), late.received), (20, Outcome::Active, false));
    assert_eq!(filter.answer().await.unwrap(), None);
}

#[tokio::test]
async fn a_wall_clock_that_was_set_forward_does_not_release_what_is_blocked() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "live", T0)).await.outcome(), Outcome::Active);
    let block = r#"{"issuer":"https://id","subject":"alice","until":"2023-11-14T22:14:20Z"}"#;
    assert_eq!(fixture.call("POST", "/v1/blocks", block).await.status, 200);
    fixture.wall.store(i64::try_from(2 * MINUTE).unwrap(), Ordering::SeqCst);
    assert_eq!(filter.outcome(1).await, Outcome::Blocked);
    assert_eq!(filter.ask_new(token(2, "unseen", T0)).await.outcome(), Outcome::Blocked);
    let listed = fixture.call("GET", "/v1/blocks", "").await.json();
    assert_eq!(listed["blocks"].as_array().unwrap().len(), 1);
    fixture.at(MINUTE);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
}

#[tokio::test]
async fn what_cannot_be_looked_up_has_no_verdict_and_its_stream_goes_on() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "known", T0)).await.outcome(), Outcome::Active);
    fixture.faults.fails_to_read.store(true, Ordering::SeqCst);
    assert_eq!(filter.ask_new(token(2, "unknown", T0)).await.outcome(), Outcome::Unavailable);
    let follow = Follow { id: 5, token: 2, route: PLAIN, ..Follow::default() };
    filter.send(FilterMessage { follows: vec![follow], ..FilterMessage::default() }).await;
    assert_eq!(filter.pushed().await.outcome(), Outcome::Unavailable);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    fixture.faults.fails_to_read.store(false, Ordering::SeqCst);
    assert_eq!(filter.outcome(2).await, Outcome::Active);
}

#[tokio::test]
async fn an_end_that_is_not_on_disk_waits_for_its_commit_and_nothing_waits_for_it() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    fixture.at(31 * MINUTE);
    assert_eq!(filter.ask_new(token(1, "known", T0)).await.outcome(), Outcome::Active);
    // Nothing was seen of this one, and a background question opens nothing that would be over at once.
    let unseen = filter.ask_with(vec![token(3, "unseen", T0)], 3, BACKGROUND).await;
    assert_eq!(unseen.outcome(), Outcome::UnknownSession);
    fixture.faults.slow_writes.shut(true);
    let plain = |id| Question { id, token: 2, route: PLAIN, ..Question::default() };
    let (tokens, questions) = (vec![token(2, "over", T0 - 9 * 60 * MINUTE)], vec![plain(20)]);
    filter.send(FilterMessage { tokens, questions, ..FilterMessage::default() }).await;
    let received = filter.answer().await.unwrap().unwrap();
    assert!(received.received && received.verdicts.is_empty(), "{received:?}");
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    fixture.faults.slow_writes.shut(false);
    let late = filter.answer().await.unwrap().unwrap();
    assert_eq!((late.verdicts[0].id, late.verdicts[0].outcome()), (20, Outcome::LifetimeExceeded));
}

#[tokio::test]
async fn no_more_is_read_while_too_many_answers_wait_for_the_disk() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    fixture.faults.slow_reads.shut(true);
    // As many as may wait: the next message is not read before some of them have left.
    let ask = |id| Question { id, token: 1, route: PLAIN, ..Question::default() };
    let questions = (0..8_192).map(ask).collect();
    filter.send(FilterMessage { tokens: vec![token(1, "s", T0)], questions, ..FilterMessage::default() }).await;
    assert!(filter.answer().await.unwrap().unwrap().received);
    filter.send(asks(9_000, vec![], 1)).await;
    let early = tokio::time::timeout(Duration::from_millis(300), filter.answer()).await;
    assert!(early.is_err(), "{early:?}");
    fixture.faults.slow_reads.shut(false);
    let late = filter.answer().await.unwrap().unwrap();
    assert_eq!((late.verdicts.len(), late.received), (8_192, false));
    let next = filter.answer().await.unwrap().unwrap();
    assert_eq!((next.verdicts[0].id, next.received), (9_000, true));
}

#[tokio::test]
async fn a_caller_without_the_credential_gets_no_stream() {
    let fixture = Fixture::open().await;
    for wrong in ["", "wrong", ADMIN] {
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
async fn a_message_of_megabytes_is_taken_and_one_beyond_a_limit_is_not() {
    let fixture = Fixture::open().await;
    for (megabytes, is_taken) in [(7, true), (9, false)] {
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
    // Few bytes, and much memory if it were decoded.
    let mut filter = fixture.filter().await;
    filter.send(FilterMessage { tokens: vec![Token::default(); 16_385], ..FilterMessage::default() }).await;
    let refused = filter.answer().await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(refused.message(), "a message has more than 16384 tokens, questions and follows");
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
        let id = session_id(&sid);
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
    let id = session_id("dead");
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

#[tokio::test]
async fn a_clock_that_is_set_ends_nothing_for_good_and_gives_nothing_more() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s", T0)).await.outcome(), Outcome::Active);
    let hour = i64::try_from(60 * MINUTE).unwrap();

    fixture.wall.store(hour, Ordering::SeqCst);
    fixture.at(7_000);
    assert_eq!(filter.outcome(1).await, Outcome::IdleTimeout, "over by the wall clock");
    // Its activity counts by the steady clock, and so it is over by the wall clock at once.
    assert_eq!(filter.ask_new(token(2, "new", T0 + 60 * MINUTE)).await.outcome(), Outcome::IdleTimeout);
    let metrics = fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_sessions_live 2"), "{metrics}");
    fixture.wall.store(0, Ordering::SeqCst);
    assert_eq!(filter.outcome(1).await, Outcome::Active, "nothing was ended for good");
    assert_eq!(filter.outcome(2).await, Outcome::Active);

    fixture.wall.store(-hour, Ordering::SeqCst);
    fixture.at(7_000 + 30 * MINUTE);
    assert_eq!(filter.outcome(1).await, Outcome::IdleTimeout, "the steady clock goes on");
    assert_eq!(filter.outcome(2).await, Outcome::IdleTimeout, "the activity of a wrong hour gave nothing more");
    let path = format!("/v1/sessions/{}", session_id("s"));
    assert_eq!(fixture.call("GET", &path, "").await.json()["state"], "active");
    let confirmed = fixture.call("POST", "/v1/clock/confirm", "").await;
    assert_eq!((confirmed.status, &confirmed.json()["now"]), (200, &serde_json::json!("2023-11-14T21:43:27Z")));
    assert_eq!(filter.outcome(1).await, Outcome::Active, "the operator says that it is earlier");
}

#[tokio::test]
async fn a_session_that_the_admin_api_opens_while_the_clock_is_wrong_is_no_younger_for_it() {
    let fixture = Fixture::open().await;
    fixture.wall.store(i64::try_from(60 * MINUTE).unwrap(), Ordering::SeqCst);
    let session = r#"{"issuer": "https://id", "key": "k", "subject": "alice", "client_id": "web", "scopes": []}"#;
    let opened = fixture.call("POST", "/v1/sessions", session).await;
    assert_eq!(opened.status, 200, "{}", opened.text);
    assert_eq!(opened.json()["last_seen_at"], "2023-11-14T22:13:20Z", "by the steady clock");
}

#[tokio::test]
async fn the_welcome_names_the_store_and_the_terms_for_undated_logins_which_the_metrics_show_too() {
    for (more, reopens) in [("", false), ("undated_logins: {reopen: {revoked_for: 1h}}", true)] {
        let fixture = Fixture::with(more).await;
        let channel = Endpoint::from_shared(format!("http://{}", fixture.checks)).unwrap().connect().await.unwrap();
        let mut filter = Filter::silent(channel, FILTER).await.unwrap();
        filter.send(hello()).await;
        let welcome = filter.answer().await.unwrap().unwrap().welcome.unwrap();
        assert_eq!((welcome.reopens_undated_logins, welcome.store_id.len()), (reopens, 16));
        let gauge = format!("portcullis_undated_logins_accepted {}\n", u8::from(reopens));
        assert!(fixture.call("GET", "/metrics", "").await.text.contains(&gauge), "{gauge}");
    }
}

#[tokio::test]
async fn a_stream_whose_credential_is_removed_is_closed_and_no_other() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    assert_eq!(filter.ask_new(token(1, "s", T0)).await.outcome(), Outcome::Active);
    fixture.reload_with("another-filter-credential", FILTER);
    assert_eq!(filter.outcome(1).await, Outcome::Active, "its credential is still in the list");
    fixture.reload_with("another-filter-credential", "and-one-more-credential");
    assert_eq!(filter.answer().await.unwrap_err().code(), Code::Unauthenticated);
    assert!(Filter::open(fixture.checks, "and-one-more-credential").await.is_ok());
}

#[tokio::test]
async fn an_undated_token_is_refused_as_invalid() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    let undated = Token { key_kind: SessionKey::Login as i32, ..token(1, "digest", T0) };
    assert_eq!(filter.ask_new(undated.clone()).await.outcome(), Outcome::Undated);
    let dated = Token { handle: 2, authenticated_at_ms: Some(T0), ..undated };
    assert_eq!(filter.ask_new(dated).await.outcome(), Outcome::Active);
}
