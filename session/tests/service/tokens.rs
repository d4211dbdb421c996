//! The token endpoint in front of an issuer: handles that change with each use, theft that is noticed, sessions that decide.

mod bound;
mod browser_kills;
mod browsers;
mod exchange;
mod hostile;
mod issuer;
mod issuers;
mod kills;
mod sessions;
mod stores;

use crate::client::{Answer, FILTER, post_form};
use crate::fixtures::{Fixture, MINUTE, PATIENCE, T0};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use issuer::{Issuer, Rotation};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The key that an environment variable has, the same each time.
pub(crate) fn sealing_key(variable: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode([variable.bytes().last().unwrap(); 32])
}

fn settings(issuer: &Issuer, more: &str) -> String {
    let url = &issuer.url;
    format!(
        "tokens: {{issuers: [{{issuer: 'https://id', token_endpoint: '{url}/token', revocation_endpoint: '{url}/revoke'}}], \
         encryption: {{keys: [{{env: SEALING_A, kid: a}}]}}{more}}}"
    )
}

/// The service and an issuer, by one clock.
struct World {
    fixture: Fixture,
    issuer: Issuer,
}

impl World {
    async fn new(rotation: Rotation) -> Self {
        Self::with(rotation, "", "").await
    }

    /// With more keys of `tokens`, and more lines.
    async fn with(rotation: Rotation, tokens: &str, more: &str) -> Self {
        let issuer = Issuer::start(rotation).await;
        let fixture = Fixture::with(&format!("{}\n{more}", settings(&issuer, tokens))).await;
        Self { fixture, issuer }
    }

    fn at(&self, after_ms: u64) {
        self.fixture.at(after_ms);
        self.issuer.state.now_ms.store(T0 + after_ms, Ordering::SeqCst);
    }

    async fn post(&self, form: &str) -> Answer {
        token(self.fixture.checks, "", form).await
    }

    /// Logs in; the handle and the access token.
    async fn log_in(&self, sid: &str) -> (String, String) {
        let answer = self.post(&format!("grant_type=authorization_code&code={sid}&client_id=spa")).await;
        pair(&answer)
    }

    async fn refresh(&self, handle: &str) -> Answer {
        self.post(&format!("grant_type=refresh_token&refresh_token={handle}&client_id=spa")).await
    }

    async fn session(&self, sid: &str) -> Value {
        self.fixture.call("GET", &format!("/v1/sessions/{}", id(sid)), "").await.json()
    }

