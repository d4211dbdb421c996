//! `session.yaml`: read, then checked. A fault says where it is and what to do; all faults are reported at once.

mod raw;
#[cfg(test)]
mod tests;

use crate::access::{Access, AccessTypes, Growth, When};
use crate::credential::Credential;
use crate::intern::ScopeSet;
use crate::judge::Limits;
use crate::registry::Enrolment;
use raw::{Raw, RawAccess, RawCredential, RawEnrolment, RawGrowth, RawTls, RawWhen};
use rustls::ServerConfig;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Limits of the only access type when the configuration has none.
const DEFAULT_LIMITS: Limits = Limits { absolute_ms: Some(8 * 60 * 60 * 1000), idle_ms: Some(30 * 60 * 1000) };

/// A configuration that the service can start with.
#[derive(Debug)]
pub struct Settings {
    /// The address of the check listener.
    pub listen: SocketAddr,
    /// The address of the admin listener.
    pub admin: SocketAddr,
    /// What filters present; `None` admits any caller.
    pub filter_credential: Option<Credential>,
    /// What callers of the admin API present.
    pub admin_credential: Credential,
    /// The folder of the embedded store.
    pub store: PathBuf,
    /// Who opens sessions.
    pub enrolment: Enrolment,
    /// The access types.
    pub access: AccessTypes,
    /// TLS for the check listener. The admin listener has none: it belongs on a loopback address or behind a proxy.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Why a configuration is refused: one line for each fault.
#[derive(Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<String>);

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Faults {}

/// Reads a configuration file.
pub fn load(file: &Path) -> Result<Settings, Faults> {
    let name = |fault: &dyn std::fmt::Display| format!("{}: {fault}", file.display());
    let text = std::fs::read_to_string(file)
        .map_err(|e| Faults(vec![name(&format!("cannot read the configuration: {e}"))]))?;
    let env = |variable: &str| std::env::var(variable).ok();
    read(&text, &env).map_err(|faults| Faults(faults.0.iter().map(|fault| name(fault)).collect()))
}

/// Reads a configuration; `env` looks up environment variables.
pub fn read(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Faults> {
    let raw: Raw = serde_norway::from_str(text).map_err(|e| Faults(vec![e.to_string()]))?;
    let mut faults = Vec::new();
    let listen = address("listen", &raw.listen, &mut faults);
    let admin = address("admin", &raw.admin, &mut faults);
    let filter_credential =
        raw.filter_credential.map(|source| credential("filter_credential", &source, env, &mut faults));
    let admin_credential = credential("admin_credential", &raw.admin_credential, env, &mut faults);
    let access = access_types(raw.access, &mut faults);
    let tls = raw.tls.map(|files| tls(&files, &mut faults));
    if raw.store.embedded.path.is_empty() {
        faults.push("store.embedded.path: is empty: name a folder".to_owned());
    }
    match (listen, admin, admin_credential) {
        (Some(listen), Some(admin), Some(admin_credential)) if faults.is_empty() => Ok(Settings {
            listen,
            admin,
            filter_credential: filter_credential.flatten(),
            admin_credential,
            store: raw.store.embedded.path.into(),
            enrolment: match raw.enrolment {
                RawEnrolment::FirstUse => Enrolment::FirstUse,
                RawEnrolment::Explicit => Enrolment::Explicit,
            },
            access,
            tls: tls.flatten(),
        }),
        _ => Err(Faults(faults)),
    }
}

fn address(at: &str, text: &str, faults: &mut Vec<String>) -> Option<SocketAddr> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    if found.is_none() {
        faults.push(format!("{at}: `{text}` is not an address to listen on: use one like `127.0.0.1:7070`"));
    }
    found
}

fn credential(
    at: &str,
    source: &RawCredential,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> Option<Credential> {
    let secret = match (&source.env, &source.file) {
        (Some(variable), None) => env(variable)
            .filter(|secret| !secret.trim().is_empty())
            .ok_or_else(|| format!("{at}.env: the environment variable `{variable}` is not set or empty")),
        (None, Some(file)) => match std::fs::read_to_string(file) {
            Ok(secret) if !secret.trim().is_empty() => Ok(secret),
            Ok(_) => Err(format!("{at}.file: `{file}` is empty")),
            Err(e) => Err(format!("{at}.file: cannot read `{file}`: {e}")),
        },
        _ => Err(format!("{at}: needs either `env` or `file`")),
    };
    match secret {
        // Files end with a line break that is not part of the secret.
        Ok(secret) => Some(Credential::new(secret.trim())),
        Err(fault) => {
            faults.push(fault);
            None
        }
    }
}

fn tls(files: &RawTls, faults: &mut Vec<String>) -> Option<Arc<ServerConfig>> {
    let client_ca = files.client_ca.as_deref().map(Path::new);
    crate::listener::tls::server(Path::new(&files.cert), Path::new(&files.key), client_ca)
        .map_err(|fault| faults.push(format!("tls: {fault}")))
        .ok()
}

fn access_types(types: Option<Vec<RawAccess>>, faults: &mut Vec<String>) -> AccessTypes {
    let Some(types) = types else {
        let name = "default".to_owned();
        return AccessTypes::new([(
            When::default(),
            Access { name, limits: DEFAULT_LIMITS, growth: Growth::default() },
        )]);
    };
    if types.is_empty() {
        faults.push("access: is empty, so every session would be refused: leave it out or add a type".to_owned());
    }
    let mut checked: Vec<(When, Access)> = Vec::new();
    for (n, raw) in types.into_iter().enumerate() {
        let at = format!("access[{n}]");
        if raw.name.is_empty() {
            faults.push(format!("{at}.name: is empty"));
        }
        if checked.iter().any(|(_, access)| access.name == raw.name) {
            faults.push(format!("{at}.name: `{}` is used twice", raw.name));
        }
        let limits = Limits {
            absolute_ms: limit(&format!("{at}.absolute"), raw.absolute.as_deref(), faults),
            idle_ms: limit(&format!("{at}.idle"), raw.idle.as_deref(), faults),
        };
        let when = when(&at, raw.when.unwrap_or_default(), faults);
        let growth = match raw.growth {
            None => Growth::default(),
            Some(RawGrowth::Refuse) => Growth::Refuse,
            Some(RawGrowth::Allow) => Growth::Allow,
            Some(RawGrowth::Listed(scopes)) => Growth::Listed(ScopeSet::new(scopes)),
        };
        checked.push((when, Access { name: raw.name, limits, growth }));
    }
    AccessTypes::new(checked)
}

fn when(at: &str, raw: RawWhen, faults: &mut Vec<String>) -> When {
    let mut given = |key: &str, list: Option<Vec<String>>| {
        if list.as_ref().is_some_and(Vec::is_empty) {
            faults.push(format!("{at}.when.{key}: is empty, so the type never matches: leave it out or add an entry"));
        }
        list
    };
    When { scope: given("scope", raw.scope), client: given("client", raw.client), grant: given("grant", raw.grant) }
}

fn limit(at: &str, text: Option<&str>, faults: &mut Vec<String>) -> Option<u64> {
    let text = text?;
    match duration_ms(text) {
        Some(0) => faults.push(format!("{at}: `{text}` would end every session at once")),
        Some(ms) => return Some(ms),
        None => faults.push(format!("{at}: `{text}` is not a duration: use one like `200ms`, `30s`, `15m` or `8h`")),
    }
    None
}

/// A duration in milliseconds: a whole number and one of the units `ms`, `s`, `m`, `h`.
fn duration_ms(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}
