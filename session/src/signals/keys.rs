//! The keys of a transmitter, fetched when they are missing and now and then. The schedule is that of the filter's keys.

use super::answer::{Code, Refusal};
use super::transmitter::Signed;
use crate::clock::steady_ms;
use portcullis_contract::token::{FETCH_TIMEOUT_MS, KeyRing, KeySource, Miss, SignatureError, Statement, Unproven};
use rustls::crypto::ring;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::{info, warn};
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// The largest document that is fetched.
const BYTES_MAX: usize = 1 << 20;

/// How long fetched keys are used before they are fetched again.
const REFRESH: Duration = Duration::from_mins(10);

/// How long a signal waits for keys: longer than a fetch may take.
const WAIT_MAX: Duration = Duration::from_millis(FETCH_TIMEOUT_MS + 1_000);

/// A URL that can be fetched: `https`, or `http` on a loopback address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url(String);

impl Url {
    /// Reads one. The error says what is wrong.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let uri: ureq::http::Uri = text.parse().map_err(|_| format!("`{text}` is not a URL"))?;
        let host = uri.host().unwrap_or_default();
        let is_here = || {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        match uri.scheme_str() {
            Some("https") if !host.is_empty() => Ok(Self(text.to_owned())),
            Some("http") if is_here() => Ok(Self(text.to_owned())),
            Some("http") => Err(format!("`{text}` is not encrypted: `http` is for loopback addresses only")),
            _ => Err(format!("`{text}` is not an `https` URL")),
        }
    }
}

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeysAt {
    /// In the configuration: a JWK Set as JSON.
    Inline(String),
    /// A JWK Set.
    Jwks(Url),
    /// The `jwks_uri` of a transmitter's configuration (Shared Signals Framework 1.0, section 7.1).
    Discovery(Url),
}

/// Keys as they are configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeySettings {
    /// Where they are.
    pub(crate) at: KeysAt,
    /// A PEM file with the certificates that servers are checked against; without it, the system's.
    pub(crate) ca: Option<PathBuf>,
}

impl KeySettings {
    /// How servers are verified; none where nothing is fetched over TLS.
    fn tls(&self) -> Result<Option<TlsConfig>, String> {
        match &self.at {
            KeysAt::Inline(_) => Ok(None),
            // What is found on this machine may lead elsewhere.
            KeysAt::Jwks(url) | KeysAt::Discovery(url) => tls(self.ca.as_ref(), url.0.starts_with("http:")).map(Some),
        }
    }
}

/// What is used of a transmitter's configuration.
#[derive(Debug, Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    critical_subject_members: Vec<String>,
}

/// The keys of one transmitter.
#[derive(Debug)]
pub(crate) struct Keys {
    transmitter: String,
    issuer: String,
    at: KeysAt,
    agent: Agent,
    ring: RwLock<KeyRing>,
    /// Members of subjects that its configuration calls critical.
    critical: Mutex<Vec<String>>,
    /// Moves with every fetch that has ended.
    fetched: watch::Sender<u64>,
    blocking: Handle,
}

impl Keys {
    /// Whether keys can be used or fetched, as far as that can be told without the network. The error says what is wrong.
    pub(crate) fn check(settings: &KeySettings) -> Result<(), String> {
        if let KeysAt::Inline(json) = &settings.at {
            KeyRing::new(&KeySource::Inline(json.clone())).map_err(|e| format!("inline: {e}"))?;
        }
        settings.tls().map(drop)
    }

    pub(super) fn new(transmitter: &str, signed: &Signed, blocking: Handle) -> Result<Self, String> {
        let KeySettings { at, .. } = &signed.keys;
        let source = match at {
            KeysAt::Inline(json) => KeySource::Inline(json.clone()),
            // Only the schedule is the ring's.
            KeysAt::Jwks(_) | KeysAt::Discovery(_) => KeySource::Remote {
                authority: String::new(),
                path: String::new(),
                https: true,
                cluster: String::new(),
                refresh: REFRESH,
            },
        };
        let tls = signed.keys.tls()?;
        Ok(Self {
            transmitter: transmitter.to_owned(),
            issuer: signed.demands.issuer.clone(),
            at: at.clone(),
            agent: agent(tls),
            ring: RwLock::new(KeyRing::new(&source).map_err(|e| e.to_string())?),
            critical: Mutex::default(),
            fetched: watch::Sender::new(0),
            blocking,
        })
    }

    /// What a key of the transmitter has signed. Waits for a fetch where the key is missing.
    pub(super) async fn verified(self: &Arc<Self>, unproven: &Unproven<'_>) -> Result<Statement, Refusal> {
        let mut fetched = self.fetched.subscribe();
        let deadline = tokio::time::Instant::now() + WAIT_MAX;
        loop {
            fetched.mark_unchanged();
            let why = match self.by_held_keys(unproven) {
                Ok(statement) => return Ok(statement),
                Err(why) => why,
            };
            let miss = self.write().missing(Some(unproven.key()), steady_ms());
            match miss {
                Miss::Fetch => self.fetch(),
                Miss::Wait => {}
                Miss::Reject => return Err(self.refusal(why)),
            }
            if tokio::time::timeout_at(deadline, fetched.changed()).await.is_err() {
                return Err(self.refusal(why));
            }
        }
    }

