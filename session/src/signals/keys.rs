//! The keys of a transmitter or an issuer, fetched when they are missing and now and then. The schedule is that of the filter's keys.

use super::outbound::{BYTES_MAX, Caller, Url, apart, tls};
use crate::clock::steady_ms;
use portcullis_contract::token::{FETCH_TIMEOUT_MS, KeyName, KeyRing, KeySet, KeySource, Miss, SignatureError};
use serde::Deserialize;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};
use ureq::tls::TlsConfig;

/// How long a document may take: a transmitter's configuration and its keys are fetched one after the other.
const FETCH_MAX: Duration = Duration::from_millis(FETCH_TIMEOUT_MS / 2);

/// How long fetched keys are used before they are fetched again.
const REFRESH: Duration = Duration::from_mins(10);

/// How long a signal waits for keys: longer than a fetch may take.
const WAIT_MAX: Duration = Duration::from_millis(FETCH_TIMEOUT_MS + 1_000);

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
    /// How servers are verified where keys are fetched, or tokens at `polled`; none where nothing is called.
    pub(crate) fn tls(&self, polled: Option<&Url>) -> Result<Option<TlsConfig>, String> {
        let keys = match &self.at {
            KeysAt::Inline(_) => None,
            KeysAt::Jwks(url) | KeysAt::Discovery(url) => Some(url),
        };
        let called: Vec<&Url> = keys.into_iter().chain(polled).collect();
        if called.is_empty() {
            return Ok(None);
        }
        // Also where all of it is on this machine: what is found there may lead elsewhere.
        tls(self.ca.as_ref(), called.iter().all(|url| url.is_plain())).map(Some)
    }
}

/// Why nothing is known to be signed by one of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unverified {
    /// The keys did not arrive in time.
    Late,
    /// They cannot be fetched: what they would say now is not known.
    Failing,
    /// They have not been fetched yet.
    NoKeys,
    /// None of them has signed it.
    Refused(SignatureError),
}

/// What is used of a transmitter's configuration.
#[derive(Debug, Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    critical_subject_members: Vec<String>,
    configuration_endpoint: Option<String>,
    status_endpoint: Option<String>,
    verification_endpoint: Option<String>,
}

/// Where streams are managed (Shared Signals Framework 1.0, section 7.1).
#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    pub(super) configuration: Url,
    pub(super) status: Option<Url>,
    pub(super) verification: Option<Url>,
}

/// The keys of one transmitter or issuer.
#[derive(Debug)]
pub(crate) struct Keys {
    owner: String,
    issuer: String,
    at: KeysAt,
    caller: Caller,
    ring: RwLock<KeyRing>,
    /// What its configuration has said, if it is known.
    discovered: Mutex<Option<Discovered>>,
    /// Moves with every fetch that has ended.
    fetched: watch::Sender<u64>,
}

impl Keys {
    /// Whether keys can be used or fetched, as far as that can be told without the network. The error says what is wrong.
    pub(crate) fn check(settings: &KeySettings, polled: Option<&Url>) -> Result<(), String> {
        if let KeysAt::Inline(json) = &settings.at {
            KeyRing::new(&KeySource::Inline(json.clone())).map_err(|e| format!("inline: {e}"))?;
        }
        settings.tls(polled).map(drop)
    }

    /// The keys of `owner`, as the log names it. A configuration that is discovered must name `issuer`.
    pub(crate) fn new(owner: &str, issuer: &str, at: &KeysAt, caller: Caller) -> Result<Self, String> {
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
        let ring = KeyRing::new(&source).map_err(|e| e.to_string())?;
        Ok(Self {
            owner: owner.to_owned(),
            issuer: issuer.to_owned(),
            at: at.clone(),
            caller,
            ring: RwLock::new(ring.spread(RandomState::new().hash_one(owner))),
            discovered: Mutex::default(),
            fetched: watch::Sender::new(0),
        })
    }

    /// What `verify` finds that one of the keys has signed. Waits for a fetch where the key `name` is missing.
    pub(crate) async fn verified<T>(
        self: &Arc<Self>,
        name: KeyName,
        verify: impl Fn(&KeySet) -> Result<T, SignatureError>,
    ) -> Result<T, Unverified> {
        let mut fetched = self.fetched.subscribe();
        let deadline = tokio::time::Instant::now() + WAIT_MAX;
        loop {
            fetched.mark_unchanged();
            if let Ok(verified) = self.by_held_keys(&verify) {
                return Ok(verified);
            }
            let miss = self.write().missing(Some(name), steady_ms());
            match miss {
                Miss::Fetch => self.fetch(),
                Miss::Wait => {}
                // A fetch may have ended between the two looks at the keys.
                Miss::Reject => return self.by_held_keys(&verify).map_err(|why| self.unverified(why)),
            }
            if tokio::time::timeout_at(deadline, fetched.changed()).await.is_err() {
                return Err(Unverified::Late);
            }
        }
    }

