//! What is malformed or made up: errors of OAuth, no handle, and no memory.

use super::kills::{log_in, now_ms, start, state};
use super::*;

#[tokio::test]
async fn what_is_malformed_is_refused_as_the_standard_says() {
    let world = World::new(Rotation::On).await;
    let many: String = (0..70).map(|number| format!("p{number}=x&")).collect();
    for (authorization, form, expected) in [
        ("", "", refused("invalid_request")),
        ("", "grant_type=password&client_id=spa", refused("unsupported_grant_type")),
        ("", "grant_type=refresh_token&client_id=spa", refused("invalid_request")),
        ("", "grant_type=refresh_token&client_id=spa&refresh_token=", refused("invalid_request")),
        ("", "grant_type=refresh_token&refresh_token=x", refused("invalid_request")),
        ("", "grant_type=refresh_token&client_id=spa&client_id=spa", refused("invalid_request")),
        ("", "grant_type=refresh_token&client_id=spa&refresh_token=x", refused("invalid_grant")),
        ("", "grant_type=refresh_token&client_id=%ff", refused("invalid_request")),
        ("", many.as_str(), refused("invalid_request")),
        ("Basic ???", "grant_type=refresh_token&refresh_token=x", (401, "invalid_client".to_owned())),
        ("Bearer x", "grant_type=refresh_token&refresh_token=x", (401, "invalid_client".to_owned())),
        (
            "",
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&client_id=a",
            refused("unsupported_grant_type"),
        ),
    ] {
        assert_eq!(error(&token(world.fixture.checks, authorization, form).await), expected, "{form}");
    }
    let json = crate::client::http(world.fixture.checks, "", "POST", "/oauth2/token", "{}").await;
    assert_eq!(error(&json), refused("invalid_request"));
    let long = format!("grant_type=refresh_token&client_id=spa&refresh_token={}", "x".repeat(65 * 1024));
    assert_eq!(error(&world.post(&long).await), refused("invalid_request"));
    assert_eq!(world.issuer.asked().len(), 0);
    world.stop().await;
}

/// The resident memory of a process, in bytes.
fn resident(process: u32) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn ten_thousand_hostile_requests_get_errors_and_no_memory() {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::start_at(Rotation::On, now_ms()).await);
    let program = start(folder.path(), &issuer).await;
    let handle = log_in(&program).await;
    let form = |shown: &str| format!("grant_type=refresh_token&refresh_token={shown}&client_id=spa");
    let mut before = 0;
    for round in 0..10_000_usize {
        if round == 1_000 {
            before = resident(program.child.id().unwrap());
        }
        // Each letter of the handle, and what is not one at all.
        let mut shown = handle.clone().into_bytes();
        let at = 4 + round % (shown.len() - 4);
        shown[at] = if shown[at] == b'A' { b'B' } else { b'A' };
        let shown = match round % 3 {
            0 => String::from_utf8(shown).unwrap(),
            1 => format!("{handle}{round}"),
            _ => format!("{}&scope={}", &handle[..round % handle.len()], "x".repeat(round % 5_000)),
        };
        let answer = token(program.checks, "", &form(&shown)).await;
        let expected = if shown.starts_with('&') { "invalid_request" } else { "invalid_grant" };
        assert_eq!(error(&answer), refused(expected), "{round}: {shown}");
    }
    let grown = resident(program.child.id().unwrap()).saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes");
    assert_eq!(state(&program).await, "active", "none of them was taken for theft");
    pair(&token(program.checks, "", &form(&handle)).await);
}