    /// What it is signed with is among the keys, or not; `None`: there are no keys at all.
    fn by_held_keys(&self, unproven: &Unproven<'_>) -> Result<Statement, Option<SignatureError>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let keys = ring.keys().ok_or(None)?;
        unproven.verify(keys, |_| None).cloned().map_err(Some)
    }

    /// A signal must not be lost because its transmitter's keys could not be fetched.
    fn refusal(&self, why: Option<SignatureError>) -> Refusal {
        let is_failing = self.ring.read().unwrap_or_else(PoisonError::into_inner).is_failing();
        match why {
            _ if is_failing => Refusal::unavailable("the transmitter's keys cannot be fetched"),
            None => Refusal::unavailable("the transmitter's keys are not here yet"),
            Some(SignatureError::UnknownKey) => Refusal::new(Code::InvalidKey, "no key of the transmitter matches"),
            Some(SignatureError::KeyAlgorithm) => {
                Refusal::new(Code::InvalidKey, "the key that `kid` names cannot be used with `alg`")
            }
            Some(SignatureError::Signature) => Refusal::new(Code::InvalidKey, "the signature is invalid"),
        }
    }

    /// Fetches the keys if that is due.
    pub(super) fn refresh(self: &Arc<Self>) {
        let is_due = self.write().due(steady_ms());
        if is_due {
            self.fetch();
        }
    }

    /// Whether the last fetch has failed.
    pub(super) fn are_failing(&self) -> bool {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).is_failing()
    }

    /// Members of subjects that its configuration calls critical.
    pub(super) fn critical(&self) -> Vec<String> {
        self.critical.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, KeyRing> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch(self: &Arc<Self>) {
        let keys = Arc::clone(self);
        self.blocking.spawn_blocking(move || {
            keys.fetch_now();
            keys.fetched.send_modify(|count| *count += 1);
        });
    }

    fn fetch_now(&self) {
        let transmitter = &*self.transmitter;
        let set = match &self.at {
            KeysAt::Inline(_) => return,
            KeysAt::Jwks(url) => self.get(url),
            KeysAt::Discovery(url) => self.discover(url).and_then(|jwks| self.get(&jwks)),
        };
        let now_ms = steady_ms();
        let set = match set {
            Ok(set) => set,
            Err(error) => {
                warn!(transmitter, error, "cannot fetch the keys of a transmitter");
                return self.write().failed(now_ms);
            }
        };
        // The lock is free before anything is written to the log.
        let taken = self.write().fetched(200, &set, BYTES_MAX, now_ms);
        match taken {
            Ok(_) => info!(transmitter, "fetched the keys of a transmitter"),
            Err(error) => warn!(transmitter, %error, "cannot use the keys of a transmitter"),
        }
    }

    fn discover(&self, url: &Url) -> Result<Url, String> {
        let bytes = self.get(url)?;
        let found: Discovered = serde_json::from_slice(&bytes)
            .map_err(|e| format!("{}: is not a transmitter's configuration: {e}", url.0))?;
        if found.issuer != self.issuer {
            return Err(format!("{}: its `issuer` is not the one that is configured", url.0));
        }
        *self.critical.lock().unwrap_or_else(PoisonError::into_inner) = found.critical_subject_members;
        Url::read(&found.jwks_uri).map_err(|fault| format!("{}: `jwks_uri`: {fault}", url.0))
    }

    fn get(&self, Url(url): &Url) -> Result<Vec<u8>, String> {
        let failed = |what: &dyn std::fmt::Display| format!("{url}: {what}");
        let mut response = self.agent.get(url).call().map_err(|e| failed(&e))?;
        if response.status() != 200 {
            return Err(failed(&format_args!("it answered {}", response.status().as_u16())));
        }
        response.body_mut().with_config().limit(BYTES_MAX as u64).read_to_vec().map_err(|e| failed(&e))
    }
}

fn agent(tls: Option<TlsConfig>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A redirect could lead into the network of this service.
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(Duration::from_millis(FETCH_TIMEOUT_MS)))
        .user_agent(concat!("portcullis-session/", env!("CARGO_PKG_VERSION")));
    match tls {
        None => config.build().into(),
        Some(tls) => config.tls_config(tls).build().into(),
    }
}

/// Without root certificates no server can be verified: an error, unless none has to be at first.
fn tls(ca: Option<&PathBuf>, is_plain: bool) -> Result<TlsConfig, String> {
    let roots = match ca {
        Some(file) => {
            let pem = std::fs::read(file).map_err(|e| format!("ca: cannot read `{}`: {e}", file.display()))?;
            let certificates: Vec<_> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(format!("ca: no certificate in `{}`", file.display()));
            }
            certificates
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() && !is_plain {
                return Err("the system has no root certificates: name a file of them as `ca`".to_owned());
            }
            found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
        }
    };
    let provider = Arc::new(ring::default_provider());
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    Ok(builder.root_certs(RootCerts::Specific(Arc::new(roots))).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_encrypted_or_on_this_machine_is_fetched() {
        for url in ["https://id.example.com/jwks", "http://127.0.0.1:9/jwks", "http://[::1]/x", "http://localhost/x"] {
            assert!(Url::read(url).is_ok(), "{url}");
        }
        for url in
            ["http://id.example.com/jwks", "http://10.0.0.1/", "id.example.com", "/jwks", "file:///etc/passwd", ""]
        {
            assert!(Url::read(url).is_err(), "{url}");
        }
    }
}