    /// Waits until the issuer has revoked so many refresh tokens.
    async fn revoked(&self, count: usize) {
        let began = Instant::now();
        while self.issuer.revoked() < count {
            assert!(began.elapsed() < PATIENCE, "the issuer is not told");
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.fixture.stop().await;
    }
}

/// The session of the public client.
fn id(sid: &str) -> String {
    use portcullis_contract::{KeyKind, SessionId};
    SessionId::of(KeyKind::Claim, "https://id", sid, "spa").to_string()
}

async fn token(to: SocketAddr, authorization: &str, form: &str) -> Answer {
    post_form(to, authorization, "/oauth2/token", form).await
}

/// The handle and the access token of a good answer.
fn pair(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{name}: {body}")).to_owned();
    (text("refresh_token"), text("access_token"))
}

/// The code of an OAuth error, after checking that it is one.
fn error(answer: &Answer) -> (u16, String) {
    assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
    assert!(answer.head.contains("cache-control: no-store"), "{answer:?}");
    let body = answer.json();
    assert!(body["error_description"].is_string(), "{body}");
    (answer.status, body["error"].as_str().unwrap().to_owned())
}

fn refused(code: &str) -> (u16, String) {
    (400, code.to_owned())
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_login_opens_the_session_and_its_client_gets_a_handle() {
    let world = World::new(Rotation::On).await;
    let (handle, access) = world.log_in("s").await;
    assert!(handle.starts_with("pcr_") && handle.len() > 80, "{handle}");
    assert_eq!(claims(&access)["iss"], "https://id", "the issuer's own token is passed on");
    let session = world.session("s").await;
    assert_eq!((&session["state"], &session["subject"]), (&json!("active"), &json!("alice")));
    assert_eq!(session["scopes"], json!(["openid", "orders:read", "orders:write"]));
    assert_eq!(world.issuer.asked()[0]["code"], "s");
    world.stop().await;
}

#[tokio::test]
async fn a_handle_changes_with_every_use_and_a_refresh_is_no_activity() {
    for rotation in [Rotation::On, Rotation::WithGrace, Rotation::Off] {
        let world = World::new(rotation).await;
        let (mut handle, mut access) = world.log_in("s").await;
        let seen_at = world.session("s").await["last_seen_at"].clone();
        for number in 1..5_u64 {
            world.at(number * MINUTE);
            let next = pair(&world.refresh(&handle).await);
            assert!(next.0 != handle && next.1 != access, "{rotation:?}");
            (handle, access) = next;
        }
        assert_eq!(world.session("s").await["last_seen_at"], seen_at);
        let asked = world.issuer.asked();
        assert_eq!(asked.len(), 5);
        assert!(
            asked[1..]
                .iter()
                .all(|form| form["refresh_token"].starts_with("the-issuers-own") && !form.contains_key("scope"))
        );
        world.stop().await;
    }
}

#[tokio::test]
async fn the_handle_before_gets_the_same_answer_while_the_window_is_open_and_then_ends_everything() {
    let world = World::new(Rotation::On).await;
    let (first, _) = world.log_in("s").await;
    world.at(MINUTE);
    let answer = world.refresh(&first).await;
    world.at(MINUTE + 9_999);
    assert_eq!(world.refresh(&first).await.text, answer.text);
    assert_eq!(world.issuer.asked().len(), 2, "the issuer is not asked again");
    world.at(MINUTE + 10_000);
    assert_eq!(error(&world.refresh(&first).await), refused("invalid_grant"));
    assert_eq!(world.session("s").await["state"], "ended");
    world.revoked(1).await;
    let (second, _) = pair(&answer);
    assert_eq!(error(&world.refresh(&second).await), refused("invalid_grant"));
    let events = world.fixture.call("GET", &format!("/v1/sessions/{}/events", id("s")), "").await.text;
    assert!(events.contains("refresh_reused"), "{events}");
    let metrics = world.fixture.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_refresh_reuse_total 1"), "{metrics}");
    assert!(!metrics.contains(&first) && !events.contains(&first) && !events.contains(&second));
    world.stop().await;
}

#[tokio::test]
async fn two_generations_back_is_theft_at_any_time() {
    let world = World::new(Rotation::WithGrace).await;
    let (first, _) = world.log_in("s").await;
    let (second, _) = pair(&world.refresh(&first).await);
    let (third, _) = pair(&world.refresh(&second).await);
    assert_eq!(error(&world.refresh(&first).await), refused("invalid_grant"));
    assert_eq!(world.session("s").await["state"], "ended");
    assert_eq!(error(&world.refresh(&third).await), refused("invalid_grant"));
    world.revoked(1).await;
    world.stop().await;
}

#[tokio::test]
async fn parallel_uses_ask_the_issuer_once_and_get_one_answer() {
    let world = World::new(Rotation::On).await;
    let (first, _) = world.log_in("s").await;
    world.issuer.state.gate.shut(true);
    let form = format!("grant_type=refresh_token&refresh_token={first}&client_id=spa");
    let uses: Vec<_> = (0..8)
        .map(|_| {
            let (to, form) = (world.fixture.checks, form.clone());
            tokio::spawn(async move { token(to, "", &form).await })
        })
        .collect();
    while world.issuer.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    world.issuer.state.gate.shut(false);
    let mut answers = Vec::new();
    for used in uses {
        let answer = used.await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answers.push(answer.text);
    }
    answers.dedup();
    assert_eq!((answers.len(), world.issuer.asked().len()), (1, 2));
    world.stop().await;
}

#[tokio::test]
async fn a_right_handle_of_another_client_is_refused_and_its_family_stays() {
    let world = World::new(Rotation::On).await;
    let (handle, _) = world.log_in("s").await;
    let other = format!("grant_type=refresh_token&refresh_token={handle}&client_id=cli");
    assert_eq!(error(&world.post(&other).await), refused("invalid_grant"));
    assert_eq!(world.issuer.asked().len(), 1);
    let issuers = world.issuer.refresh_tokens().remove(0);
    assert_eq!(error(&world.refresh(&issuers).await), refused("invalid_grant"), "the issuer's own is no handle");
    pair(&world.refresh(&handle).await);
    world.stop().await;
}

#[tokio::test]
async fn the_clients_authentication_is_the_issuers_to_judge_also_where_the_issuer_is_not_asked() {
    let world = World::new(Rotation::On).await;
    let (to, basic) =
        (world.fixture.checks, |secret: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("web:{secret}"))));
    let code = "grant_type=authorization_code&code=s";
    assert_eq!(error(&token(to, &basic("wrong"), code).await), (401, "invalid_client".to_owned()));
    let (first, _) = pair(&token(to, &basic("secret"), code).await);
    let form = format!("grant_type=refresh_token&refresh_token={first}");
    assert_eq!(error(&token(to, &basic("wrong"), &form).await), (401, "invalid_client".to_owned()));
    let answer = token(to, &basic("secret"), &form).await;
    pair(&answer);
    assert_eq!(error(&token(to, &basic("wrong"), &form).await), (401, "invalid_client".to_owned()));
    assert_eq!(token(to, &basic("secret"), &form).await.text, answer.text);
    world.stop().await;
}

#[tokio::test]
async fn without_its_store_nothing_is_asked_and_nothing_is_lost() {
    let world = World::new(Rotation::On).await;
    let (handle, _) = world.log_in("s").await;
    world.fixture.faults.fails.store(true, Ordering::SeqCst);
    assert_eq!(error(&world.refresh(&handle).await), (503, "temporarily_unavailable".to_owned()));
    assert_eq!(world.issuer.asked().len(), 1, "the intent is not on disk");
    // The store fails while the issuer is at work.
    world.fixture.faults.fails.store(false, Ordering::SeqCst);
    world.issuer.state.gate.shut(true);
    let form = format!("grant_type=refresh_token&refresh_token={handle}&client_id=spa");
    let to = world.fixture.checks;
    let waiting = tokio::spawn(async move { token(to, "", &form).await });
    while world.issuer.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    world.fixture.faults.fails.store(true, Ordering::SeqCst);
    world.issuer.state.gate.shut(false);
    while world.issuer.refresh_tokens().len() < 2 {
        tokio::task::yield_now().await;
    }
    world.fixture.faults.fails.store(false, Ordering::SeqCst);
    pair(&waiting.await.unwrap());
    world.stop().await;
}

#[tokio::test]
async fn a_listener_of_its_own_has_the_endpoint_and_the_check_listener_has_not() {
    let issuer = Issuer::start(Rotation::On).await;
    let fixture = Fixture::with(&format!("{}\ntokens_listen: 127.0.0.1:0", settings(&issuer, ""))).await;
    let form = "grant_type=authorization_code&code=s&client_id=spa";
    pair(&token(fixture.tokens.unwrap(), "", form).await);
    let there = token(fixture.checks, &format!("Bearer {FILTER}"), form).await;
    assert!(!there.text.contains("access_token"), "{there:?}");
    assert_eq!(issuer.asked().len(), 1);
    fixture.stop().await;
}
