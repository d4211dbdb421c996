//! The real program: its arguments, a crash, a stop.

use crate::client::{ADMIN, Answer, FILTER, Filter, PLAIN, http, session_id, token};
use crate::fixtures::PATIENCE;
use portcullis_contract::wire::Outcome;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const SID: &str = "the-secret-looking-sid";

pub(crate) fn command(folder: &Path, more: &str) -> Command {
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

pub(crate) struct Program {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) checks: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Program {
    async fn start(folder: &Path) -> Self {
        Self::run(command(folder, "")).await
    }

    /// Starts it so that writing a file that has become too large is an error, and no signal.
    async fn start_on_a_limited_disk(folder: &Path) -> Self {
        let plain = command(folder, "");
        let mut limited = Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(plain.as_std().get_program());
        limited.args(plain.as_std().get_args()).env("FILTER", FILTER).env("ADMIN", ADMIN).kill_on_drop(true);
        Self::run(limited).await
    }

    /// Has every write beyond the first page of a file fail, or none.
    fn break_disk(&self, is_broken: bool) {
        let limit = if is_broken { "--fsize=4096:unlimited" } else { "--fsize=unlimited:unlimited" };
        let pid = self.child.id().unwrap().to_string();
        let limited = std::process::Command::new("prlimit").args([limit, "--pid", &pid]).status();
        assert!(limited.unwrap().success());
    }

    pub(crate) async fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
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

    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        http(self.admin, &format!("Bearer {ADMIN}"), method, path, body).await
    }

    pub(crate) async fn open(&self, key: &str) -> String {
        let body = json!({"issuer": "https://id", "key": key, "subject": "alice", "client_id": "web", "scopes": ["openid", "orders:read"]});
        let opened = self.call("POST", "/v1/sessions", &body.to_string()).await;
        assert_eq!(opened.status, 200, "{opened:?}");
        format!("/v1/sessions/{}", session_id(key))
    }

    /// Sends SIGHUP and reads on until it says that.
    pub(crate) async fn reload(&mut self, wanted: &str) -> Value {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        loop {
            let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.unwrap();
            let line: Value = serde_json::from_str(&line.unwrap().expect("it ended")).unwrap();
            if line["message"].as_str().unwrap_or_default().contains(wanted) {
                return line;
            }
        }
    }

    /// What it has still to say, when it has ended.
    pub(crate) async fn rest(mut self) -> String {
        let mut said = String::new();
        while let Some(line) = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap() {
            said.push_str(&line);
            said.push('\n');
        }
        said
    }

    /// Ends it with SIGTERM; gives its exit code and what it had still to say.
    pub(crate) async fn stop(mut self) -> (Option<i32>, String) {
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
async fn sighup_changes_credentials_and_a_bad_file_changes_nothing() {
    const NEXT: &str = "the-next-secret-of-the-admin";
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let secret = at.join("secret");
    let from_file = |command: Command| {
        let config = at.join("session.yaml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace("{env: ADMIN}", &format!("{{file: {}}}", secret.display()))).unwrap();
        command
    };
    std::fs::write(&secret, ADMIN).unwrap();
    let mut program = Program::run(from_file(command(at, ""))).await;
    let admin = program.admin;
    let status = async |secret: &str| http(admin, &format!("Bearer {secret}"), "GET", "/metrics", "").await.status;
    assert_eq!((status(ADMIN).await, status(NEXT).await), (200, 401));

    std::fs::write(&secret, NEXT).unwrap();
    let line = program.reload("reloaded the configuration").await;
    assert_eq!((&line["level"], &line["changed"]), (&json!("INFO"), &json!("admin_credential")));
    assert_eq!((status(ADMIN).await, status(NEXT).await), (401, 200));

    std::fs::write(&secret, "short").unwrap();
    let line = program.reload("the previous one stays in force").await;
    assert_eq!(line["level"], "ERROR");
    assert!(line["fault"].as_str().unwrap().contains("admin_credential: has fewer than 16 bytes"), "{line}");
    std::fs::write(&secret, ADMIN).unwrap();
    std::fs::write(at.join("session.yaml"), "listen: [").unwrap();
    program.reload("the previous one stays in force").await;
    assert_eq!((status(ADMIN).await, status(NEXT).await), (401, 200));

    drop(from_file(command(at, "access: [{name: a, idle: 5m}]\n")));
    let line = program.reload("need a restart").await;
    assert_eq!((&line["level"], &line["changed"]), (&json!("WARN"), &json!("access")));
    assert_eq!(status(ADMIN).await, 200);
    assert_eq!(program.stop().await.0, Some(0));
}

#[tokio::test]
async fn a_store_that_is_in_use_is_not_shared() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Program::start(folder.path()).await;
    let (code, said) = output(command(folder.path(), "")).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot open store"), "{said}");
}

#[tokio::test]
async fn a_store_that_failed_once_works_again_and_has_what_memory_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start_on_a_limited_disk(folder.path()).await;
    let kept = program.open("kept").await;
    let ended = program.open("ended").await;
    let everyone = r#"{"issuer":"https://other"}"#;
    assert_eq!(program.call("POST", "/v1/revocations", everyone).await.status, 200);
    program.break_disk(true);
    let revoke = format!("{ended}/revoke");
    let refused = program.call("POST", &revoke, "").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"));
    let health = http(program.admin, "", "GET", "/healthz", "").await;
    assert_eq!(health.status, 503);
    assert!(health.text.contains("the store cannot write"), "{health:?}");
    assert_eq!(http(program.admin, "", "GET", "/readyz", "").await.status, 503);
    // Opened while the disk is broken: written when it is not any more. Once the store was tried again in vain, nobody can look
    // whether the session has ended before, and it is opened later.
    let mut filter = Filter::open(program.checks, FILTER).await.unwrap();
    let outcome = filter.ask_new(token(1, "meanwhile", now_ms())).await.outcome();
    assert!(matches!(outcome, Outcome::Active | Outcome::Unavailable), "{outcome:?}");

    program.break_disk(false);
    assert_eq!(program.call("POST", &revoke, "").await.status, 200);
    assert_eq!(http(program.admin, "", "GET", "/healthz", "").await.status, 200);
    assert_eq!(filter.ask(1, PLAIN).await.outcome(), Outcome::Active);
    let metrics = program.call("GET", "/metrics", "").await.text;
    assert!(!metrics.contains("portcullis_store_reopened_total 0"), "{metrics}");
    let on_disk = program.call("PATCH", &kept, r#"{"scopes":["openid"]}"#).await;
    assert_eq!(on_disk.status, 200, "{on_disk:?}");
    drop(filter);
    assert_eq!(program.stop().await.0, Some(0));

    program = Program::start(folder.path()).await;
    assert_eq!(program.call("GET", &ended, "").await.json()["reason"], "revoked");
    assert_eq!(program.call("GET", &kept, "").await.json()["state"], "active");
    let meanwhile = format!("/v1/sessions/{}", session_id("meanwhile"));
    assert_eq!(program.call("GET", &meanwhile, "").await.json()["state"], "active");
}

#[tokio::test]
async fn a_stop_that_loses_changes_exits_with_1_and_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start_on_a_limited_disk(folder.path()).await;
    program.break_disk(true);
    let mut filter = Filter::open(program.checks, FILTER).await.unwrap();
    assert_eq!(filter.ask_new(token(1, "lost", now_ms())).await.outcome(), Outcome::Active);
    filter.close();
    drop(filter);
    let (code, said) = program.stop().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the last changes of 1 sessions are lost"), "{said}");
}

#[tokio::test]
async fn a_store_that_was_truncated_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Program::start(folder.path()).await.stop().await.0, Some(0));
    std::fs::write(folder.path().join("data/sessions.redb"), "").unwrap();
    let (code, said) = output(command(folder.path(), "")).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("it is empty"), "{said}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_neither_checks_nor_health() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let mut filter = Filter::open(program.checks, FILTER).await.unwrap();
    // Each first use is a line of some 300 bytes, and a pipe holds 64 KiB. The test reads none of them.
    for handle in 1..=1_000 {
        let asked = filter.ask_new(token(handle, &format!("s-{handle}"), now_ms()));
        let verdict = tokio::time::timeout(PATIENCE, asked).await.expect("checks have stopped");
        assert_eq!(verdict.outcome(), Outcome::Active);
    }
    let health = tokio::time::timeout(PATIENCE, http(program.admin, "", "GET", "/healthz", ""));
    assert_eq!(health.await.expect("health has stopped").status, 200);
    assert_eq!(program.call("POST", "/v1/revocations", r#"{"issuer":"https://id"}"#).await.status, 200);
    // And what waited is there when somebody reads again.
    filter.close();
    drop(filter);
    let (code, said) = program.stop().await;
    assert_eq!((code, said.matches("\"event\":\"opened\"").count()), (Some(0), 1_000));
}

#[tokio::test]
async fn a_program_whose_output_nobody_can_read_goes_on_and_counts_the_lines_that_it_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), "");
    command.stderr(Stdio::piped());
    let Program { mut child, lines, checks, admin } = Program::run(command).await;
    drop((lines, child.stderr.take()));
    let call =
        async |method: &str, path: &str, body: &str| http(admin, &format!("Bearer {ADMIN}"), method, path, body).await;
    let lost = async || {
        let metrics = call("GET", "/metrics", "").await.text;
        let line = metrics.lines().find_map(|line| line.strip_prefix("portcullis_log_lines_dropped_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let mut filter = Filter::open(checks, FILTER).await.unwrap();
    assert_eq!(filter.ask_new(token(1, "s", now_ms())).await.outcome(), Outcome::Active);
    let before = lost().await;
    let revoke = format!("/v1/sessions/{}/revoke", session_id("s"));
    assert_eq!(call("POST", &revoke, "").await.status, 200);
    assert_eq!(filter.outcome(1).await, Outcome::Revoked);
    // The log's thread writes in its own time.
    let counted = async { while lost().await <= before {} };
    tokio::time::timeout(PATIENCE, counted).await.expect("lost lines are not counted");
    assert_eq!(http(admin, "", "GET", "/readyz", "").await.status, 200);
    assert_eq!(child.try_wait().unwrap(), None, "it goes on");
}

#[tokio::test]
async fn callers_without_the_credential_cannot_fill_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    for _ in 0..500 {
        assert_eq!(http(program.admin, "", "GET", &format!("/{}", "x".repeat(1_000)), "").await.status, 401);
    }
    let (_, said) = program.stop().await;
    let refusals: Vec<&str> = said.lines().filter(|line| line.contains("refused a call")).collect();
    assert!(!refusals.is_empty() && refusals.len() < 400, "{}", refusals.len());
    assert!(refusals.iter().all(|line| line.len() < 600), "{}", refusals[0]);
}

#[cfg(unix)]
#[tokio::test]
async fn the_store_is_for_its_owner_alone_also_in_a_folder_that_was_there() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data/sessions.redb");
    std::fs::create_dir(folder.path().join("data")).unwrap();
    for _ in ["new", "made by an older version"] {
        assert_eq!(Program::start(folder.path()).await.stop().await.0, Some(0));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    }
}

