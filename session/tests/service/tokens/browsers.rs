//! Browsers, which hold a cookie: its handle is redeemed on a check stream, and its token renewed ahead of need.

mod logouts;
mod renewals;
mod sessions;

use super::*;
use crate::client::{Filter, request_with};
use portcullis_contract::wire::{FilterMessage, Outcome, Redeemed, Redemption};
use sha2::{Digest, Sha256};

pub(super) const NAME: &str = "__Host-portcullis";

/// The lines with which a filter passes a page's request on, whose browser has these cookies.
pub(super) fn lines(cookies: &[&str]) -> String {
    let cookies: Vec<_> = cookies.iter().map(|handle| format!("{NAME}={handle}")).collect();
    let cookies = if cookies.is_empty() { String::new() } else { format!("cookie: {}\r\n", cookies.join("; ")) };
    format!("x-portcullis-cookie: {NAME}\r\n{cookies}")
}

pub(super) async fn post(to: SocketAddr, cookies: &[&str], path: &str, form: &str) -> Answer {
    let lines = format!("content-type: application/x-www-form-urlencoded\r\n{}", lines(cookies));
    request_with(to, &lines, "POST", path, form).await
}

pub(super) fn login(sid: &str) -> String {
    format!("grant_type=authorization_code&code={sid}&client_id=spa&portcullis_cookie=1")
}

/// The handle in the cookie that an answer sets, and for how long it does.
pub(super) fn cookie(answer: &Answer) -> (String, u64) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let set = answer.cookie.as_deref().unwrap_or_else(|| panic!("no cookie: {answer:?}"));
    let (pair, attributes) = set.split_once("; ").unwrap();
    let handle = pair.strip_prefix(NAME).unwrap().strip_prefix('=').unwrap();
    let age = attributes.strip_prefix("Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=").unwrap();
    (handle.to_owned(), age.parse().unwrap())
}

pub(super) fn digest(handle: &str) -> [u8; 32] {
    Sha256::digest(handle).into()
}

/// A filter that shows browsers' handles.
pub(super) struct Browser {
    pub(super) filter: Filter,
    pub(super) handle: String,
}

impl Browser {
    /// Logs in.
    pub(super) async fn log_in(world: &World, sid: &str) -> Self {
        let (handle, _) = cookie(&post(world.fixture.checks, &[], "/oauth2/token", &login(sid)).await);
        Self { filter: world.fixture.filter().await, handle }
    }

    pub(super) async fn redeem(&mut self) -> Redeemed {
        self.filter.redeem(&[digest(&self.handle)]).await.remove(0)
    }

    /// The token, and when the filter asks again.
    pub(super) async fn token(&mut self) -> (String, u64) {
        let redeemed = self.redeem().await;
        assert_eq!(redeemed.outcome(), Outcome::Active);
        (redeemed.token, redeemed.renew_ms)
    }

    pub(super) async fn outcome(&mut self) -> Outcome {
        let redeemed = self.redeem().await;
        assert_eq!(redeemed.token.is_empty(), redeemed.outcome() != Outcome::Active, "{redeemed:?}");
        redeemed.outcome()
    }

    /// Shows its handle without waiting for an answer.
    pub(super) async fn show(&self, id: u32) {
        let redemptions = vec![Redemption { id, handle: digest(&self.handle).to_vec() }];
        self.filter.send(FilterMessage { redemptions, ..FilterMessage::default() }).await;
    }
}

/// Waits until the issuer was asked for tokens so often.
pub(super) async fn asked(world: &World, count: usize) {
    let began = Instant::now();
    while world.issuer.asked().len() < count {
        assert!(began.elapsed() < PATIENCE, "the issuer is not asked");
        tokio::task::yield_now().await;
    }
}

/// The value of a metric.
pub(super) async fn metric(world: &World, name: &str) -> u64 {
    let metrics = world.fixture.call("GET", "/metrics", "").await.text;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
    value.trim().parse().unwrap()
}

