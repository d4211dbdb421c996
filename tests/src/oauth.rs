//! A real authorization server: npm's oidc-provider, run by `tests/oauth/server.mjs`.

use crate::{
    Answer, Call, Client, base64, paths,
    process::{Process, free_port, local},
    wait::until,
};
use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr, process::Command, sync::Mutex};
use tempfile::TempDir;

/// The resource whose access tokens are JWTs.
pub const JWT: &str = "urn:jwt";
/// The resource whose access tokens are opaque.
pub const OPAQUE: &str = "urn:opaque";

/// The redirect URI of the client `web`. Nothing listens there.
const CALLBACK: &str = "https://app.example.com/callback";
/// From RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECTS_MAX: usize = 10;

/// A running authorization server.
pub struct OAuthServer {
    /// Its `iss`.
    pub issuer: String,
    /// Where it listens.
    pub address: SocketAddr,
    client: Client,
    _process: Mutex<Process>,
    _dir: TempDir,
}

/// The tokens that a client gets from a login.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
    /// The cookies that its browser has, after a login.
    cookies: BTreeMap<String, String>,
}

/// The secret of a client of `server.mjs`.
pub fn client_secret(client: &str) -> String {
    format!("secret-of-{client}-which-is-long-enough")
}

/// What a client of `server.mjs` presents as `authorization`.
pub fn client_authentication(client: &str) -> String {
    format!("Basic {}", base64(format!("{client}:{}", client_secret(client))))
}

impl OAuthServer {
    /// Starts one, with arguments that `server.mjs` explains.
    pub async fn start(arguments: &[&str]) -> Self {
        let home = paths::root().join("tests/oauth");
        assert!(home.join("node_modules").exists(), "its packages are missing: run `make test-faults`");
        let dir = tempfile::Builder::new().prefix("portcullis-oauth-").tempdir().expect("a temporary directory");
        let port = free_port();
        let mut command = Command::new("node");
        command.arg("server.mjs").arg(port.to_string()).args(arguments).current_dir(home);
        let process = Mutex::new(Process::start(&mut command, dir.path(), "oauth"));
        let address = local(port);
        let client = Client::new(address);
        until("the authorization server is ready", async || {
            process.lock().expect("not poisoned").must_live();
            let answer = client.get("/.well-known/openid-configuration").try_send().await.ok()?;
            answer.status.is_success().then_some(())
        })
        .await;
        Self { issuer: format!("http://{address}"), address, client, _process: process, _dir: dir }
    }

