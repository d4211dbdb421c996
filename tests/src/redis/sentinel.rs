//! Redis with a Sentinel.

use super::{Redis, ask, folder, program};
use crate::{
    process::{Process, free_port},
    wait::until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Two servers of which one replicates the other, and a Sentinel that promotes it.
pub struct RedisSentinel {
    servers: [Redis; 2],
    port: u16,
    _process: Process,
    _dir: TempDir,
}

impl RedisSentinel {
    /// Starts them.
    pub async fn start() -> Self {
        let servers = [Redis::start().await, Redis::start().await];
        servers[1].follow(&servers[0]).await;
        let (dir, port) = (folder(), free_port());
        let settings = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n",
            dir.path().display(),
            servers[0].port
        );
        let file = dir.path().join("sentinel.conf");
        std::fs::write(&file, settings).expect("a file in the temporary directory");
        let process = Process::start(program().arg(&file).arg("--sentinel"), dir.path(), "sentinel");
        let sentinel = Self { servers, port, _process: process, _dir: dir };
        until("Sentinel knows both servers", async || sentinel.says("num-slaves\r\n$1\r\n1").then_some(())).await;
        sentinel
    }

    /// Where the store is, for `session.yaml`.
    pub fn at(&self) -> Value {
        json!({"sentinel": {"nodes": [format!("127.0.0.1:{}", self.port)], "primary": "main"}})
    }

    /// Kills the primary, and waits until the other one has taken its place.
    pub async fn fail_over(&self) {
        self.servers[0].kill();
        let next = format!("port\r\n${}\r\n{}", self.servers[1].port.to_string().len(), self.servers[1].port);
        until("Sentinel has promoted the other one", async || self.says(&next).then_some(())).await;
    }

    fn says(&self, what: &str) -> bool {
        ask(self.port, "SENTINEL MASTER main").is_some_and(|answer| answer.contains(what))
    }
}
