//! A Redis server of its own, on a free port, with its data in a temporary folder.

use crate::{
    paths,
    process::{Process, free_port, local},
    wait::until,
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};
use tempfile::TempDir;

/// An answer is here by then.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// The keys of `session.yaml` for so many replicas that share the store behind a local port.
pub fn redis_store(port: u16, replicas: usize) -> Value {
    let access = json!([{"name": "interactive", "absolute": "8h", "idle": "30m"}]);
    let redis = json!({"url": format!("redis://127.0.0.1:{port}"), "journal": "journal", "replicas": replicas});
    json!({"store": {"redis": redis}, "serve_lease": "1s", "access": access})
}

/// A server. Its data survives a kill.
pub struct Redis {
    dir: TempDir,
    port: u16,
    process: Mutex<Option<Process>>,
}

impl Redis {
    /// Starts an empty server.
    pub async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("redis-").tempdir().expect("a temporary directory");
        let server = Self { dir, port: free_port(), process: Mutex::new(None) };
        server.restart().await;
        server
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&self) {
        self.process.lock().expect("not poisoned").take();
    }

    /// Starts it again with what is on its disk.
    pub async fn restart(&self) {
        let (program, libraries) = program();
        let mut command = Command::new(program);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0"]);
        command.arg("--dir").arg(self.dir.path());
        if let Some(libraries) = libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        *self.process.lock().expect("not poisoned") = Some(Process::start(&mut command, self.dir.path(), "redis"));
        until("Redis runs", async || self.ask("PING")?.starts_with("+PONG").then_some(())).await;
    }

    /// Becomes a replica of another one, and has everything that it has.
    pub async fn follow(&self, primary: &Self) {
        self.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port)).expect("Redis answers");
        let is_up = async || self.ask("INFO replication")?.contains("master_link_status:up").then_some(());
        until("the replica of Redis has everything", is_up).await;
    }

    /// Becomes a primary, with what it has.
    pub fn promote(&self) {
        self.ask("REPLICAOF NO ONE").expect("Redis answers");
    }

    /// The answer to a command, as it comes.
    fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&local(self.port), ANSWER_MAX).ok()?;
        stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
        // Redis closes the connection after its answer.
        stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

/// The program, unpacked by `tests/redis.sh` or installed, and the libraries of an unpacked one.
fn program() -> (PathBuf, Option<PathBuf>) {
    let unpacked = paths::root().join("dist/redis/usr");
    if !unpacked.join("bin/redis-server").exists() {
        return (Path::new("redis-server").to_owned(), None);
    }
    let entries = std::fs::read_dir(unpacked.join("lib")).into_iter().flatten().flatten();
    let libraries = entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    (unpacked.join("bin/redis-server"), libraries)
}
