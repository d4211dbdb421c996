//! Tokens are renewed ahead of need, once, and nobody notices.

use super::*;
use crate::client::{PLAIN, token as person};

#[tokio::test]
async fn the_current_token_is_given_at_once_while_the_next_one_is_asked_for_once() {
    for rotation in [Rotation::On, Rotation::WithGrace, Rotation::Off] {
        let world = World::new(rotation).await;
        let mut browser = Browser::log_in(&world, "s").await;
        let mut other = Browser { filter: world.fixture.filter().await, handle: browser.handle.clone() };
        let (first, _) = browser.token().await;
        world.at(399_999);
        assert_eq!((browser.token().await, world.issuer.asked().len()), ((first.clone(), 50), 1));
        world.at(400_000);
        world.issuer.state.gate.shut(true);
        for _ in 0..4 {
            for browser in [&mut browser, &mut other] {
                assert_eq!(browser.token().await, (first.clone(), 1_000), "{rotation:?}");
            }
        }
        world.issuer.state.gate.shut(false);
        let began = Instant::now();
        let (next, renew_ms) = loop {
            let (token, renew_ms) = browser.token().await;
            if token != first {
                break (token, renew_ms);
            }
            assert!(began.elapsed() < PATIENCE, "it is not renewed");
        };
        assert_eq!((other.token().await.0, renew_ms), (next, 400_000));
        let asked = world.issuer.asked();
        assert_eq!((asked.len(), asked[1]["grant_type"].as_str()), (2, "refresh_token"), "{rotation:?}");
        assert!(asked[1]["client_id"] == "spa" && !asked[1].contains_key("scope"), "{asked:?}");
        assert_eq!(metric(&world, "portcullis_browser_renewals_total{outcome=\"renewed\"}").await, 1);
        world.stop().await;
    }
}

#[tokio::test]
async fn a_token_that_has_expired_is_waited_for_and_no_verdict_waits_with_it() {
    let world = World::new(Rotation::On).await;
    let mut browser = Browser::log_in(&world, "s").await;
    let (first, _) = browser.token().await;
    world.at(600_000);
    world.issuer.state.gate.shut(true);
    browser.show(0).await;
    browser.show(1).await;
    asked(&world, 2).await;
    // Others go on meanwhile.
    let verdict = browser.filter.ask_with(vec![person(1, "other", T0 + 600_000)], 1, PLAIN).await;
    assert_eq!(verdict.outcome(), Outcome::Active);
    let unknown = browser.filter.redeem(&[[7; 32]]).await;
    assert_eq!(unknown[0].outcome(), Outcome::UnknownSession);
    world.issuer.state.gate.shut(false);
    let mut redeemed = browser.filter.redeemed().await;
    while redeemed.len() < 2 {
        redeemed.extend(browser.filter.redeemed().await);
    }
    let tokens: Vec<_> = redeemed.iter().map(|redeemed| (redeemed.outcome(), redeemed.token != first)).collect();
    assert_eq!(tokens, [(Outcome::Active, true), (Outcome::Active, true)]);
    assert_eq!((redeemed[0].token == redeemed[1].token, world.issuer.asked().len()), (true, 2));
    world.stop().await;
}

#[tokio::test]
async fn a_dead_issuer_costs_nothing_while_a_token_is_good_and_is_not_hammered() {
    let world = World::new(Rotation::On).await;
    let mut browser = Browser::log_in(&world, "s").await;
    let (first, _) = browser.token().await;
    world.issuer.state.is_dead.store(true, Ordering::SeqCst);
    // Nine minutes in which filters ask all the time.
    for second in (400..600).chain(600..700) {
        world.at(second * 1_000);
        for _ in 0..3 {
            let redeemed = browser.redeem().await;
            match second < 600 {
                true => assert_eq!((redeemed.outcome(), &redeemed.token), (Outcome::Active, &first), "{second}"),
                false => assert_eq!(redeemed.outcome(), Outcome::Unavailable, "{second}"),
            }
        }
    }
    let calls = world.issuer.asked().len() - 1;
    assert!((5..40).contains(&calls), "{calls} calls in five minutes");
    assert!(metric(&world, "portcullis_browser_renewals_total{outcome=\"unavailable\"}").await >= 5);
    assert_eq!(world.session("s").await["state"], "active");
    world.issuer.state.is_dead.store(false, Ordering::SeqCst);
    world.at(731_000);
    let (token, _) = browser.token().await;
    assert_ne!(token, first);
    world.stop().await;
}