    /// What it is signed with is among the keys, or not; `None`: there are no keys at all.
    fn by_held_keys<T>(
        &self,
        verify: impl Fn(&KeySet) -> Result<T, SignatureError>,
    ) -> Result<T, Option<SignatureError>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let keys = ring.keys().ok_or(None)?;
        verify(keys).map_err(Some)
    }

    fn unverified(&self, why: Option<SignatureError>) -> Unverified {
        let is_failing = self.ring.read().unwrap_or_else(PoisonError::into_inner).is_failing();
        match why {
            _ if is_failing => Unverified::Failing,
            None => Unverified::NoKeys,
            Some(error) => Unverified::Refused(error),
        }
    }

    /// Fetches the keys if that is due.
    pub(crate) fn refresh(self: &Arc<Self>) {
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
        self.discovered().as_ref().map(|found| found.critical_subject_members.clone()).unwrap_or_default()
    }

    /// Where its streams are configured.
    pub(super) fn configuration_endpoint(&self) -> Option<Url> {
        self.endpoints().map(|endpoints| endpoints.configuration)
    }

    /// Where its streams are managed.
    pub(super) fn endpoints(&self) -> Option<Endpoints> {
        let KeysAt::Discovery(document) = &self.at else { return None };
        let discovered = self.discovered();
        let found = discovered.as_ref()?;
        let named = |endpoint: &Option<String>| document.names(endpoint.as_ref()?);
        Some(Endpoints {
            configuration: named(&found.configuration_endpoint)?,
            status: named(&found.status_endpoint),
            verification: named(&found.verification_endpoint),
        })
    }

    /// Whether its configuration is here.
    pub(super) fn are_discovered(&self) -> bool {
        self.discovered().is_some()
    }

    /// Waits for its configuration, until a fetch has ended or for as long as that.
    pub(super) async fn discovered_within(&self, at_most: Duration) {
        let mut fetched = self.fetched.subscribe();
        if !self.are_discovered() {
            drop(tokio::time::timeout(at_most, fetched.changed()).await);
        }
    }

    fn discovered(&self) -> MutexGuard<'_, Option<Discovered>> {
        self.discovered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, KeyRing> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch(self: &Arc<Self>) {
        let keys = Arc::clone(self);
        let started = apart(move || {
            keys.fetch_now();
            keys.fetched.send_modify(|count| *count += 1);
        });
        if started.is_err() {
            self.write().failed(steady_ms());
            self.fetched.send_modify(|count| *count += 1);
        }
    }

    fn fetch_now(&self) {
        let owner = &*self.owner;
        let set = match &self.at {
            KeysAt::Inline(_) => return,
            KeysAt::Jwks(url) => self.get(url),
            KeysAt::Discovery(url) => self.discover(url).and_then(|jwks| self.get(&jwks)),
        };
        let now_ms = steady_ms();
        let set = match set {
            Ok(set) => set,
            Err(error) => {
                warn!(owner, error, "cannot fetch keys");
                return self.write().failed(now_ms);
            }
        };
        // The lock is free before anything is written to the log.
        let taken = self.write().fetched(200, &set, BYTES_MAX, now_ms);
        match taken {
            Ok(_) => info!(owner, "fetched keys"),
            Err(error) => warn!(owner, %error, "cannot use keys"),
        }
    }

    fn discover(&self, url: &Url) -> Result<Url, String> {
        let bytes = self.get(url)?;
        let found: Discovered = serde_json::from_slice(&bytes)
            .map_err(|_| format!("{}: is not a configuration with `issuer` and `jwks_uri`", url.0))?;
        if found.issuer != self.issuer {
            return Err(format!("{}: its `issuer` is not the one that is configured", url.0));
        }
        let keys = Url::read(&found.jwks_uri).ok().filter(|keys| url.is_plain() || !keys.is_plain());
        let keys = keys.ok_or_else(|| format!("{}: its `jwks_uri` is not an `https` URL", url.0))?;
        *self.discovered() = Some(found);
        Ok(keys)
    }

    fn get(&self, url: &Url) -> Result<Vec<u8>, String> {
        self.caller.get(url, None, FETCH_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_verified_wherever_one_is_called() {
        let url = |text: &str| Url::read(text).unwrap();
        let of = |at| KeySettings { at, ca: None };
        let inline = || of(KeysAt::Inline(String::new()));
        assert!(inline().tls(None).unwrap().is_none());
        assert!(inline().tls(Some(&url("http://127.0.0.1/poll"))).unwrap().is_some());
        assert!(of(KeysAt::Discovery(url("http://127.0.0.1/ssf"))).tls(None).unwrap().is_some());
        let missing = KeySettings { ca: Some("/none".into()), ..inline() };
        assert!(missing.tls(Some(&url("https://id/poll"))).is_err(), "an authority that cannot be read");
    }
}
