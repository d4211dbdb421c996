//! Child processes that end with the test, and the ports they listen on.

use rustix::process::Signal;
use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

/// A running child process. Dropping it kills it.
pub struct Process {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// Starts a command in a process group of its own (so that Ctrl-C reaches only us), with its output appended to
    /// `NAME.out` and `NAME.err` in `dir`.
    pub fn start(command: &mut Command, dir: &Path, name: &str) -> Self {
        let (out, err) = (dir.join(format!("{name}.out")), dir.join(format!("{name}.err")));
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(append(&out))
            .stderr(append(&err))
            .spawn()
            .unwrap_or_else(|fault| panic!("{name} does not start: {fault}"));
        Self { child, out, err }
    }

    /// Everything written to standard output so far.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.out).unwrap_or_default()).into_owned()
    }

    /// Everything written to standard error so far.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.err).unwrap_or_default()).into_owned()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child can be read")
    }

    /// Panics with the end of its output if it has ended.
    pub fn must_live(&mut self) {
        if let Some(status) = self.ended() {
            let (out, err) = (self.out(), self.err());
            let lines: Vec<&str> = out.lines().chain(err.lines()).collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            panic!("{} ended with {status}:\n{last}", self.out.display());
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("a child can be signalled");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn append(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("a log file can be opened")
}

/// A port that nothing listens on. It is below the range of outgoing connections, so it stays free while a
/// service is down between a kill and a restart.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at the same time start at different ports.
    let start = (std::process::id() % 40) as u16 * 500;
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|port| is_free(*port))
        .expect("a port is free")
}

/// Whether a listener could be opened on a local port.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(local(port)).is_ok()
}

/// A local address.
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
