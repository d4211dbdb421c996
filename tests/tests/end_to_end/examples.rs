//! Every example's cases against a real Envoy: it must do what `portcullis policy test` reports.

use portcullis_tests::{cases, policy, quiet};

async fn holds(name: &str) {
    let _quiet = quiet().await;
    let example = cases::Example::read(name);
    let report = cases::play(&example).await;
    for skipped in &report.skipped {
        eprintln!("» SKIPPED beside Envoy: {skipped}");
    }
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    assert!(report.skipped.len() * 4 <= example.cases.list.len(), "a quarter of the cases at most may be skipped");
}

/// The examples that have a test below.
const PLAYED: [&str; 11] = [
    "admin-short-sessions",
    "browser",
    "conditions",
    "grpc",
    "just-in-time",
    "machine-clients",
    "oauth-server",
    "providers",
    "rest-scopes",
    "short-tokens",
    "websockets",
];

#[test]
fn every_example_is_played() {
    assert_eq!(policy::examples(), PLAYED, "a new example wants a test here");
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_scopes() {
    holds("rest-scopes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn short_tokens() {
    holds("short-tokens").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_short_sessions() {
    holds("admin-short-sessions").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_clients() {
    holds("machine-clients").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers() {
    holds("providers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn just_in_time() {
    holds("just-in-time").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc() {
    holds("grpc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browser() {
    holds("browser").await;
}

/// The test states what an edge, a device management and a risk engine would.
#[tokio::test(flavor = "multi_thread")]
async fn conditions() {
    holds("conditions").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets() {
    holds("websockets").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth_server() {
    holds("oauth-server").await;
}
