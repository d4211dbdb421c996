//! `why`, from the lines that a real Envoy writes, with what the real session service knows.

use super::{portcullis, run};
use portcullis_tests::{Testbed, until};
use serde_json::{Value, json};
use std::process::Command;

/// The program, with the admin API of this session service.
fn asked(testbed: &Testbed, line: &[&str]) -> Command {
    let mut command = portcullis();
    command.env("PORTCULLIS_ADMIN_URL", format!("http://{}/", testbed.service.admin_address()));
    command.env("PORTCULLIS_ADMIN_CREDENTIAL", &testbed.admin_credential).args(line);
    command
}

/// The latest line of the access log with that code.
async fn line(testbed: &Testbed, code: &str) -> Value {
    let field = format!("code={code} ");
    until("the access log has the line", async || {
        let lines = testbed.envoy.access_log();
        lines.into_iter().rev().find(|line| line["portcullis"].as_str().is_some_and(|text| text.starts_with(&field)))
    })
    .await
}

fn explained(testbed: &Testbed, line: &Value) -> Value {
    let text = run(asked(testbed, &["why", &line.to_string(), "--output", "json"]).stdin(std::process::Stdio::null()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_scope_is_explained_and_the_command_that_it_prints_gives_it_back() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let anna = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&anna).await.passes();
    let issuer = testbed.issuer.name.clone();
    let party = ["--issuer", &issuer, "--subject", "anna", "--scope", "orders:read", "--reason", "ticket 4711"];
    run(&mut asked(&testbed, &[&["sessions", "narrow"], &party[..]].concat()));
    testbed.get("/orders").bearer(&anna).await.refused(403, "insufficient_scope");
    let line = line(&testbed, "insufficient_scope").await;

    let text = run(&mut asked(&testbed, &["why", &line.to_string()]));
    for expected in [
        "refused: insufficient_scope (403): A required scope is missing\n",
        "`orders:read`: taken by an administrator from the subject with every client, 20",
        ": ticket 4711\n",
        "  taken: orders:read (ticket 4711)\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let command = text.lines().find_map(|line| line.strip_prefix("    portcullis ")).expect("a command");
    let words: Vec<&str> = command.split(' ').collect();
    run(&mut asked(&testbed, &words));
    testbed.get("/orders").bearer(&anna).await.passes();

    let restored = explained(&testbed, &line);
    assert_eq!(restored["missing"][0]["cause"], "restored", "{restored}");
    // The request is found by its id as well.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = dir.path().join("access.log");
    std::fs::write(&log, format!("{line}\n")).expect("a temporary file can be written");
    let id = line["request_id"].as_str().expect("a request id");
    let found = run(asked(&testbed, &["why", id, "--output", "json", "--log"]).arg(&log));
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!((&found["code"], &found["session_id"]), (&json!("insufficient_scope"), &json!(anna.session)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_escalation_and_a_revocation_are_explained_from_their_lines_and_from_the_session() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().session("why").scopes("orders:read");
    let plain = token.clone().sign();
    testbed.get("/orders").bearer(&plain).await.passes();
    testbed.get("/orders").bearer(token.scopes("orders:read admin").sign()).await.refused(403, "scope_escalation");
    let escalation = explained(&testbed, &line(&testbed, "scope_escalation").await);
    assert_eq!(escalation["beyond_grant"], json!(["admin"]), "{escalation}");

    let revoke = ["sessions", "revoke", &plain.session, "--reason", "lost laptop"];
    run(&mut asked(&testbed, &revoke));
    testbed.get("/orders").bearer(&plain).await.refused(401, "session_revoked");
    for text in [
        run(&mut asked(&testbed, &["why", &line(&testbed, "session_revoked").await.to_string()])),
        run(&mut asked(&testbed, &["why", &plain.session[..8]])),
    ] {
        assert!(text.contains("revoked") && text.contains(": lost laptop\n"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_session_is_explained_and_the_command_that_it_prints_lifts_the_block() {
    let testbed = Testbed::start().await;
    testbed.ready().await;
    let anna = testbed.issuer.token().subject("anna").sign();
    testbed.get("/orders").bearer(&anna).await.passes();
    let issuer = testbed.issuer.name.clone();
    run(&mut asked(&testbed, &["block", "--issuer", &issuer, "--subject", "anna", "--reason", "ticket 4711"]));
    testbed.get("/orders").bearer(&anna).await.refused(403, "blocked");
    let listed = run(&mut asked(&testbed, &["sessions", "list", "--subject", "anna"]));
    assert!(listed.contains("  blocked  "), "{listed}");

    let line = line(&testbed, "blocked").await.to_string();
    for about in [&line, &anna.session] {
        let text = run(&mut asked(&testbed, &["why", about]));
        for expected in ["blocked  subject `anna`, since 20", ", by admin_credential: ticket 4711\n"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
    let text = run(&mut asked(&testbed, &["why", &anna.session]));
    let command = text.lines().find_map(|line| line.strip_prefix("    portcullis ")).expect("a command");
    let words: Vec<&str> = command.split(' ').collect();
    run(&mut asked(&testbed, &words));
    testbed.get("/orders").bearer(&anna).await.passes();
    let text = run(&mut asked(&testbed, &["why", &line]));
    assert!(text.contains("no longer in force"), "{text}");
}
