//! A PostgreSQL server of its own, on a free port, with its data in a temporary folder.

use crate::{
    paths,
    process::{Process, free_port, local},
    wait::until,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Mutex,
};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// The user that runs it where the tests run as root, which PostgreSQL refuses.
const NOBODY: u32 = 65_534;

/// The keys of `session.yaml` for replicas that share the database at a URL.
pub fn shared_store(url: &str) -> Value {
    // The shipped access types have one that is idle sooner than replicas can agree on.
    let access = json!([{"name": "interactive", "absolute": "8h", "idle": "30m"}]);
    json!({"store": {"postgres": {"url": url}}, "serve_lease": "1s", "access": access})
}

/// How it runs where the tests run as root.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RunAs {
    /// As whoever runs the tests, who is not root.
    Ourselves,
    Nobody,
    /// In a name space where root is called nobody: where only root can reach the checkout.
    RenamedRoot,
}

/// A server. Its data survives a kill.
pub struct Postgres {
    programs: PathBuf,
    run_as: RunAs,
    dir: TempDir,
    port: u16,
    process: Mutex<Option<Process>>,
}

impl Postgres {
    /// Starts a server with an empty database.
    pub async fn start() -> Self {
        let server = Self::nowhere();
        let mut initdb = server.command("initdb");
        initdb.args(["--auth=trust", "--username=portcullis", "--encoding=UTF8", "--no-locale", "--no-sync", "-D"]);
        must(initdb.arg(server.data()).output().expect("initdb runs"));
        server.restart().await;
        server
    }

    /// Starts a standby, whose primary answers no commit that it does not have.
    pub async fn standby_of(primary: &Self) -> Self {
        let server = Self::nowhere();
        let mut backup = server.command("pg_basebackup");
        backup.args(["--host=127.0.0.1", "--username=portcullis", "--checkpoint=fast", "--write-recovery-conf"]);
        backup.args([&format!("--port={}", primary.port), "--no-sync", "-D"]);
        must(backup.arg(server.data()).output().expect("pg_basebackup runs"));
        server.restart().await;
        primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'").expect("a setting");
        primary.query("SELECT pg_reload_conf()").expect("a reload");
        until("the standby is synchronous", async || {
            primary.query("SELECT sync_state FROM pg_stat_replication").filter(|state| state == "sync")
        })
        .await;
        server
    }

    /// Ends being a standby.
    pub fn promote(&self) {
        assert_eq!(self.query("SELECT pg_promote()").as_deref(), Some("t"));
    }

    fn nowhere() -> Self {
        let dir = tempfile::Builder::new().prefix("postgres-").tempdir().expect("a temporary directory");
        let programs = programs();
        let run_as = RunAs::of(&programs);
        if run_as == RunAs::Nobody {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).expect("root can give a folder away");
        }
        Self { programs, run_as, dir, port: free_port(), process: Mutex::new(None) }
    }

    /// Where it is, for `session.yaml`.
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// The same, through another local port.
    pub fn url_through(&self, port: u16) -> String {
        format!("postgres://portcullis@127.0.0.1:{port}/postgres")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again, and waits until it accepts connections.
    pub async fn restart(&self) {
        until("PostgreSQL runs", async || {
            {
                let mut process = self.process.lock().expect("not poisoned");
                // One that was killed leaves children behind for a moment, which keep the next one from starting.
                if process.as_mut().is_none_or(|process| process.ended().is_some()) {
                    *process = Some(self.launch());
                }
            }
            TcpStream::connect(local(self.port)).await.ok().filter(|_| self.query("SELECT 1").is_some())
        })
        .await;
    }

    /// Ends it as a crash does: nothing that is not on disk survives.
    pub async fn crash(&self) {
        let mut process = self.process.lock().expect("not poisoned").take();
        let process = process.as_mut().expect("it runs");
        process.signal(Signal::QUIT);
        until("PostgreSQL ends", async || process.ended()).await;
    }

    /// The first value of a query's answer; `None` when it fails.
    pub fn query(&self, sql: &str) -> Option<String> {
        let mut psql = self.command("psql");
        let output = psql.args([&self.url(), "-X", "-A", "-t", "-c", sql]).output().expect("psql runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn launch(&self) -> Process {
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=100"] {
            postgres.args(["-c", setting]);
        }
        Process::start(&mut postgres, self.dir.path(), "postgres")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.run_as.command(&self.programs.join(program));
        command.current_dir(self.dir.path());
        command
    }
}

impl RunAs {
    fn of(programs: &Path) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::Ourselves;
        }
        let can_nobody = Self::Nobody.command(Path::new("test")).arg("-x").arg(programs.join("postgres")).output();
        match can_nobody.is_ok_and(|output| output.status.success()) {
            true => Self::Nobody,
            false => Self::RenamedRoot,
        }
    }

    fn command(self, program: &Path) -> Command {
        let nobody = NOBODY.to_string();
        let mut command = match self {
            Self::Ourselves => Command::new(program),
            Self::Nobody => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--"]).arg(program);
                command
            }
            Self::RenamedRoot => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-user", &nobody, "--map-group", &nobody, "--"]).arg(program);
                command
            }
        };
        if let Some(libraries) = libraries() {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

/// The folder of the newest programs: unpacked by `tests/postgres.sh`, or installed.
fn programs() -> PathBuf {
    let unpacked = paths::root().join("dist/postgresql");
    [unpacked.as_path(), Path::new("/")]
        .into_iter()
        .find_map(newest)
        .expect("PostgreSQL is installed, or unpacked by tests/postgres.sh")
}

fn newest(root: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(root.join("usr/lib/postgresql")).ok()?.flatten();
    let numbered = versions.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((number, entry.path().join("bin"))).filter(|(_, bin)| bin.join("initdb").exists())
    });
    numbered.max().map(|(_, bin)| bin)
}

/// The libraries of an unpacked one.
fn libraries() -> Option<PathBuf> {
    let unpacked = paths::root().join("dist/postgresql/usr/lib");
    let entries = std::fs::read_dir(unpacked).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with("-linux-gnu"))
}

fn must(output: Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