#[tokio::test]
async fn whoever_would_approve_his_own_request_is_in_the_audit_and_so_is_what_a_session_was_granted() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("rita");
    std::fs::write(&secret, "the-secret-of-rita\n").unwrap();
    let more = format!(
        "admins: [{{name: rita, credential: {{file: '{}'}}, scopes: [\"portcullis:admin\"], subject: {{issuer: 'https://id', sub: rita}}}}]\n\
         approvals: [{{name: prod, scopes: [\"prod:admin\"], ask: {{admins: [rita]}}, decide: [{{admins: [rita]}}], max_duration: 1h}}]\n",
        secret.display()
    );
    let program = Program::run(command(folder.path(), &more)).await;
    let admin = program.admin;
    let call = async |path: &str, body: Value| {
        let answer = http(admin, "Bearer the-secret-of-rita", "POST", path, &body.to_string()).await;
        (answer.status, answer.json())
    };
    let opened = json!({"issuer": "https://id", "key": "k", "subject": "alice", "client_id": "web", "scopes": ["orders:read", "prod:admin"]});
    let session = call("/v1/sessions", opened).await.1["id"].clone();
    let asked = json!({"session": session, "scopes": ["prod:admin"], "reason": "incident", "duration": "5m"});
    let request = call("/v1/requests", asked).await.1["id"].as_str().unwrap().to_owned();
    assert_eq!(call(&format!("/v1/requests/{request}/approve"), json!({})).await.0, 403);
    let (_, said) = program.stop().await;
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| lines.iter().find(|line| line["event"] == event).unwrap_or(&Value::Null).clone();
    let refused = of("admin_refused");
    assert_eq!((&refused["admin"], &refused["why"]), (&json!("rita"), &json!("approvals")));
    assert_eq!(refused["path"], json!(format!("/v1/requests/{request}/approve")));
    assert_eq!(of("opened")["scopes"], json!("orders:read prod:admin"));
}