#[tokio::test]
async fn a_browser_gets_a_cookie_and_its_filter_the_token() {
    let world = World::new(Rotation::On).await;
    let answer = post(world.fixture.checks, &[], "/oauth2/token", &login("s")).await;
    let (handle, age_s) = cookie(&answer);
    assert_eq!(age_s, 90 * 24 * 60 * 60);
    assert_eq!(answer.json(), json!({"expires_in": age_s, "scope": "openid orders:read orders:write"}));
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    let asked = world.issuer.asked();
    assert!(asked.len() == 1 && !asked[0].contains_key("portcullis_cookie"), "{asked:?}");
    assert_eq!(world.session("s").await["state"], "active");

    let mut filter = world.fixture.filter().await;
    let redeemed = filter.redeem(&[digest(&handle), [7; 32], digest(&handle)]).await;
    let outcomes: Vec<_> = redeemed.iter().map(Redeemed::outcome).collect();
    assert_eq!(outcomes, [Outcome::Active, Outcome::UnknownSession, Outcome::Active]);
    assert_eq!((&redeemed[0].token, redeemed[0].renew_ms), (&redeemed[2].token, 400_000));
    assert_eq!(claims(&redeemed[0].token)["iss"], "https://id");
    assert_eq!(world.issuer.asked().len(), 1);
    for (outcome, count) in [("given", 2), ("unknown", 1), ("refused", 0), ("unavailable", 0)] {
        let name = format!("portcullis_browser_tokens_total{{outcome=\"{outcome}\"}}");
        assert_eq!(metric(&world, &name).await, count, "{outcome}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_login_that_a_browser_cannot_make_is_refused_before_the_issuer_hears_of_it() {
    let world = World::new(Rotation::On).await;
    let to = world.fixture.checks;
    for form in [
        format!("{}&client_secret=s", login("s")),
        format!("{}&client_assertion=s", login("s")),
        login("s").replace("cookie=1", "cookie=yes"),
        "grant_type=refresh_token&refresh_token=x&client_id=spa&portcullis_cookie=1".to_owned(),
        "grant_type=client_credentials&client_id=spa&portcullis_cookie=1".to_owned(),
    ] {
        let answer = post(to, &[], "/oauth2/token", &form).await;
        assert_eq!((error(&answer), answer.cookie.clone()), (refused("invalid_request"), None), "{form}");
    }
    // A page of another origin can send the form, but no such header.
    let unvouched = post_form(to, "", "/oauth2/token", &login("s")).await;
    assert_eq!((error(&unvouched), unvouched.cookie.clone()), (refused("invalid_request"), None));
    assert_eq!(world.issuer.asked().len(), 0);
    // The issuer's own refusals are passed on.
    *world.issuer.state.error.lock().unwrap() = Some("invalid_grant");
    let refusal = post(to, &[], "/oauth2/token", &login("s")).await;
    assert_eq!((refusal.json()["error_description"].clone(), refusal.cookie), (json!("says the issuer"), None));
    world.stop().await;
}

#[tokio::test]
async fn handles_of_browsers_and_of_clients_are_not_taken_for_each_other() {
    let world = World::new(Rotation::On).await;
    let mut browser = Browser::log_in(&world, "s").await;
    assert_eq!(error(&world.refresh(&browser.handle).await), refused("invalid_grant"));
    let (handle, access) = world.log_in("t").await;
    for other in [handle.as_str(), access.as_str(), "", "pcr_"] {
        let redeemed = browser.filter.redeem(&[digest(other)]).await;
        assert_eq!(redeemed[0].outcome(), Outcome::UnknownSession, "{other}");
    }
    assert_eq!(browser.outcome().await, Outcome::Active);
    pair(&world.refresh(&handle).await);
    world.stop().await;
}

#[tokio::test]
async fn a_cookie_is_good_after_a_restart_and_without_a_refresh_token_until_its_token_expires() {
    let world = World::new(Rotation::On).await;
    world.issuer.state.is_short.store(true, Ordering::SeqCst);
    let answer = post(world.fixture.checks, &[], "/oauth2/token", &login("s")).await;
    let (handle, age_s) = cookie(&answer);
    assert_eq!((age_s, answer.json()["expires_in"].clone()), (600, json!(600)));
    let World { fixture, issuer } = world;
    let fixture = Fixture::in_folder(fixture.stop().await, &settings(&issuer, "")).await;
    let world = World { fixture, issuer };
    let mut browser = Browser { filter: world.fixture.filter().await, handle };
    assert_eq!(browser.token().await.1, 600_000);
    world.at(599_999);
    assert_eq!(browser.outcome().await, Outcome::Active);
    world.at(600_000);
    assert_eq!(browser.outcome().await, Outcome::UnknownSession);
    assert_eq!(world.issuer.asked().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn our_own_token_is_given_where_it_is_configured_and_the_issuer_is_not_asked_for_it() {
    let issue = ", issue: {ttl: 60s, audience: orders}";
    let signing = "signing: {issuer: 'https://portcullis.example', keys: [{env: SIGNING_A, kid: a}]}";
    let world = World::with(Rotation::On, issue, signing).await;
    let mut browser = Browser::log_in(&world, "s").await;
    let path = format!("/v1/sessions/{}", id("s"));
    assert_eq!(world.fixture.call("PATCH", &path, r#"{"remove":["orders:write"]}"#).await.status, 200);
    let (token, renew_ms) = browser.token().await;
    let said = claims(&token);
    assert_eq!((&said["iss"], &said["orig_iss"]), (&json!("https://portcullis.example"), &json!("https://id")));
    assert_eq!((&said["scope"], &said["exp"]), (&json!("openid orders:read"), &json!(T0 / 1_000 + 60)));
    assert_eq!(renew_ms, 40_000);
    world.at(50_000);
    assert_ne!(browser.token().await.0, token);
    assert_eq!(world.issuer.asked().len(), 1);
    // It does not outlive the issuer's, which is renewed meanwhile.
    world.issuer.state.gate.shut(true);
    world.at(590_000);
    let (token, _) = browser.token().await;
    assert_eq!(claims(&token)["exp"], json!(T0 / 1_000 + 600));
    world.issuer.state.gate.shut(false);
    asked(&world, 2).await;
    world.stop().await;
}

#[tokio::test]
async fn ten_thousand_handles_that_are_made_up_cost_a_look_each_and_leave_nothing() {
    let world = World::new(Rotation::On).await;
    let mut browser = Browser::log_in(&world, "s").await;
    let began = Instant::now();
    for round in 0..10_u32 {
        let made_up: Vec<[u8; 32]> = (0..1_000).map(|number| digest(&format!("{round} {number}"))).collect();
        let redeemed = browser.filter.redeem(&made_up).await;
        assert!(redeemed.iter().all(|redeemed| redeemed.outcome() == Outcome::UnknownSession));
    }
    println!("10,000 handles that are made up: {:?}", began.elapsed());
    assert_eq!(browser.outcome().await, Outcome::Active);
    let malformed =
        FilterMessage { redemptions: vec![Redemption { id: 1, handle: vec![7; 31] }], ..FilterMessage::default() };
    browser.filter.send(malformed).await;
    assert_eq!(browser.filter.answer().await.unwrap_err().code(), tonic::Code::InvalidArgument);
    world.stop().await;
}
