//! A third real authorization server: django-oauth-toolkit, run by `tests/oauth-toolkit/server.py`. Its tokens are opaque, and
//! its introspection says no more than `active`, `scope`, `exp` and `client_id`: no `iss`, `aud`, `sub` or `iat`.

use crate::{
    Call, Client, base64,
    oauth::{FORM, client_secret, form, token},
    paths,
    process::{Process, free_port, local},
    wait::until,
};
use std::{net::SocketAddr, process::Command, sync::Mutex};
use tempfile::TempDir;

/// A running server, with the clients `machine`, `stranger` and `gateway`.
pub struct OAuthToolkit {
    /// Where it listens.
    pub address: SocketAddr,
    client: Client,
    _process: Mutex<Process>,
    _dir: TempDir,
}

impl OAuthToolkit {
    /// Starts one.
    pub async fn start() -> Self {
        let packages = paths::root().join("dist/oauth-toolkit");
        assert!(packages.exists(), "django-oauth-toolkit is missing: run `make test-faults`");
        let dir = tempfile::Builder::new().prefix("portcullis-toolkit-").tempdir().expect("a temporary directory");
        let address = local(free_port());
        let mut command = Command::new("python3");
        command.arg(paths::root().join("tests/oauth-toolkit/server.py"));
        command.arg(address.to_string()).arg(dir.path().join("db.sqlite3")).env("PYTHONPATH", packages);
        command.args(["machine", "stranger", "gateway"].map(|client| format!("{client}:{}", client_secret(client))));
        let process = Mutex::new(Process::start(&mut command, dir.path(), "oauth-toolkit"));
        let client = Client::new(address);
        until("django-oauth-toolkit is ready", async || {
            process.lock().expect("not poisoned").must_live();
            client.get("/token/").try_send().await.ok().map(drop)
        })
        .await;
        Self { address, client, _process: process, _dir: dir }
    }

    /// An access token of a client, by its own credentials.
    pub async fn client_credentials(&self, client: &str, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        token(&self.post("token", client, &form).await, "access_token")
    }

    /// Revokes a token of a client (RFC 7009); panics if that fails.
    pub async fn revoke(&self, client: &str, token: &str) {
        self.post("revoke_token", client, &[("token", token)]).await.status(200);
    }

    fn post(&self, endpoint: &str, client: &str, fields: &[(&str, &str)]) -> Call {
        let credentials = base64(format!("{client}:{}", client_secret(client)));
        let call = self.client.call("POST", &format!("/{endpoint}/"));
        let call = call.header("authorization", format!("Basic {credentials}"));
        call.header("content-type", FORM).body(form(fields))
    }
}