#[tokio::test]
async fn a_login_that_the_issuer_has_ended_is_over_here_and_the_person_logs_in_again() {
    let world = World::new(Rotation::On).await;
    let mut browser = Browser::log_in(&world, "s").await;
    let (first, _) = browser.token().await;
    *world.issuer.state.error.lock().unwrap() = Some("invalid_grant");
    world.at(400_000);
    assert_eq!(browser.token().await.0, first);
    let began = Instant::now();
    while browser.outcome().await == Outcome::Active {
        assert!(began.elapsed() < PATIENCE, "it goes on");
    }
    // And not only to whom it was answered first.
    for _ in 0..3 {
        assert_eq!(browser.outcome().await, Outcome::Revoked);
    }
    assert_eq!(world.issuer.asked().len(), 2);
    assert_eq!(metric(&world, "portcullis_browser_renewals_total{outcome=\"ended\"}").await, 1);
    *world.issuer.state.error.lock().unwrap() = None;
    let (handle, _) = cookie(&post(world.fixture.checks, &[&browser.handle], "/oauth2/token", &login("s")).await);
    browser.handle = handle;
    assert_eq!(browser.outcome().await, Outcome::Active);
    world.stop().await;
}

#[tokio::test]
async fn what_an_issuer_refuses_or_answers_wrongly_is_tried_again_at_intervals() {
    for (refusal, claims) in [(Some("invalid_client"), json!({})), (None, json!({"sid": "another"}))] {
        let world = World::new(Rotation::On).await;
        let mut browser = Browser::log_in(&world, "s").await;
        *world.issuer.state.error.lock().unwrap() = refusal;
        *world.issuer.state.claims.lock().unwrap() = claims;
        for second in 400..460 {
            world.at(second * 1_000);
            assert_eq!(browser.outcome().await, Outcome::Active);
        }
        let began = Instant::now();
        while metric(&world, "portcullis_browser_renewals_total{outcome=\"refused\"}").await < 3 {
            assert!(began.elapsed() < PATIENCE, "it is not tried again");
            world.at(490_000);
            assert_eq!(browser.outcome().await, Outcome::Active);
        }
        assert!(world.issuer.asked().len() <= 9, "{}", world.issuer.asked().len());
        // What the issuer has rotated was taken over all the same.
        *world.issuer.state.error.lock().unwrap() = None;
        *world.issuer.state.claims.lock().unwrap() = json!({});
        world.at(600_000);
        assert_eq!(browser.outcome().await, Outcome::Active);
        world.stop().await;
    }
}

#[tokio::test]
async fn without_its_store_nothing_is_lost() {
    let world = World::new(Rotation::On).await;
    let mut browser = Browser::log_in(&world, "s").await;
    world.at(600_000);
    world.fixture.faults.fails.store(true, Ordering::SeqCst);
    assert_eq!(browser.outcome().await, Outcome::Unavailable);
    assert_eq!(world.issuer.asked().len(), 1, "the intent is not on disk");
    world.fixture.faults.fails.store(false, Ordering::SeqCst);
    // It fails while the issuer is at work.
    world.issuer.state.gate.shut(true);
    browser.show(0).await;
    asked(&world, 2).await;
    world.fixture.faults.fails.store(true, Ordering::SeqCst);
    world.issuer.state.gate.shut(false);
    while world.issuer.refresh_tokens().len() < 2 {
        tokio::task::yield_now().await;
    }
    world.fixture.faults.fails.store(false, Ordering::SeqCst);
    assert_eq!(browser.filter.redeemed().await[0].outcome(), Outcome::Active);
    world.fixture.faults.fails_to_read.store(true, Ordering::SeqCst);
    assert_eq!(browser.outcome().await, Outcome::Unavailable);
    world.fixture.faults.fails_to_read.store(false, Ordering::SeqCst);
    assert_eq!((browser.outcome().await, world.issuer.asked().len()), (Outcome::Active, 2));
    world.stop().await;
}
