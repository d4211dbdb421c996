//! Back-channel logout.

use super::*;

const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

pub(crate) fn logout_token(jti: &str, more: &Value) -> String {
    logout_token_of_type(&json!({}), jti, more)
}

fn logout_token_of_type(header_more: &Value, jti: &str, more: &Value) -> String {
    let now = T0 / 1000;
    let usual =
        json!({"iss": "https://id", "aud": "web", "iat": now, "exp": now + 120, "jti": jti, "events": {LOGOUT: {}}});
    let header = with(json!({"alg": "EdDSA", "kid": "t1", "typ": "logout+jwt"}), header_more);
    signed(&header, &with(usual, more))
}

pub(crate) async fn logout(fixture: &Fixture, token: &str) -> Answer {
    post_form(fixture.signals.unwrap(), "", "/signals/op", &format!("logout_token={token}")).await
}

#[tokio::test]
async fn a_logout_ends_the_session_of_every_client_before_it_is_answered() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let elsewhere = Token { client_id: "app".to_owned(), ..of(3, "s", "alice", T0) };
    assert_eq!(filter.ask_new(elsewhere).await.outcome(), Outcome::Active);
    assert_eq!(filter.ask_new(of(4, "other", "alice", T0)).await.outcome(), Outcome::Active);
    let token = logout_token("1", &json!({"sid": "s", "sub": "alice"}));
    let answer = logout(&fixture, &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("cache-control: no-store"));
    let outcomes = [filter.outcome(1).await, filter.outcome(3).await, filter.outcome(4).await, filter.outcome(2).await];
    assert_eq!(outcomes, [Outcome::Revoked, Outcome::Revoked, Outcome::Active, Outcome::Active]);
    // Once.
    let again = logout(&fixture, &token).await;
    assert_eq!((again.status, &again.json()["error"]), (400, &json!("invalid_request")), "{again:?}");
    assert!(again.head.contains("cache-control: no-store"));
}

#[tokio::test]
async fn a_logout_of_a_user_or_of_a_session_that_was_not_seen_holds_for_what_is_from_before() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    assert_eq!(logout(&fixture, &logout_token("1", &json!({"sid": "unseen"}))).await.status, 200);
    assert_eq!(filter.ask_new(of(3, "unseen", "carol", T0)).await.outcome(), Outcome::Revoked);
    assert_eq!(filter.ask_new(of(4, "other", "alice", T0)).await.outcome(), Outcome::Active);
    assert_eq!(logout(&fixture, &logout_token("2", &json!({"sub": "alice"}))).await.status, 200);
    let outcomes = [filter.outcome(1).await, filter.outcome(4).await, filter.outcome(2).await];
    assert_eq!(outcomes, [Outcome::Revoked, Outcome::Revoked, Outcome::Active]);
}

#[tokio::test]
async fn where_tokens_have_no_session_claim_a_logout_ends_what_cannot_be_told_apart() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = fixture.filter().await;
    let key_kind = portcullis_contract::wire::SessionKey::Login as i32;
    let login = |handle, subject: &str| Token {
        key_kind,
        session_key: format!("digest of {subject}"),
        authenticated_at_ms: Some(T0 - 1_000),
        ..of(handle, "", subject, T0)
    };
    for token in [login(1, "alice"), login(2, "bob")] {
        assert_eq!(filter.ask_new(token).await.outcome(), Outcome::Active);
    }
    assert_eq!(logout(&fixture, &logout_token("1", &json!({"sid": "x", "sub": "alice"}))).await.status, 200);
    assert_eq!((filter.outcome(1).await, filter.outcome(2).await), (Outcome::Revoked, Outcome::Active));
    // Also where none was seen yet. What a session claim names is told apart.
    assert_eq!(logout(&fixture, &logout_token("2", &json!({"sid": "x", "sub": "carol"}))).await.status, 200);
    assert_eq!(filter.ask_new(login(3, "carol")).await.outcome(), Outcome::Revoked);
    assert_eq!(filter.ask_new(of(4, "y", "carol", T0)).await.outcome(), Outcome::Active);
}

#[tokio::test]
async fn a_token_that_is_no_logout_token_is_refused_and_does_nothing() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = with_sessions(&fixture).await;
    let now = T0 / 1000;
    let claims = |more: Value| logout_token("1", &joined(&json!({"sid": "s"}), &more));
    let rows = [
        claims(json!({"nonce": "n"})),
        claims(json!({"sid": null})),
        claims(json!({"sid": 1})),
        claims(json!({"sid": ""})),
        claims(json!({"exp": null})),
        claims(json!({"exp": now - 61})),
        claims(json!({"iat": null})),
        claims(json!({"jti": null})),
        claims(json!({"events": null})),
        claims(json!({"events": {}})),
        claims(json!({"events": {LOGOUT: true}})),
        claims(json!({"events": {format!("{CAEP}session-revoked"): {}}})),
        claims(json!({"iss": "https://other"})),
        claims(json!({"aud": "a-client-that-nobody-has-seen"})),
        claims(json!({"aud": null})),
        claims(json!({"aud": vec!["web"; 65]})),
        logout_token_of_type(&json!({"typ": "JWT"}), "1", &json!({"sid": "s"})),
        logout_token_of_type(&json!({"typ": "secevent+jwt"}), "1", &json!({"sid": "s"})),
        logout_token_of_type(&json!({"kid": "t2"}), "1", &json!({"sid": "s"})),
    ];
    for token in rows {
        let answer = logout(&fixture, &token).await;
        assert_eq!(answer.status, 400, "{token}: {answer:?}");
        assert!(answer.json()["error_description"].is_string() && answer.head.contains("no-store"), "{answer:?}");
    }
    let to = fixture.signals.unwrap();
    let good = claims(json!({}));
    for body in ["", "token=x", &format!("logout_token={good}&logout_token={good}"), &good] {
        assert_eq!(post_form(to, "", "/signals/op", body).await.status, 400, "{body}");
    }
    assert_eq!(filter.outcome(1).await, Outcome::Active);
    assert_eq!(logout(&fixture, &good).await.status, 200, "it was not used up");
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
}

#[tokio::test]
async fn an_open_request_is_cut_by_a_logout() {
    let fixture = Fixture::with(&config("")).await;
    let mut filter = fixture.filter().await;
    filter.follow(of(1, "s", "alice", T0), 0).await;
    assert_eq!(logout(&fixture, &logout_token("1", &json!({"sid": "s"}))).await.status, 200);
    assert_eq!(filter.pushed().await.outcome(), Outcome::Revoked);
    let shown = fixture.call("GET", &format!("/v1/sessions/{}", session_id("s")), "").await.json();
    assert_eq!((&shown["state"], &shown["reason"]), (&json!("ended"), &json!("revoked")), "{shown}");
}