    /// An access token of the client `machine`, by its own credentials.
    pub async fn client_credentials(&self, resource: &str, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("resource", resource), ("scope", scope)];
        token(&self.post("/token", "machine", &form).await, "access_token")
    }

    /// The tokens of the client `web`, after a person has logged in and consented.
    pub async fn log_in(&self, login: &str, resource: &str, scope: &str) -> Grant {
        let (exchange, cookies) = self.authorize(login, resource, scope).await;
        Grant { cookies, ..Grant::read(&self.send("/token", "web", exchange).await) }
    }

    /// The form with which the client `web` gets its tokens, after a person has logged in and consented, and the cookies of the
    /// browser.
    pub async fn authorize(&self, login: &str, resource: &str, scope: &str) -> (String, BTreeMap<String, String>) {
        let scope = format!("openid offline_access {scope}");
        let query = [
            ("client_id", "web"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("resource", resource),
            ("scope", &scope),
            ("prompt", "consent"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let mut browser = Browser { client: &self.client, cookies: BTreeMap::new() };
        let login_page = browser.follow(&format!("/auth?{}", form(&query))).await;
        let credentials = form(&[("prompt", "login"), ("login", login), ("password", "any")]);
        let consent_page = browser.submit(&login_page, credentials).await;
        let callback = browser.submit(&consent_page, form(&[("prompt", "consent")])).await;
        let code = callback.split(['?', '&']).find_map(|part| part.strip_prefix("code="));
        let code = code.unwrap_or_else(|| panic!("no code in {callback}"));
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("resource", resource),
        ];
        (self::form(&form), browser.cookies)
    }

    /// The person of a login logs out in the browser.
    pub async fn log_out(&self, grant: &Grant) {
        let mut browser = Browser { client: &self.client, cookies: grant.cookies.clone() };
        let page = browser.send(self.client.get("/session/end")).await;
        let page = String::from_utf8_lossy(&page.status(200).body).into_owned();
        let secret = page.split("name=\"xsrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let secret = secret.unwrap_or_else(|| panic!("no secret in {page}"));
        browser.submit("/session/end/confirm", form(&[("xsrf", secret), ("logout", "yes")])).await;
    }

    /// New tokens of the same login.
    pub async fn refresh(&self, grant: &Grant, resource: &str) -> Grant {
        let form = [("grant_type", "refresh_token"), ("refresh_token", &grant.refresh), ("resource", resource)];
        Grant::read(&self.post("/token", "web", &form).await)
    }

    /// Revokes a token of a client (RFC 7009); panics if that fails.
    pub async fn revoke(&self, client: &str, token: &str) {
        self.post("/token/revocation", client, &[("token", token)]).await.status(200);
    }

    /// Signs with a new key from now on, and keeps publishing the old one if `keep` is true.
    pub async fn rotate(&self, keep: bool) {
        self.client.call("POST", if keep { "/rotate?keep" } else { "/rotate" }).await.status(204);
    }

    fn post(&self, path: &str, client: &str, fields: &[(&str, &str)]) -> Call {
        self.send(path, client, form(fields))
    }

    fn send(&self, path: &str, client: &str, form: String) -> Call {
        let call = self.client.call("POST", path).header("authorization", client_authentication(client));
        call.header("content-type", FORM).body(form)
    }
}

impl Grant {
    fn read(answer: &Answer) -> Self {
        let (access, refresh) = (token(answer, "access_token"), token(answer, "refresh_token"));
        Self { access, refresh, cookies: BTreeMap::new() }
    }
}

/// The type of forms.
pub const FORM: &str = "application/x-www-form-urlencoded";

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(fields).expect("text can be written as a form")
}

pub(crate) fn token(answer: &Answer, name: &str) -> String {
    let answer: Value = answer.status(200).json();
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned()
}

/// The parts of a browser that a login needs.
struct Browser<'a> {
    client: &'a Client,
    cookies: BTreeMap<String, String>,
}

impl Browser<'_> {
    /// Follows redirects; returns where they end: the path of a page, or the callback.
    async fn follow(&mut self, path: &str) -> String {
        let mut path = path.to_owned();
        for _ in 0..REDIRECTS_MAX {
            let answer = self.send(self.client.get(&path)).await;
            match self.redirected(&answer) {
                None => {
                    answer.status(200);
                    return path;
                }
                Some(callback) if callback.starts_with(CALLBACK) => return callback,
                Some(next) => path = next,
            }
        }
        panic!("more than {REDIRECTS_MAX} redirects, at last to {path}");
    }

    /// Submits the form of a page, and follows redirects.
    async fn submit(&mut self, page: &str, fields: String) -> String {
        let call = self.client.call("POST", page).header("content-type", FORM).body(fields);
        let answer = self.send(call).await;
        let next = self.redirected(&answer).unwrap_or_else(|| panic!("no redirect from {page}: {answer:?}"));
        self.follow(&next).await
    }

    async fn send(&mut self, call: Call) -> Answer {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = call.header("cookie", cookies.join("; ")).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().expect("a cookie is text");
            let pair = cookie.split(';').next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.expect("a cookie has a name and a value");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// Where an answer leads, without the origin of the server.
    fn redirected(&self, answer: &Answer) -> Option<String> {
        let to = answer.status.is_redirection().then(|| answer.header("location"))?;
        let origin = format!("http://{}", self.client.address());
        Some(to.strip_prefix(&origin).unwrap_or(to).to_owned())
    }
}
