//! The program is killed in the middle of a refresh: nothing is lost, nothing is doubled, and nothing is taken for theft.

use super::*;
use crate::program::{Program, command};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

pub(super) async fn start(folder: &Path, issuer: &Issuer) -> Program {
    let mut command = command(folder, &settings(issuer, ""));
    command.env("SEALING_A", sealing_key("SEALING_A"));
    Program::run(command).await
}

pub(super) async fn kill(mut program: Program) -> String {
    program.child.kill().await.unwrap();
    program.rest().await
}

fn refresh(to: SocketAddr, handle: &str) -> tokio::task::JoinHandle<Option<Answer>> {
    let form = format!("grant_type=refresh_token&refresh_token={handle}&client_id=spa");
    tokio::spawn(async move { tokio::spawn(async move { token(to, "", &form).await }).await.ok() })
}

pub(super) async fn log_in(program: &Program) -> String {
    pair(&token(program.checks, "", "grant_type=authorization_code&code=s&client_id=spa").await).0
}

async fn asked(issuer: &Issuer, count: usize) {
    let began = Instant::now();
    while issuer.asked().len() < count {
        assert!(began.elapsed() < PATIENCE, "the issuer is not asked");
        tokio::task::yield_now().await;
    }
}

pub(super) async fn state(program: &Program) -> Value {
    program.call("GET", &format!("/v1/sessions/{}", id("s")), "").await.json()["state"].clone()
}

#[tokio::test]
async fn before_the_issuer_has_heard_of_it_nothing_is_lost() {
    for rotation in [Rotation::On, Rotation::WithGrace, Rotation::Off] {
        let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::start_at(rotation, now_ms()).await);
        let program = start(folder.path(), &issuer).await;
        let handle = log_in(&program).await;
        // The request has arrived, and is not looked at until it is too late.
        issuer.state.gate.shut(true);
        let waiting = refresh(program.checks, &handle);
        asked(&issuer, 2).await;
        kill(program).await;
        assert!(waiting.await.unwrap().is_none());
        issuer.state.is_dead.store(true, Ordering::SeqCst);
        issuer.state.gate.shut(false);
        let program = start(folder.path(), &issuer).await;
        issuer.state.is_dead.store(false, Ordering::SeqCst);
        pair(&refresh(program.checks, &handle).await.unwrap().unwrap());
        assert_eq!(state(&program).await, "active");
        kill(program).await;
    }
}

#[tokio::test]
async fn after_the_issuer_has_rotated_a_login_is_lost_at_worst_and_nobody_is_a_thief() {
    for rotation in [Rotation::On, Rotation::WithGrace, Rotation::Off] {
        let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::start_at(rotation, now_ms()).await);
        let program = start(folder.path(), &issuer).await;
        let handle = log_in(&program).await;
        // It has done its work, and its answer is on its way.
        issuer.state.answers.shut(true);
        let waiting = refresh(program.checks, &handle);
        let made = if rotation == Rotation::Off { 1 } else { 2 };
        asked(&issuer, 2).await;
        while issuer.refresh_tokens().len() < made {
            tokio::task::yield_now().await;
        }
        kill(program).await;
        assert!(waiting.await.unwrap().is_none());
        issuer.state.answers.shut(false);
        let program = start(folder.path(), &issuer).await;
        let answer = refresh(program.checks, &handle).await.unwrap().unwrap();
        match rotation {
            Rotation::On => assert_eq!(error(&answer), refused("invalid_grant"), "the issuer has no grace"),
            Rotation::WithGrace | Rotation::Off => drop(pair(&answer)),
        }
        assert_eq!(state(&program).await, "active", "{rotation:?}");
        let said = kill(program).await;
        assert!(!said.contains("refresh_reused"), "{said}");
    }
}

#[tokio::test]
async fn an_answer_that_was_written_and_did_not_arrive_is_given_after_the_restart() {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::start_at(Rotation::On, now_ms()).await);
    let program = start(folder.path(), &issuer).await;
    let handle = log_in(&program).await;
    let answer = refresh(program.checks, &handle).await.unwrap().unwrap();
    // It is as if this had not arrived.
    let mut said = kill(program).await;
    let program = start(folder.path(), &issuer).await;
    let again = refresh(program.checks, &handle).await.unwrap().unwrap();
    assert_eq!((again.text, issuer.asked().len()), (answer.text.clone(), 2));
    let (next, _) = pair(&refresh(program.checks, &pair(&answer).0).await.unwrap().unwrap());
    assert_eq!(state(&program).await, "active");
    let metrics = program.call("GET", "/metrics", "").await.text;

    // Theft, and what is written about it.
    assert_eq!(error(&refresh(program.checks, &handle).await.unwrap().unwrap()), refused("invalid_grant"));
    assert_eq!(state(&program).await, "ended");
    said.push_str(&kill(program).await);
    for event in ["family_opened", "refresh_reused", "session_revoked", "family_ended"] {
        assert!(said.contains(event), "{event}: {said}");
    }
    let stored = std::fs::read(folder.path().join("data/sessions.redb")).unwrap();
    let access = pair(&answer).1;
    let (_, signature) = access.rsplit_once('.').unwrap();
    assert_eq!(signature, "AA", "it has no signature to look for, but claims");
    let payload = access.split('.').nth(1).unwrap();
    let secrets = issuer.refresh_tokens().into_iter().chain([handle, next, pair(&answer).0, payload.to_owned()]);
    for secret in secrets {
        // A handle in base64url, and what it stands for.
        let bytes = secret.strip_prefix("pcr_").map(|text| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap());
        let hidden = |text: &[u8]| !stored.windows(text.len()).any(|part| part == text);
        assert!(hidden(secret.as_bytes()), "the store has {secret}");
        assert!(bytes.is_none_or(|bytes| hidden(&bytes) && hidden(&bytes[24..56])), "the store has {secret}");
        assert!(!said.contains(&secret) && !metrics.contains(&secret), "it is said: {secret}");
    }
}
