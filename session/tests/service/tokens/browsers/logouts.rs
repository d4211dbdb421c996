//! Logouts: the session ends everywhere, the issuer is told, and the browser forgets its cookie.

use super::*;

async fn log_out(world: &World, cookies: &[&str]) -> Answer {
    request_with(world.fixture.checks, &lines(cookies), "POST", "/oauth2/logout", "").await
}

fn is_cleared(answer: &Answer) -> bool {
    let cleared = format!("{NAME}=; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=0");
    answer.status == 204 && answer.cookie.as_ref() == Some(&cleared)
}

#[tokio::test]
async fn a_logout_ends_the_session_for_its_person_and_a_copied_cookie_is_of_no_use() {
    let world = World::new(Rotation::On).await;
    let mut browser = Browser::log_in(&world, "s").await;
    // Another client of the same session.
    let (handle, _) = world.log_in("s").await;
    assert_eq!(browser.outcome().await, Outcome::Active);
    assert!(is_cleared(&log_out(&world, &[&browser.handle]).await));
    assert_eq!(browser.outcome().await, Outcome::Revoked);
    assert_eq!(world.session("s").await["state"], "ended");
    assert_eq!(error(&world.refresh(&handle).await), refused("invalid_grant"));
    world.revoked(2).await;
    let events = world.fixture.call("GET", &format!("/v1/sessions/{}/events", id("s")), "").await.json();
    let events = events["events"].as_array().unwrap().clone();
    for event in ["session_revoked", "ended"] {
        let found = events.iter().find(|found| found["event"] == event).unwrap_or_else(|| panic!("{events:?}"));
        assert_eq!(found["by"], "person", "{found}");
    }
    assert!(events.iter().any(|found| found["stated_reason"] == "logged out"), "{events:?}");

    // Once more, with a cookie that is over, with one that never was, and without one.
    let made_up = "x".repeat(43);
    let shown: [&[&str]; 3] = [&[&browser.handle], &[&made_up], &[]];
    for cookies in shown {
        assert!(is_cleared(&log_out(&world, cookies).await), "{cookies:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_logout_that_is_not_certain_is_not_answered_as_one() {
    let world = World::new(Rotation::On).await;
    let mut browser = Browser::log_in(&world, "s").await;
    for fails in [&world.fixture.faults.fails, &world.fixture.faults.fails_to_read] {
        fails.store(true, Ordering::SeqCst);
        let answer = log_out(&world, &[&browser.handle]).await;
        assert_eq!((error(&answer), answer.cookie.clone()), ((503, "temporarily_unavailable".to_owned()), None));
        fails.store(false, Ordering::SeqCst);
    }
    // A page of another origin makes nobody log out.
    let unvouched = post_form(world.fixture.checks, "", "/oauth2/logout", "").await;
    assert_eq!(error(&unvouched), refused("invalid_request"));
    let began = Instant::now();
    while !is_cleared(&log_out(&world, &[&browser.handle]).await) {
        assert!(began.elapsed() < PATIENCE, "the store is back");
    }
    assert_eq!(browser.outcome().await, Outcome::Revoked);
    world.stop().await;
}

#[tokio::test]
async fn a_logout_in_the_middle_of_a_renewal_leaves_nothing_behind() {
    let world = World::new(Rotation::On).await;
    let mut browser = Browser::log_in(&world, "s").await;
    world.at(400_000);
    world.issuer.state.answers.shut(true);
    assert_eq!(browser.outcome().await, Outcome::Active);
    while world.issuer.refresh_tokens().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(is_cleared(&log_out(&world, &[&browser.handle]).await), "it does not wait for the issuer");
    assert_eq!(browser.outcome().await, Outcome::Revoked);
    world.issuer.state.answers.shut(false);
    // The refresh token that nobody will use is revoked as well.
    world.revoked(2).await;
    assert_eq!(browser.outcome().await, Outcome::Revoked);
    world.stop().await;
}
