//! The bench's own servers as child processes.

use portcullis_tests::{Process, free_port, local, until};
use std::{path::Path, process::Command};
use tokio::net::TcpStream;

/// A server of `servers.rs`, in a process of its own. Dropping it ends it.
pub(crate) struct Child {
    pub(crate) port: u16,
    process: Process,
}

impl Child {
    pub(crate) async fn start(dir: &Path, name: &str) -> Self {
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        let process = Process::start(command.arg(name).arg(port.to_string()), dir, name);
        until("a server of the bench listens", async || TcpStream::connect(local(port)).await.ok()).await;
        Self { port, process }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}
