//! The session decides about a browser's token, and what is asked is no activity.

use super::*;

#[tokio::test]
async fn a_browser_whose_session_is_over_idle_or_blocked_gets_no_token() {
    let world = World::with(Rotation::On, "", "access: [{name: person, absolute: 8h, idle: 30m}]").await;
    let mut revoked = Browser::log_in(&world, "r").await;
    assert_eq!(revoked.outcome().await, Outcome::Active);
    world.fixture.call("POST", &format!("/v1/sessions/{}/revoke", id("r")), "{}").await;
    for _ in 0..3 {
        assert_eq!(revoked.outcome().await, Outcome::Revoked);
    }
    world.revoked(1).await;
    assert_eq!(revoked.outcome().await, Outcome::Revoked, "its issuer knows by now");

    let mut browser = Browser::log_in(&world, "b").await;
    let block = world.fixture.call("POST", "/v1/blocks", r#"{"issuer":"https://id","sid":"b"}"#).await;
    assert_eq!(browser.outcome().await, Outcome::Blocked);
    world.fixture.call("DELETE", &format!("/v1/blocks/{}", block.json()["id"].as_str().unwrap()), "").await;
    let seen_at = world.session("b").await["last_seen_at"].clone();
    for minute in 1..30 {
        world.at(minute * MINUTE);
        assert_eq!(browser.outcome().await, Outcome::Active);
    }
    assert_eq!(world.session("b").await["last_seen_at"], seen_at);
    world.at(30 * MINUTE);
    assert_eq!(browser.outcome().await, Outcome::IdleTimeout);
    world.revoked(2).await;
    world.stop().await;
}

#[tokio::test]
async fn a_token_is_renewed_with_what_the_session_still_has() {
    let world = World::new(Rotation::On).await;
    let mut browser = Browser::log_in(&world, "s").await;
    let path = format!("/v1/sessions/{}", id("s"));
    assert_eq!(world.fixture.call("PATCH", &path, r#"{"remove":["orders:write"]}"#).await.status, 200);
    world.at(600_000);
    let (token, _) = browser.token().await;
    assert_eq!(claims(&token)["scope"], "openid orders:read");
    let nothing = r#"{"remove":["openid","orders:read"]}"#;
    assert_eq!(world.fixture.call("PATCH", &path, nothing).await.status, 200);
    world.at(1_200_000);
    assert_eq!((browser.outcome().await, world.issuer.asked().len()), (Outcome::ScopeEscalation, 2));
    let all = r#"{"restore":["openid","orders:read","orders:write"]}"#;
    assert_eq!(world.fixture.call("PATCH", &path, all).await.status, 200);
    let (token, _) = browser.token().await;
    assert_eq!(claims(&token)["scope"], "openid orders:read orders:write");
    world.stop().await;
}

#[tokio::test]
async fn a_second_login_in_a_browser_takes_the_place_of_the_first_and_its_session_goes_on() {
    let world = World::new(Rotation::On).await;
    let to = world.fixture.checks;
    let mut first = Browser::log_in(&world, "s").await;
    let mut elsewhere = Browser::log_in(&world, "s").await;
    let (handle, _) = cookie(&post(to, &[&first.handle], "/oauth2/token", &login("s")).await);
    let mut second = Browser { filter: world.fixture.filter().await, handle };
    assert_eq!(first.outcome().await, Outcome::UnknownSession);
    assert_eq!((second.outcome().await, elsewhere.outcome().await), (Outcome::Active, Outcome::Active));
    assert_eq!(world.session("s").await["state"], "active");
    assert_eq!(world.issuer.revoked(), 0, "an issuer could revoke what it has granted to the new one");

    // Somebody else, at the same browser.
    let (handle, _) = cookie(&post(to, &[&second.handle], "/oauth2/token", &login("t")).await);
    let mut third = Browser { filter: world.fixture.filter().await, handle };
    assert_eq!((second.outcome().await, third.outcome().await), (Outcome::UnknownSession, Outcome::Active));
    assert_eq!(world.session("s").await["state"], "active", "it has a browser elsewhere");
    world.revoked(1).await;
    world.stop().await;
}

#[tokio::test]
async fn a_family_ends_when_its_browser_is_not_used_and_in_any_case() {
    let world = World::with(Rotation::On, ", idle: 10m, absolute: 25m", "access: [{name: person, absolute: 8h}]").await;
    world.issuer.state.life_s.store(3_600, Ordering::SeqCst);
    let (mut used, mut unused) = (Browser::log_in(&world, "u").await, Browser::log_in(&world, "i").await);
    let mut renewals = 0;
    for minute in 1..25 {
        world.at(minute * MINUTE);
        assert_eq!(used.outcome().await, Outcome::Active, "{minute}");
        if minute % 7 == 0 {
            // Its token would live for longer, but whoever is used is renewed.
            renewals += 1;
            asked(&world, 2 + renewals).await;
            while metric(&world, "portcullis_browser_renewals_total{outcome=\"renewed\"}").await < renewals as u64 {}
        }
        if minute == 10 {
            assert_eq!(unused.outcome().await, Outcome::UnknownSession);
        }
    }
    world.at(25 * MINUTE);
    assert_eq!(used.outcome().await, Outcome::UnknownSession);
    assert_eq!(world.session("u").await["state"], "active", "the session has limits of its own");
    world.revoked(2).await;
    world.stop().await;
}
