//! Another real authorization server: Debian's glewlwyd, configured through its REST API. It introspects JWTs, returns no
//! `iss` when it does, and accepts a token of its own as the caller's credential.

use crate::{
    Algorithm, Answer, Call, Client, Key, base64,
    oauth::{FORM, client_secret, form, token},
    paths,
    process::{Process, free_port, local},
    wait::until,
};
use serde_json::{Value, json};
use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};
use tempfile::TempDir;

/// The resource that a token with `orders:read` may be for.
pub const ORDERS: &str = "https://orders.example.com";
/// Another such resource.
pub const PAYMENTS: &str = "https://payments.example.com";
/// The scope of the token by which `gateway` may introspect any other.
const INTROSPECTION: &str = "introspection";

/// The database that Debian's package creates: the default modules, and the user `admin` with the password `password`.
const SCHEMA: &str = "usr/share/dbconfig-common/data/glewlwyd/install/sqlite3";

/// A running glewlwyd, with the clients `machine` and `gateway`.
pub struct Glewlwyd {
    /// Its `iss`.
    pub issuer: String,
    /// Where it listens.
    pub address: SocketAddr,
    client: Client,
    _process: Mutex<Process>,
    _dir: TempDir,
}

impl Glewlwyd {
    /// Starts one.
    pub async fn start() -> Self {
        let root = root();
        let dir = tempfile::Builder::new().prefix("portcullis-glewlwyd-").tempdir().expect("a temporary directory");
        let address = local(free_port());
        let config = configure(&root, dir.path(), address);
        let mut command = program(&root, "glewlwyd");
        command.arg("--config-file").arg(config);
        let process = Mutex::new(Process::start(&mut command, dir.path(), "glewlwyd"));
        let client = Client::new(address);
        until("glewlwyd is ready", async || {
            process.lock().expect("not poisoned").must_live();
            client.get("/config").try_send().await.ok().map(drop)
        })
        .await;
        let server = Self { issuer: format!("http://{address}"), address, client, _process: process, _dir: dir };
        server.set_up().await;
        server
    }

    /// An access token of the client `machine`, by its own credentials, with `orders:read` and for a resource.
    pub async fn client_credentials(&self, resource: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("resource", resource), ("scope", "orders:read")];
        token(&self.post("token", "machine", &form).await, "access_token")
    }

    /// The credential by which `gateway` may introspect every token: a token of its own.
    pub async fn gateway_token(&self) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", INTROSPECTION)];
        token(&self.post("token", "gateway", &form).await, "access_token")
    }

    /// Revokes a token of a client (RFC 7009); panics if that fails.
    pub async fn revoke(&self, client: &str, token: &str) {
        self.post("revoke", client, &[("token", token)]).await.status(200);
    }

    fn post(&self, endpoint: &str, client: &str, fields: &[(&str, &str)]) -> Call {
        let credentials = base64(format!("{client}:{}", client_secret(client)));
        let call = self.client.call("POST", &format!("/api/oidc/{endpoint}"));
        let call = call.header("authorization", format!("Basic {credentials}"));
        call.header("content-type", FORM).body(form(fields))
    }

    /// Configures what an administrator would on glewlwyd's pages.
    async fn set_up(&self) {
        let login = json!({"username": "admin", "password": "password"});
        let session = cookie(self.client.call("POST", "/api/auth/").json(&login).await.status(200));
        let create = async |what: &str, value: &Value| {
            let call = self.client.call("POST", &format!("/api/{what}/")).header("cookie", &session);
            call.json(value).await.status(200);
        };
        for scope in ["orders:read", INTROSPECTION] {
            create("scope", &json!({"name": scope, "password_required": false, "scheme": {}})).await;
        }
        for (client, scope) in [("machine", "orders:read"), ("gateway", INTROSPECTION)] {
            let client = json!({
                "client_id": client, "client_secret": client_secret(client), "confidential": true, "enabled": true,
                "authorization_type": ["client_credentials"], "token_endpoint_auth_method": ["client_secret_basic"],
                "scope": [scope], "redirect_uri": [],
            });
            create("client", &client).await;
        }
        create("mod/plugin", &self.plugin()).await;
    }

    /// Its OpenID Connect plugin, at `/api/oidc/`.
    fn plugin(&self) -> Value {
        let key = Key::new(Algorithm::ES256);
        let (private, public) = key.pem();
        json!({"module": "oidc", "name": "oidc", "display_name": "OpenID Connect", "parameters": {
            "iss": self.issuer,
            "jwt-type": "ecdsa", "jwt-key-size": "256", "key": private, "cert": public, "jwks-show": true,
            "access-token-duration": 3600, "refresh-token-duration": 86400, "code-duration": 600,
            "allow-non-oidc": true, "auth-type-client-enabled": true,
            "introspection-revocation-allowed": true,
            "introspection-revocation-allow-target-client": true,
            "introspection-revocation-auth-scope": [INTROSPECTION],
            "resource-allowed": true, "resource-scope": {"orders:read": [ORDERS, PAYMENTS]},
        }})
    }
}