#[tokio::test]
async fn a_credentials_file_that_changes_is_read_again_and_every_audit_line_names_the_admin() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("anna");
    std::fs::write(&secret, "the-first-secret-of-anna\n").unwrap();
    let anna = format!(
        "admins: [{{name: anna, credential: {{file: '{}'}}, scopes: [\"portcullis:operate\"]}}]\n",
        secret.display()
    );
    let program = Program::run(command(folder.path(), &anna)).await;
    let admin = program.admin;
    let block = async |secret: &str| {
        let body = json!({"issuer": "https://id", "subject": "mallory"}).to_string();
        http(admin, &format!("Bearer {secret}"), "POST", "/v1/blocks", &body).await.status
    };
    assert_eq!(block("the-first-secret-of-anna").await, 200);
    assert_eq!(http(admin, "Bearer the-first-secret-of-anna", "GET", "/v1/blocks", "").await.status, 403);
    std::fs::write(&secret, "the-second-secret-of-anna\n").unwrap();
    let rotated = async { while block("the-second-secret-of-anna").await != 200 {} };
    tokio::time::timeout(PATIENCE, rotated).await.expect("the file is not read again");
    assert_eq!(block("the-first-secret-of-anna").await, 401);
    let (_, said) = program.stop().await;
    assert!(!said.contains("secret-of-anna"), "{said}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).cloned().collect::<Vec<_>>();
    let made = of("block_made");
    assert!(!made.is_empty() && made.iter().all(|line| line["by"] == "admin" && line["admin"] == "anna"), "{made:?}");
    let signed_in = of("admin_signed_in");
    assert_eq!(signed_in.len(), 2, "once for each credential: {signed_in:?}");
    assert!(signed_in.iter().all(|line| line["admin"] == "anna" && line["scopes"] == "portcullis:operate"));
    let refused = of("admin_refused");
    let forbidden = refused.iter().find(|line| line["admin"] == "anna").expect("a call that she may not make");
    assert_eq!((&forbidden["why"], &forbidden["path"]), (&json!("portcullis:view"), &json!("/v1/blocks")));
    assert!(refused.iter().any(|line| line["admin"].is_null()), "{refused:?}");
}
