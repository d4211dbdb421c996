//! A Redis server of its own, on a free port, with its data in a temporary folder.

mod cluster;
mod sentinel;
mod tls;

pub use cluster::RedisCluster;
pub use sentinel::RedisSentinel;
pub use tls::RedisTls;

use crate::{
    paths,
    process::{Process, free_port, local},
    wait::until,
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    sync::Mutex,
    time::Duration,
};
use tempfile::TempDir;

/// An answer is here by then.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// The keys of `session.yaml` for so many replicas that share a store: `at` says where it is.
pub fn redis_store(mut at: Value, replicas: usize) -> Value {
    at["journal"] = json!("journal");
    at["replicas"] = json!(replicas);
    let access = json!([{"name": "interactive", "absolute": "8h", "idle": "30m"}]);
    json!({"store": {"redis": at}, "serve_lease": "1s", "access": access})
}

/// Where a store behind a local port is.
pub fn redis_at(port: u16) -> Value {
    json!({"url": format!("redis://127.0.0.1:{port}")})
}

/// A server. Its data survives a kill.
pub struct Redis {
    dir: TempDir,
    port: u16,
    settings: Vec<String>,
    process: Mutex<Option<Process>>,
}

impl Redis {
    /// Starts an empty server.
    pub async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    /// Starts an empty server with more arguments.
    async fn start_with(settings: Vec<String>) -> Self {
        let server = Self { dir: folder(), port: free_port(), settings, process: Mutex::new(None) };
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
        let mut command = program();
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0"]);
        command.args(&self.settings).arg("--dir").arg(self.dir.path());
        *self.process.lock().expect("not poisoned") = Some(Process::start(&mut command, self.dir.path(), "redis"));
        until("Redis runs", async || self.ask("PING")?.starts_with("+PONG").then_some(())).await;
    }

    /// Becomes a replica of another one, and has everything that it has.
    pub async fn follow(&self, primary: &Self) {
        self.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port)).expect("Redis answers");
        self.is_level().await;
    }

    /// Becomes a primary, with what it has.
    pub fn promote(&self) {
        self.ask("REPLICAOF NO ONE").expect("Redis answers");
    }

    /// Waits until it has everything that its primary has.
    async fn is_level(&self) {
        let is_up = async || self.ask("INFO replication")?.contains("master_link_status:up").then_some(());
        until("the replica of Redis has everything", is_up).await;
    }

    fn ask(&self, command: &str) -> Option<String> {
        ask(self.port, command)
    }
}

/// The answer of the server at a local port to a command, as it comes.
fn ask(port: u16, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&local(port), ANSWER_MAX).ok()?;
    stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
    // Redis closes the connection after its answer, Sentinel does not.
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    (!answer.is_empty()).then_some(answer)
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("redis-").tempdir().expect("a temporary directory")
}

/// The program, unpacked by `tests/redis.sh` or installed.
fn program() -> Command {
    let unpacked = paths::root().join("dist/redis/usr");
    if !unpacked.join("bin/redis-server").exists() {
        return Command::new("redis-server");
    }
    let mut command = Command::new(unpacked.join("bin/redis-server"));
    let entries = std::fs::read_dir(unpacked.join("lib")).into_iter().flatten().flatten();
    let libraries = entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    command
}
