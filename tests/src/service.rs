//! The session service as a process that can be killed and restarted.

use crate::{
    Admin, Client, Faults, paths,
    process::{Process, free_port, local},
    wait::until,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{Mutex, OnceLock},
};

/// The ports of the check listener and of the admin API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) checks: u16,
    pub(crate) admin: u16,
}

impl Ports {
    pub(crate) fn free() -> Self {
        Self { checks: free_port(), admin: free_port() }
    }
}

/// The session service. Its data survives a kill.
pub struct Service {
    program: PathBuf,
    dir: PathBuf,
    config: PathBuf,
    ports: Ports,
    credentials: Credentials,
    process: Mutex<Option<Process>>,
    /// The faults of its machine, from the next start on.
    faults: OnceLock<Faults>,
}

/// The credentials that the filter and the admin present to the service.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) filter: String,
    pub(crate) admin: String,
}

impl Credentials {
    pub(crate) fn random() -> Self {
        Self { filter: secret(), admin: secret() }
    }
}

/// A secret that can't be guessed: the standard library seeds its hashers from the operating system.
fn secret() -> String {
    let part = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", part(), part())
}

impl Service {
    /// Starts a program alone, with `envoy/session.yaml` as it is except for its ports, and its data in `dir`.
    pub async fn alone(program: &Path, dir: &Path) -> Self {
        Self::start_program(program, dir, Ports::free(), Credentials::random(), |_| ()).await
    }

    /// The same, with that configuration after `edit`.
    pub async fn alone_with(program: &Path, dir: &Path, edit: impl FnOnce(&mut Value)) -> Self {
        Self::start_program(program, dir, Ports::free(), Credentials::random(), edit).await
    }

    /// Starts the program of this build, with `envoy/session.yaml` after `edit`.
    pub(crate) async fn start(
        dir: &Path,
        ports: Ports,
        credentials: Credentials,
        edit: impl FnOnce(&mut Value),
    ) -> Self {
        Self::start_program(&paths::dist("portcullis-session"), dir, ports, credentials, edit).await
    }

    async fn start_program(
        program: &Path,
        dir: &Path,
        ports: Ports,
        credentials: Credentials,
        edit: impl FnOnce(&mut Value),
    ) -> Self {
        let mut config = paths::shipped_file("session.yaml");
        config["listen"] = json!(local(ports.checks).to_string());
        config["admin"] = json!(local(ports.admin).to_string());
        config["store"]["embedded"]["path"] = json!(dir.join("portcullis-data"));
        edit(&mut config);
        let path = dir.join("session.yaml");
        paths::write(&path, &config);
        let service = Self {
            program: program.to_owned(),
            dir: dir.to_owned(),
            config: path,
            ports,
            credentials,
            process: Mutex::new(None),
            faults: OnceLock::new(),
        };
        service.restart().await;
        service
    }

    /// Starts it again after [`Service::kill`], and waits until it is ready.
    pub async fn restart(&self) {
        let process = Process::start(&mut self.command(), &self.dir, "session");
        *self.process.lock().expect("not poisoned") = Some(process);
        let client = Client::new(self.admin_address());
        until("the session service is ready", async || {
            if let Some(process) = self.process.lock().expect("not poisoned").as_mut() {
                process.must_live();
            }
            let answer = client.get("/readyz").fresh().try_send().await.ok()?;
            answer.status.is_success().then_some(())
        })
        .await;
    }

    /// Starts it again on a machine whose faults the caller orders.
    pub async fn restart_with_faults(&self) -> &Faults {
        let faults = self.faults.get_or_init(|| Faults::build(&self.dir));
        self.kill();
        self.restart().await;
        faults
    }

    /// The faults of its machine, after [`Service::restart_with_faults`].
    pub fn faults(&self) -> &Faults {
        self.faults.get().expect("a machine with faults")
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&self) {
        self.process.lock().expect("not poisoned").take();
    }

    /// Sends it SIGTERM and waits until it has ended.
    pub async fn terminate(&self) -> ExitStatus {
        let mut process = self.process.lock().expect("not poisoned").take();
        let process = process.as_mut().expect("the service runs");
        process.terminate();
        until("the session service ends", async || process.ended()).await
    }

    /// Stops it in the middle of whatever it does, until [`Service::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        self.process.lock().expect("not poisoned").as_ref().expect("the service runs").signal(signal);
    }

    /// The process id; panics if the service is not running.
    pub fn id(&self) -> u32 {
        self.process.lock().expect("not poisoned").as_ref().expect("the service runs").id()
    }

    /// The credential that filters present.
    pub fn filter_credential(&self) -> &str {
        &self.credentials.filter
    }

    /// The admin API, with its credential.
    pub fn admin(&self) -> Admin {
        Admin::new(self.admin_address(), &self.credentials.admin)
    }

    /// A client of the check listener.
    pub fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// Where the admin API is.
    pub fn admin_address(&self) -> SocketAddr {
        local(self.ports.admin)
    }

    /// Where checks are answered.
    pub fn address(&self) -> SocketAddr {
        local(self.ports.checks)
    }

    /// The status and the text of `/readyz`.
    pub async fn readiness(&self) -> (u16, String) {
        let answer = Client::new(self.admin_address()).get("/readyz").fresh().await;
        (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Waits until `/readyz` answers with a status.
    pub async fn becomes(&self, status: u16) {
        until("the readiness changes", async || (self.readiness().await.0 == status).then_some(())).await;
    }

    /// Waits until `/readyz` says something.
    pub async fn says(&self, what: &str) {
        until("it says why", async || self.readiness().await.1.contains(what).then_some(())).await;
    }

    /// The audit lines so far: every line of its output that is a JSON object.
    pub fn audit(&self) -> Vec<Value> {
        let read = |name: &str| std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        let text = read("session.out") + &read("session.err");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }

    /// Everything that it has written.
    pub fn output(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        read("session.out") + &read("session.err")
    }

    /// Runs `--check` on a configuration; returns whether it is accepted, and the output.
    pub fn check(&self, config: &Value) -> (bool, String) {
        let path = self.dir.join("checked.yaml");
        paths::write(&path, config);
        let mut command = self.command_for(&path);
        let output = command.arg("--check").output().expect("the service runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Starts it, with other keys in its configuration, and waits until it gives up; returns what it says.
    pub async fn gives_up(&self, keys: &Value) -> String {
        let text = std::fs::read_to_string(&self.config).expect("the configuration can be read");
        let mut config: Value = serde_json::from_str(&text).expect("the configuration is JSON");
        for (key, value) in keys.as_object().expect("an object") {
            config[key] = value.clone();
        }
        let path = self.dir.join("given-up.yaml");
        paths::write(&path, &config);
        let mut process = Process::start(&mut self.command_for(&path), &self.dir, "given-up");
        let status = until("the service gives up", async || process.ended()).await;
        assert!(!status.success(), "{status}");
        process.out() + &process.err()
    }

    fn command(&self) -> Command {
        self.command_for(&self.config)
    }

    fn command_for(&self, config: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--config")
            .arg(config)
            .env("PORTCULLIS_FILTER_CREDENTIAL", &self.credentials.filter)
            .env("PORTCULLIS_ADMIN_CREDENTIAL", &self.credentials.admin)
            .current_dir(&self.dir);
        if let Some(faults) = self.faults.get() {
            faults.befall(&mut command);
        }
        command
    }
}