/// Where the packages are unpacked: by `tests/glewlwyd.sh`, or installed.
fn root() -> PathBuf {
    let roots = [paths::root().join("dist/glewlwyd"), PathBuf::from("/")];
    let root = roots.into_iter().find(|root| root.join(SCHEMA).exists());
    root.expect("Debian's glewlwyd is missing: run `make test-faults`")
}

/// A program of the packages, or one that was installed before, with the libraries of the packages.
fn program(root: &Path, name: &str) -> Command {
    let unpacked = root.join("usr/bin").join(name);
    let mut command = if unpacked.exists() { Command::new(unpacked) } else { Command::new(name) };
    if root != Path::new("/") {
        let entries = ["lib", "usr/lib"].into_iter().filter_map(|lib| root.join(lib).read_dir().ok()).flatten();
        // Such as `x86_64-linux-gnu`.
        let libraries = entries.map(|entry| entry.expect("a directory can be read").path());
        let libraries = libraries.filter(|path| path.to_string_lossy().contains("-linux-gnu"));
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).expect("no path has a colon"));
    }
    command
}

/// Makes the database; returns the file with the configuration.
fn configure(root: &Path, dir: &Path, address: SocketAddr) -> PathBuf {
    let database = dir.join("glewlwyd.db");
    let schema = File::open(root.join(SCHEMA)).expect("the schema can be read");
    let made = program(root, "sqlite3").arg(&database).stdin(Stdio::from(schema)).status();
    assert!(made.expect("sqlite3 comes with glewlwyd").success(), "the database is made");
    // TLS stays off, but it wants to be told about the files.
    let config = format!(
        r#"port = {port}
bind_address = "{ip}"
external_url = "http://{address}"
login_url = "login.html"
api_prefix = "api"
log_mode = "console"
log_level = "WARNING"
cookie_secure = 0
session_expiration = 3600
session_key = "GLEWLWYD2_SESSION_ID"
admin_session_authentication = "cookie"
profile_session_authentication = "cookie"
login_api_enabled = true
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "{modules}/user"
client_module_path = "{modules}/client"
user_auth_scheme_module_path = "{modules}/scheme"
plugin_module_path = "{modules}/plugin"
use_secure_connection = false
secure_connection_key_file = "none"
secure_connection_pem_file = "none"
hash_algorithm = "SHA512"
database = {{ type = "sqlite3"; path = "{database}"; }};
"#,
        modules = root.join("usr/lib/glewlwyd").display(),
        port = address.port(),
        ip = address.ip(),
        database = database.display(),
    );
    let file = dir.join("glewlwyd.conf");
    std::fs::write(&file, config).expect("a temporary file can be written");
    file
}

/// The cookie that an answer sets.
fn cookie(answer: &Answer) -> String {
    let pair = answer.header("set-cookie").split(';').next().unwrap_or_default();
    assert!(pair.contains('='), "no cookie in {answer:?}");
    pair.to_owned()
}
