//! `make demo` as somebody meets it: what it prints, the lines to paste into another terminal, and how it ends.

use portcullis_tests::{Client, PATIENCE, Process, quiet, root, until};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

/// What the demo prints before the lines to paste, and how many there are.
const INVITATION: &str = "Try it in another terminal, from this folder:";
const LINES: usize = 9;
const COLUMNS_MAX: usize = 80;

/// A running demo, and the other end of its standard output.
struct Demo {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Demo {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        command.current_dir(root()).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the demo starts");
        let output = child.stdout.take().map(BufReader::new);
        Self { child, output }
    }

    /// The next line; panics if the output has ended.
    async fn line(&mut self) -> String {
        let mut output = self.output.take().expect("nobody has closed it");
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            let length = output.read_line(&mut line).expect("text");
            (output, line, length)
        });
        let (output, line, length) = tokio::time::timeout(PATIENCE * 2, read).await.expect("a line").expect("a line");
        assert!(length > 0, "the demo has ended");
        self.output = Some(output);
        line.trim_end_matches('\n').to_owned()
    }

    /// Ctrl-C.
    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it can be signalled");
    }

    async fn ends_well(&mut self) {
        let status = until("the demo ends", async || self.child.try_wait().expect("its state")).await;
        assert!(status.success(), "{status}");
    }
}

impl Drop for Demo {
    /// Asks it to end, so that it ends what it has started; it may have ended already.
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The program of a line to paste. It gets what the lines before it have set.
struct Shell(Vec<(&'static str, String)>);

const VARIABLES: [&str; 3] = ["PORTCULLIS_ADMIN_URL", "PORTCULLIS_ADMIN_CREDENTIAL", "TOKEN"];

impl Shell {
    /// Runs the lines that set variables, with the demo of this build.
    fn set_up(lines: &[String]) -> Self {
        let script = lines.join("\n").replace("target/debug/demo", env!("CARGO_BIN_EXE_demo"));
        let shown = VARIABLES.map(|name| format!("echo \"${name}\"")).join("\n");
        let said = Self(Vec::new()).run(&format!("{script}\n{shown}"));
        Self(VARIABLES.into_iter().zip(said.lines().map(str::to_owned)).collect())
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).envs(self.0.iter().cloned()).current_dir(root());
        command
    }

    /// Runs a line that must succeed; returns what it prints.
    #[track_caller]
    fn run(&self, line: &str) -> String {
        let output = self.command(line).output().expect("there is a shell");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Starts a line that ends with `&`.
    fn start(&self, line: &str, dir: &Path, name: &str) -> Process {
        let line = line.strip_suffix('&').expect("a command for the background");
        Process::start(&mut self.command(&format!("exec {line}")), dir, name)
    }
}

/// The address that the demo prints behind a name.
fn address<'t>(said: &'t [String], name: &str) -> &'t str {
    let line = said.iter().find_map(|line| line.trim_start().strip_prefix(name)).expect("its address");
    line.trim().trim_start_matches("http://").split('/').next().unwrap_or_default()
}

/// The lines as docs/demo.md has them: with the documented ports, and without the credential.
fn as_documented(said: &[String], lines: &[String]) -> Vec<String> {
    let edge = address(said, "Envoy ");
    let admin = address(said, "session admin");
    let issuer = format!(" --issuer {}", address(said, "issuer's keys"));
    let line = |line: &String| match line.split_once("CREDENTIAL=") {
        Some((before, _)) => format!("{before}CREDENTIAL=…"),
        None => line.replace(edge, "127.0.0.1:10000").replace(admin, "127.0.0.1:7071").replace(&issuer, ""),
    };
    lines.iter().map(line).collect()
}

fn documented() -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/demo.md")).expect("docs/demo.md can be read");
    let block = page.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the lines to paste");
    block.lines().map(|line| line.split("  #").next().unwrap_or_default().trim_end().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_demo_prints_can_be_pasted_and_it_ends_well() {
    let _quiet = quiet().await;
    let mut demo = Demo::start();
    let mut said = Vec::new();
    while said.last().is_none_or(|line: &String| line != INVITATION) {
        said.push(demo.line().await);
    }
    let mut lines = Vec::new();
    for _ in 0..LINES {
        let line = demo.line().await;
        lines.push(line.strip_prefix("  ").expect("an indent").to_owned());
        said.push(line);
    }
    let too_wide: Vec<_> = said.iter().filter(|line| line.chars().count() > COLUMNS_MAX).collect();
    assert!(too_wide.is_empty(), "{too_wide:#?}");
    assert_eq!(as_documented(&said, &lines), documented());

    paste(lines).await;

    // Nobody reads what it says when it stops.
    demo.output = None;
    demo.interrupt();
    demo.ends_well().await;
    for name in ["Envoy ", "session admin", "issuer's keys", "upstream"] {
        assert!(TcpStream::connect(address(&said, name)).is_err(), "{name} is still there");
    }

    // A reader that has seen enough while it starts, as `make demo | head -1`.
    let mut demo = Demo::start();
    demo.line().await;
    demo.output = None;
    demo.ends_well().await;
}

/// Whether the lines with `curl` can be run as they are.
fn has_curl() -> bool {
    Command::new("curl").arg("--version").output().is_ok()
}

/// What `curl -i` prints; without curl, its first line and its body.
async fn curl(shell: &Shell, line: &str) -> String {
    if has_curl() {
        return shell.run(line);
    }
    let url = line.rsplit("http://").next().expect("a URL");
    let (address, path) = url.split_once('/').expect("a path");
    let token = &shell.0.last().expect("the token").1;
    let client = Client::new(address.parse().expect("an address"));
    let answer = client.get(&format!("/{path}")).bearer(token).await;
    format!("HTTP/1.1 {}\n\n{}", answer.status.as_u16(), String::from_utf8_lossy(&answer.body))
}

/// Pastes the lines one after the other, each when the one before has shown what it should.
async fn paste(lines: Vec<String>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut lines = VecDeque::from(lines);
    let setting: Vec<_> = lines.drain(..VARIABLES.len()).collect();
    let shell = Shell::set_up(&setting);
    let mut next = |start: &str| {
        let line = lines.pop_front().expect("another line");
        assert!(line.starts_with(start), "{line}");
        line
    };
    let asked = next("curl -i");
    assert!(curl(&shell, &asked).await.starts_with("HTTP/1.1 200"));
    let streamed = next("curl -N");
    let mut stream = has_curl().then(|| shell.start(&streamed, dir.path(), "stream"));
    let events = shell.start(&next("dist/portcullis events"), dir.path(), "events");
    if let Some(stream) = &stream {
        until("the stream flows", async || stream.out().contains("data: 1").then_some(())).await;
    }
    until("events are shown", async || {
        // Another session, so that there is an event.
        curl(&Shell::set_up(&setting), &asked).await;
        events.out().contains("opened").then_some(())
    })
    .await;
    let listed = shell.run(&next("dist/portcullis sessions list"));
    assert!(listed.contains("active"), "{listed}");
    shell.run(&next("dist/portcullis revoke"));
    if let Some(stream) = &mut stream {
        let end = until("the stream is cut", async || stream.ended()).await;
        assert!(!end.success(), "it ended as if it were complete");
    }
    until("the end is shown", async || events.out().contains("revoked").then_some(())).await;
    let refused = curl(&shell, &next("curl -i")).await;
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("session_revoked"), "{refused}");
}
