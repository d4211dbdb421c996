//! Follows over the network: what is pushed without a question.

use crate::client::{Filter, PLAIN, YOUNG, session_id, token};
use crate::fixtures::{Fixture, T0};
use portcullis_contract::wire::{FilterMessage, Follow, Outcome};
use std::time::{Duration, Instant};
use tonic::Code;

fn path(sid: &str) -> String {
    format!("/v1/sessions/{}", session_id(sid))
}

#[tokio::test]
async fn a_revocation_is_pushed_to_every_stream_that_follows_the_session() {
    let fixture = Fixture::open().await;
    let mut filters = vec![fixture.filter().await, fixture.filter().await];
    let mut other = fixture.filter().await;
    for filter in &mut filters {
        filter.follow(token(1, "s", T0), PLAIN).await;
    }
    other.follow(token(1, "t", T0), PLAIN).await;
    assert_eq!(fixture.call("POST", &format!("{}/revoke", path("s")), "").await.status, 200);
    for filter in &mut filters {
        assert_eq!(filter.pushed().await.outcome(), Outcome::Revoked);
        assert_eq!(filter.outcome(1).await, Outcome::Revoked);
    }
    assert_eq!(other.outcome(1).await, Outcome::Active);
}

#[tokio::test]
async fn a_block_is_pushed_to_the_follows_of_its_party_and_to_no_others() {
    let fixture = Fixture::open().await;
    let (mut filter, mut other) = (fixture.filter().await, fixture.filter().await);
    filter.follow(token(1, "s", T0), PLAIN).await;
    other.follow(token(1, "t", T0), PLAIN).await;
    let made = fixture.call("POST", "/v1/blocks", r#"{"issuer":"https://id","sid":"s"}"#).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(filter.pushed().await.outcome(), Outcome::Blocked);
    assert_eq!(other.outcome(1).await, Outcome::Active);
}

#[tokio::test]
async fn a_change_of_scopes_is_pushed_and_so_is_its_return() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.follow(token(1, "s", T0), PLAIN).await;
    assert_eq!(fixture.call("PATCH", &path("s"), r#"{"scopes":["openid"]}"#).await.status, 200);
    let narrowed = filter.pushed().await;
    assert_eq!((narrowed.outcome(), narrowed.narrowed.unwrap().scopes), (Outcome::Active, vec!["openid".to_owned()]));
    fixture.call("PATCH", &path("s"), r#"{"scopes":["openid","orders:read"]}"#).await;
    let restored = filter.pushed().await;
    assert_eq!((restored.outcome(), restored.narrowed), (Outcome::Active, None));
}

#[tokio::test]
async fn scopes_that_are_taken_from_a_session_or_from_its_subject_are_pushed_and_so_is_their_return() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.follow(token(1, "s", T0), PLAIN).await;
    let subject = |change| format!(r#"{{"issuer":"https://id","subject":"alice","{change}":["openid"]}}"#);
    let rows = [
        ("PATCH", path("s"), r#"{"remove":["orders:read"]}"#.to_owned(), Some(vec!["openid".to_owned()])),
        ("POST", "/v1/narrowings".to_owned(), subject("remove"), Some(vec![])),
        ("PATCH", path("s"), r#"{"restore":["orders:read"]}"#.to_owned(), Some(vec!["orders:read".to_owned()])),
        ("POST", "/v1/narrowings".to_owned(), subject("restore"), None),
    ];
    for (method, path, body, left) in rows {
        assert_eq!(fixture.call(method, &path, &body).await.status, 200, "{body}");
        let pushed = filter.pushed().await;
        assert_eq!((pushed.outcome(), pushed.narrowed.map(|left| left.scopes)), (Outcome::Active, left), "{body}");
    }
}

#[tokio::test]
async fn a_rule_is_pushed() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    filter.follow(token(1, "s", T0), PLAIN).await;
    let rule = r#"{"issuer":"https://id","subject":"alice"}"#;
    assert_eq!(fixture.call("POST", "/v1/revocations", rule).await.status, 200);
    assert_eq!(filter.pushed().await.outcome(), Outcome::Revoked);
}

#[tokio::test]
async fn limits_are_pushed_when_they_are_met_and_not_before() {
    for (access, at_ms, outcome) in [
        ("idle: 400ms", 400, Outcome::IdleTimeout),
        ("absolute: 400ms", 400, Outcome::LifetimeExceeded),
        ("absolute: 8h, idle: 700ms", 1000, Outcome::IdleTimeout),
    ] {
        let fixture = Fixture::ticking(&format!("access: [{{name: a, {access}}}]")).await;
        let mut filter = fixture.filter().await;
        let (began, mut token) = (Instant::now(), token(1, "s", T0));
        token.issued_at_ms = T0 + 60_000;
        filter.follow(token, PLAIN).await;
        if at_ms == 1000 {
            tokio::time::sleep(Duration::from_millis(350)).await;
            filter.send(FilterMessage { active: vec![5], ..FilterMessage::default() }).await;
        }
        assert_eq!(filter.pushed().await.outcome(), outcome, "{access}");
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(at_ms), "{access}: after {took:?}");
    }
}

#[tokio::test]
async fn the_limit_of_a_route_is_pushed() {
    let fixture = Fixture::open().await;
    let mut filter = fixture.filter().await;
    // The route takes sessions of a minute.
    fixture.at(59_800);
    filter.follow(token(1, "s", T0), YOUNG).await;
    fixture.at(60_000);
    assert_eq!(filter.pushed().await.outcome(), Outcome::StepUpRequired);
    assert_eq!(filter.outcome(1).await, Outcome::Active);
}

#[tokio::test]
async fn a_follow_that_breaks_the_contract_closes_the_stream() {
    let fixture = Fixture::open().await;
    let follow = |token, route| Follow { id: 1, token, route, ..Follow::default() };
    for follow in [follow(9, 0), follow(1, 9)] {
        let mut filter = fixture.filter().await;
        let (tokens, follows) = (vec![token(1, "s", T0)], vec![follow]);
        filter.send(FilterMessage { tokens, follows, ..FilterMessage::default() }).await;
        assert_eq!(filter.answer().await.unwrap_err().code(), Code::InvalidArgument);
    }
}

/// One revocation among ten thousand follows of a stream.
#[tokio::test]
async fn a_push_does_not_wait_for_other_follows() {
    let fixture = Fixture::open().await;
    let mut filter: Filter = fixture.filter().await;
    for first in [0, 5_000] {
        let numbers = first..first + 5_000;
        let tokens = numbers.clone().map(|n| token(n, &format!("s{n}"), T0)).collect();
        let follows = numbers.map(|n| Follow { id: n, token: n, route: PLAIN, ..Follow::default() }).collect();
        filter.send(FilterMessage { tokens, follows, ..FilterMessage::default() }).await;
        assert_eq!(filter.answer().await.unwrap().unwrap().followed.len(), 5_000);
    }
    let mut waited = Vec::new();
    for n in (0..10_000).step_by(500) {
        let revoked = fixture.call("POST", &format!("{}/revoke", path(&format!("s{n}"))), "").await;
        let answered = Instant::now();
        assert_eq!(revoked.status, 200);
        let pushed = filter.answer().await.unwrap().unwrap().followed;
        waited.push(answered.elapsed());
        assert_eq!((pushed[0].id, pushed[0].outcome(), pushed.len()), (n, Outcome::Revoked, 1));
    }
    waited.sort_unstable();
    println!("after the answer: {waited:?}");
    // The middle one: a busy machine may hold up any other.
    assert!(waited[waited.len() / 2] < Duration::from_millis(50), "{waited:?}");
}
