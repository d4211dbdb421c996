//! The real program: its arguments, a crash, a stop.

use crate::client::{ADMIN, Answer, FILTER, Filter, http, token};
use crate::fixtures::PATIENCE;
use portcullis_contract::SessionId;
use portcullis_contract::wire::Outcome;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const SID: &str = "the-secret-looking-sid";

fn command(folder: &Path, more: &str) -> Command {
    let data = folder.join("data");
    let config = folder.join("session.yaml");
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nfilter_credential: {{env: FILTER}}\nadmin_credential: {{env: ADMIN}}\n\
         store: {{embedded: {{path: {}}}}}\n{more}",
        data.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-session"));
    command.arg("--config").arg(config).env("FILTER", FILTER).env("ADMIN", ADMIN).kill_on_drop(true);
    command
}

struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    checks: SocketAddr,
    admin: SocketAddr,
}

impl Program {
    async fn start(folder: &Path) -> Self {
        let mut child = command(folder, "").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut checks, mut admin) = (None, None);
        while checks.is_none() || admin.is_none() {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap();
            let line: Value = serde_json::from_str(&line.unwrap().expect("it ended")).unwrap();
            let address = || line["address"].as_str().unwrap().parse().unwrap();
            match line["listener"].as_str() {
                Some("checks") => checks = Some(address()),
                Some("admin") => admin = Some(address()),
                _ => {}
            }
        }
        let (checks, admin) = (checks.unwrap(), admin.unwrap());
        while http(admin, "", "GET", "/readyz", "").await.status != 200 {}
        Self { child, lines, checks, admin }
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        http(self.admin, &format!("Bearer {ADMIN}"), method, path, body).await
    }

    async fn open(&self, key: &str) -> String {
        let body = json!({"issuer": "https://id", "key": key, "subject": "alice", "scopes": ["openid", "orders:read"]});
        let opened = self.call("POST", "/v1/sessions", &body.to_string()).await;
        assert_eq!(opened.status, 201, "{opened:?}");
        format!("/v1/sessions/{}", SessionId::of("https://id", key))
    }

    /// Ends it with SIGTERM; gives its exit code and what it had still to say.
    async fn stop(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").arg(pid).status().unwrap().success());
        let mut said = String::new();
        while let Some(line) = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap() {
            said.push_str(&line);
            said.push('\n');
        }
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        (status.code(), said)
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_by_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path()).await;
    let issued = now_ms();
    let kept = program.open("kept").await;
    let ended = program.open("ended").await;
    assert_eq!(program.call("PATCH", &kept, r#"{"scopes":["openid"]}"#).await.status, 200);
    let rule = r#"{"issuer":"https://id","subject":"mallory"}"#;
    assert_eq!(program.call("POST", "/v1/revocations", rule).await.status, 200);
    assert_eq!(program.call("POST", &format!("{ended}/revoke"), "").await.status, 200);
    program.child.kill().await.unwrap();

    let program = Program::start(folder.path()).await;
    let read = program.call("GET", &kept, "").await.json();
    assert_eq!((&read["state"], &read["scopes"]), (&json!("active"), &json!(["openid"])));
    assert_eq!(program.call("GET", &ended, "").await.json()["reason"], "revoked");
    let mut filter = Filter::open(program.checks, FILTER).await.unwrap();
    let verdict = filter.ask_new(token(1, "kept", issued)).await;
    assert_eq!((verdict.outcome(), verdict.narrowed.unwrap().scopes), (Outcome::Active, vec!["openid".to_owned()]));
    assert_eq!(filter.ask_new(token(2, "ended", now_ms())).await.outcome(), Outcome::Revoked);
    let mut unseen = token(3, "unseen", issued);
    unseen.subject = "mallory".to_owned();
    assert_eq!(filter.ask_new(unseen).await.outcome(), Outcome::Revoked);
}

#[tokio::test]
async fn a_session_that_ended_before_it_was_written_stays_ended_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path()).await;
    let mut filter = Filter::open(program.checks, FILTER).await.unwrap();
    let stale = token(1, "stale", now_ms() - 9 * 3_600_000);
    assert_eq!(filter.ask_new(stale).await.outcome(), Outcome::LifetimeExceeded);
    program.child.kill().await.unwrap();

    let program = Program::start(folder.path()).await;
    // Its end was on disk before it was answered.
    let listed = program.call("GET", "/v1/sessions", "").await.json();
    assert_eq!((&listed["sessions"][0]["key"], &listed["sessions"][0]["state"]), (&json!("stale"), &json!("ended")));
}

#[tokio::test]
async fn a_stop_writes_what_is_in_memory_and_exits_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let mut filter = Filter::open(program.checks, FILTER).await.unwrap();
    assert_eq!(filter.ask_new(token(1, SID, now_ms())).await.outcome(), Outcome::Active);
    // Both the stream and the connection are still open. The filter leaves when it is told.
    let leaving = async {
        assert!(filter.answer().await.unwrap().unwrap().drain);
        assert_eq!(filter.outcome(1).await, Outcome::Active);
        filter.close();
        assert_eq!(filter.answer().await.unwrap(), None);
    };
    let ((code, said), ()) = tokio::join!(program.stop(), leaving);
    assert_eq!(code, Some(0));
    assert!(said.contains("\"target\":\"audit\"") && said.contains("\"event\":\"opened\""), "{said}");
    for secret in [SID, ADMIN, FILTER] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    let program = Program::start(folder.path()).await;
    let listed = program.call("GET", "/v1/sessions", "").await.json();
    assert_eq!(listed["sessions"][0]["key"], SID);
}

async fn output(mut command: Command) -> (Option<i32>, String) {
    let ran = tokio::time::timeout(PATIENCE, command.output()).await.unwrap();
    let Output { status, stdout, stderr } = ran.unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[tokio::test]
async fn a_check_of_the_configuration_says_what_is_wrong_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let mut good = command(folder.path(), "");
    good.arg("--check");
    let (code, said) = output(good).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!folder.path().join("data").exists(), "a check makes nothing");
    for is_check in [true, false] {
        let mut bad = command(folder.path(), "access: [{name: a, idle: 5}]\n");
        if is_check {
            bad.arg("--check");
        }
        let (code, said) = output(bad).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("session.yaml: access[0].idle: `5` is not a duration"), "{said}");
    }
}

#[tokio::test]
async fn a_store_that_is_in_use_is_not_shared() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Program::start(folder.path()).await;
    let (code, said) = output(command(folder.path(), "")).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot open store"), "{said}");
}
