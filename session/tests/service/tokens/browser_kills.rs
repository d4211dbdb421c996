//! The program is killed in the middle of a browser's renewal: nothing is lost that can be kept, and nothing is doubled.

use super::browsers::{cookie, digest, login, post};
use super::kills::{kill, now_ms, start, state};
use super::*;
use crate::client::Filter;
use crate::program::Program;
use portcullis_contract::wire::{Outcome, Redeemed};

async fn redeem(program: &Program, handle: &str) -> Redeemed {
    let mut filter = Filter::open(program.checks, FILTER).await.unwrap();
    filter.redeem(&[digest(handle)]).await.remove(0)
}

/// Asks until the issuer was asked for the next token.
async fn renewing(program: &Program, issuer: &Issuer, handle: &str) {
    let began = Instant::now();
    while issuer.asked().len() < 2 {
        assert!(began.elapsed() < PATIENCE, "it is not renewed");
        issuer.state.now_ms.store(now_ms(), Ordering::SeqCst);
        let mut filter = Filter::open(program.checks, FILTER).await.unwrap();
        let redemptions = vec![portcullis_contract::wire::Redemption { id: 1, handle: digest(handle).to_vec() }];
        filter.send(portcullis_contract::wire::FilterMessage { redemptions, ..Default::default() }).await;
        tokio::task::yield_now().await;
        // Its answer may have to wait for the issuer, and then does not come.
        drop(tokio::time::timeout(std::time::Duration::from_millis(200), filter.redeemed()).await);
    }
}

/// What a browser is answered after the restart in place of its first token.
async fn at_last(program: &Program, issuer: &Issuer, handle: &str, first: &str) -> Redeemed {
    let began = Instant::now();
    loop {
        issuer.state.now_ms.store(now_ms(), Ordering::SeqCst);
        let redeemed = redeem(program, handle).await;
        if redeemed.outcome() != Outcome::Unavailable && redeemed.token != first {
            return redeemed;
        }
        assert!(began.elapsed() < PATIENCE, "{redeemed:?}");
    }
}

#[tokio::test]
async fn before_the_issuer_has_heard_of_it_nothing_is_lost_and_after_that_a_login_at_worst() {
    for (rotation, has_rotated) in
        [(Rotation::On, false), (Rotation::On, true), (Rotation::WithGrace, true), (Rotation::Off, true)]
    {
        let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::start_at(rotation, now_ms()).await);
        issuer.state.life_s.store(6, Ordering::SeqCst);
        let program = start(folder.path(), &issuer).await;
        let (handle, _) = cookie(&post(program.checks, &[], "/oauth2/token", &login("s")).await);
        let first = redeem(&program, &handle).await.token;
        let gate = if has_rotated { &issuer.state.answers } else { &issuer.state.gate };
        gate.shut(true);
        renewing(&program, &issuer, &handle).await;
        let made = if has_rotated && rotation != Rotation::Off { 2 } else { 1 };
        while issuer.refresh_tokens().len() < made {
            tokio::task::yield_now().await;
        }
        kill(program).await;
        issuer.state.is_dead.store(!has_rotated, Ordering::SeqCst);
        gate.shut(false);
        let program = start(folder.path(), &issuer).await;
        issuer.state.is_dead.store(false, Ordering::SeqCst);
        issuer.state.life_s.store(600, Ordering::SeqCst);
        let redeemed = at_last(&program, &issuer, &handle, &first).await;
        let expected = match (rotation, has_rotated) {
            // The issuer has no grace: the person logs in again.
            (Rotation::On, true) => Outcome::Revoked,
            _ => Outcome::Active,
        };
        assert_eq!(redeemed.outcome(), expected, "{rotation:?} {has_rotated}");
        assert_eq!(state(&program).await, "active", "it was no theft");
        let said = kill(program).await;
        assert!(!said.contains("refresh_reused"), "{said}");
    }
}

#[tokio::test]
async fn what_was_renewed_is_there_after_a_kill_and_no_secret_is_stored_or_said() {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::start_at(Rotation::On, now_ms()).await);
    issuer.state.life_s.store(6, Ordering::SeqCst);
    let program = start(folder.path(), &issuer).await;
    let (handle, _) = cookie(&post(program.checks, &[], "/oauth2/token", &login("s")).await);
    let first = redeem(&program, &handle).await.token;
    issuer.state.life_s.store(600, Ordering::SeqCst);
    renewing(&program, &issuer, &handle).await;
    let began = Instant::now();
    let renewed = loop {
        let redeemed = redeem(&program, &handle).await;
        if redeemed.token != first {
            break redeemed.token;
        }
        assert!(began.elapsed() < PATIENCE, "it is not renewed");
    };
    let metrics = program.call("GET", "/metrics", "").await.text;
    let mut said = kill(program).await;
    let program = start(folder.path(), &issuer).await;
    let again = redeem(&program, &handle).await;
    assert_eq!((again.token, issuer.asked().len()), (renewed.clone(), 2));
    said.push_str(&kill(program).await);
    assert!(said.contains("family_opened") && said.contains(r#""handle":"cookie""#), "{said}");

    let stored = std::fs::read(folder.path().join("data/sessions.redb")).unwrap();
    let hidden = |secret: &[u8]| !stored.windows(secret.len()).any(|part| part == secret);
    let payload = |token: &str| token.split('.').nth(1).unwrap().to_owned();
    let texts = issuer.refresh_tokens().into_iter().chain([handle.clone(), payload(&first), payload(&renewed)]);
    for secret in texts {
        assert!(hidden(secret.as_bytes()), "the store has {secret}");
        assert!(!said.contains(&secret) && !metrics.contains(&secret), "it is said: {secret}");
    }
    // With the digest alone nothing can be done here, but a filter could be made to think that it was shown.
    assert!(hidden(&digest(&handle)) && hidden(&BASE64_URL_SAFE_NO_PAD.decode(&handle).unwrap()));
}
