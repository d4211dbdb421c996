//! A real decision point that speaks AuthZEN: Cerbos, from npm, with the policies of `tests/pdp`.

use crate::{
    Client, paths,
    process::{Process, free_port, local},
    wait::until,
};
use std::{fs, net::SocketAddr, process::Command, sync::Mutex};
use tempfile::TempDir;

/// Where npm puts the program.
const PROGRAM: &str = "node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64";

/// The file of the policies about routes.
const POLICY: &str = "route.yaml";

/// A running Cerbos, which watches its policies.
pub struct Cerbos {
    address: SocketAddr,
    process: Mutex<Option<Process>>,
    dir: TempDir,
}

impl Cerbos {
    /// Starts one.
    pub async fn start() -> Self {
        let home = paths::root().join("tests/pdp");
        let program = home.join(PROGRAM);
        assert!(program.exists(), "Cerbos is missing: run `make test-faults`");
        let dir = tempfile::Builder::new().prefix("portcullis-cerbos-").tempdir().expect("a temporary directory");
        let policies = dir.path().join("policies");
        fs::create_dir(&policies).expect("a folder can be made");
        fs::copy(home.join("policies").join(POLICY), policies.join(POLICY)).expect("the policies can be copied");
        let (address, grpc) = (local(free_port()), local(free_port()));
        let mut command = Command::new(program);
        command.arg("server").current_dir(dir.path());
        for setting in [
            format!("server.httpListenAddr={address}"),
            format!("server.grpcListenAddr={grpc}"),
            "storage.driver=disk".to_owned(),
            format!("storage.disk.directory={}", policies.display()),
            "storage.disk.watchForChanges=true".to_owned(),
            "telemetry.disabled=true".to_owned(),
        ] {
            command.arg("--set").arg(setting);
        }
        let process = Mutex::new(Some(Process::start(&mut command, dir.path(), "cerbos")));
        let client = Client::new(address);
        until("Cerbos is ready", async || {
            process.lock().expect("not poisoned").as_mut().expect("it runs").must_live();
            let answer = client.get("/.well-known/authzen-configuration").try_send().await.ok()?;
            answer.status.is_success().then_some(())
        })
        .await;
        Self { address, process, dir }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes its policies, which it reads soon after.
    pub fn change(&self, from: &str, to: &str) {
        let path = self.dir.path().join("policies").join(POLICY);
        let text = fs::read_to_string(&path).expect("the policies can be read");
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replace(from, to)).expect("the policies can be written");
    }

    /// Ends it.
    pub fn kill(&self) {
        self.process.lock().expect("not poisoned").take();
    }
}
