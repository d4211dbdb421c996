//! `session.yaml`: read, then checked. A fault says where it is and what to do; all faults are reported at once.

mod access;
mod admins;
mod approvals;
mod audit;
mod conditions;
mod credential_files;
mod credentials;
mod otlp;
mod pdp;
mod places;
mod raw;
mod reload;
mod shape;
mod signals;
mod signing;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod tokens;
mod webhooks;

use crate::access::AccessTypes;
use crate::admins::{Admins, MetricsAccess};
use crate::anomalies;
use crate::approvals::Rules;
use crate::audit_log::AuditFile;
use crate::conditions::ConditionSettings;
use crate::credential::Credentials;
use crate::geoip::GeoIp;
use crate::listener::Tls;
use crate::minting::SigningKeys;
use crate::pdp::PdpSettings;
use crate::registry::{Enrolment, UndatedLogins};
use crate::signals::TransmitterSettings;
use crate::store::postgres::Target;
use crate::store::redis;
use crate::tokens::TokenSettings;
use crate::usage::DAY_MS;
use crate::webhooks::WebhookSettings;
pub(crate) use access::{duration_ms, duration_text};
pub use credential_files::CredentialFiles;
use raw::{RawEnrolment, RawRetention, RawTls, RawUndatedLogins, RawUsage};
pub use reload::{Reload, Reloadable, reload};
use sha2::{Digest, Sha256};
use shape::Shaped;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub use store::{SCHEMA, Sharing, StoreSettings};
use tracing::warn;

/// The shortest retention.
const RETENTION_MS_MIN: u64 = 24 * 60 * 60 * 1000;

/// A configuration that the service can start with. Clones share what a reload changes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address of the check listener.
    pub listen: SocketAddr,
    /// The address of the admin listener.
    pub admin: SocketAddr,
    /// What filters present; `None` admits any caller.
    pub filter_credential: Reloadable<Option<Credentials>>,
    /// Who may call the admin API.
    pub admins: Reloadable<Admins>,
    /// Who may read the metrics.
    pub metrics: Reloadable<MetricsAccess>,
    /// The files that credentials are read from.
    pub(crate) credential_files: Reloadable<Vec<PathBuf>>,
    /// Where the sessions are kept.
    pub store: StoreSettings,
    /// Who opens sessions.
    pub enrolment: Enrolment,
    /// What becomes of logins that nothing tells apart.
    pub undated_logins: UndatedLogins,
    /// For how long ended sessions and revocations are kept, in milliseconds.
    pub retention_ms: u64,
    /// For how long counts of what is used are kept, in milliseconds.
    pub usage_retained_ms: u64,
    /// The access types.
    pub access: AccessTypes,
    /// TLS for the check listener.
    pub tls: Reloadable<Option<Tls>>,
    /// TLS for the admin listener.
    pub admin_tls: Reloadable<Option<Tls>>,
    /// The address of the signals listener, if there is one.
    pub signals_listen: Option<SocketAddr>,
    /// TLS for the signals listener.
    pub signals_tls: Reloadable<Option<Tls>>,
    /// Who sends signals.
    pub(crate) signals: Vec<TransmitterSettings>,
    /// The rules by which access is approved.
    pub approvals: Reloadable<Arc<Rules>>,
    /// Where people reach requests for access.
    pub external_url: Option<String>,
    /// Who is told about requests for access.
    pub webhooks: Vec<WebhookSettings>,
    /// The audit log as a file, if it is one.
    pub audit: Option<AuditFile>,
    /// The databases of places, in order.
    pub geoip: Vec<PathBuf>,
    /// What is unusual about sessions, if that is looked for.
    pub anomalies: Option<anomalies::Settings>,
    /// The conditions, if there are any.
    pub conditions: Reloadable<Option<ConditionSettings>>,
    /// Another decision point that decides about some routes, if there is one.
    pub pdp: Option<PdpSettings>,
    /// The keys that sign tokens for upstreams, if there are any.
    pub signing: Reloadable<Option<Arc<SigningKeys>>>,
    /// The token endpoint, if there is one.
    pub tokens: Option<TokenSettings>,
    /// The address of a listener of its own, if it has one.
    pub tokens_listen: Option<SocketAddr>,
    /// TLS for that listener.
    pub tokens_tls: Reloadable<Option<Tls>>,
    /// What the configuration says and is perhaps not meant.
    pub warnings: Vec<String>,
    /// SHA-256 of the configuration's text, lower-case hex.
    pub digest: String,
}

impl Settings {
    /// Says in the log who can do what without being asked for anything, and what is perhaps not meant.
    pub(crate) fn warn_of_open_doors(&self) {
        for door in self.open_doors() {
            warn!("{door}");
        }
        for warning in &self.warnings {
            warn!("{warning}");
        }
    }

    fn open_doors(&self) -> Vec<&'static str> {
        let filters =
            "no filter_credential: anyone who can reach the check listener can submit checks and open sessions";
        let admin = "the admin listener has no TLS and is not on a loopback address: keep its network private";
        let is_private = self.admin.ip().is_loopback() || self.admin_tls.read().is_some();
        let undated = "undated_logins: reopen: a refreshed token with neither a session claim nor auth_time opens its \
                       session again after every limit, and after a revocation once revoked_for has passed";
        let reopens = self.undated_logins != UndatedLogins::Refuse;
        let database = "the database is on another machine and reached without TLS: sessions and its password cross the \
                        network in plain text: set store.postgres.ca or store.redis.ca";
        let is_open = match &self.store {
            StoreSettings::Embedded(_) => false,
            StoreSettings::Postgres(source, _) => Target::read(source).is_ok_and(|target| target.is_open()),
            StoreSettings::Redis(source, _) => redis::Target::read(source).is_ok_and(|target| target.is_open()),
        };
        let signals = "the signals listener has no TLS and is not on a loopback address: whoever reads its network can replay \
                       logout tokens and credentials of transmitters";
        let are_signals_open =
            self.signals_listen.is_some_and(|listen| !listen.ip().is_loopback()) && self.signals_tls.read().is_none();
        let tokens = "the token endpoint has no TLS and is not on a loopback address: let a proxy in front of it have TLS, and keep \
                      the network between them private";
        let (tokens_at, tokens_tls) = match self.tokens_listen {
            Some(own) => (own, &self.tokens_tls),
            None => (self.listen, &self.tls),
        };
        let are_tokens_open = self.tokens.is_some() && !tokens_at.ip().is_loopback() && tokens_tls.read().is_none();
        let metrics = "metrics: open: anyone who can reach the admin listener can read the metrics";
        let doors = [
            (metrics, *self.metrics.read() == MetricsAccess::Open),
            (signals, are_signals_open),
            (tokens, are_tokens_open),
            (filters, self.filter_credential.read().is_none()),
            (admin, !is_private),
            (undated, reopens),
            (database, is_open),
        ];
        doors.into_iter().filter(|(_, is_open)| *is_open).map(|(door, _)| door).collect()
    }
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

/// Reads a configuration file, and sees whether the databases that it names can be used.
pub fn load(file: &Path) -> Result<Settings, Faults> {
    let settings = load_again(file)?;
    let named = |fault: String| format!("{}: geoip.database: {fault}", file.display());
    match GeoIp::open(&settings.geoip) {
        Ok(_) => Ok(settings),
        Err(faults) => Err(Faults(faults.into_iter().map(named).collect())),
    }
}

/// Reads a configuration file. Of its databases, a running service finds out by itself when they are replaced, and what is
/// wrong with one must not keep a new credential from being read.
fn load_again(file: &Path) -> Result<Settings, Faults> {
    let name = |fault: &dyn std::fmt::Display| format!("{}: {fault}", file.display());
    let text = std::fs::read_to_string(file)
        .map_err(|e| Faults(vec![name(&format!("cannot read the configuration: {e}"))]))?;
    let env = |variable: &str| std::env::var(variable).ok();
    read(&text, &env).map_err(|faults| Faults(faults.0.iter().map(|fault| name(fault)).collect()))
}

/// Reads a configuration; `env` looks up environment variables.
pub fn read(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Faults> {
    let mut misfits = Vec::new();
    let Some(Shaped { mut raw, mended }) = shape::read(text, &mut misfits) else {
        return Err(Faults(misfits));
    };
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    let listen = address("listen", &raw.listen, &mut faults);
    let admin = address("admin", &raw.admin, &mut faults);
    let credential_files = credential_files::of(&raw);
    let filter_credential = raw
        .filter_credential
        .as_ref()
        .and_then(|sources| credentials::all("filter_credential", sources, env, &mut faults));
    let metrics = admins::metrics(raw.metrics.as_ref(), env, &mut faults);
    let admins = admins::read(raw.admin_credential.as_ref(), std::mem::take(&mut raw.admins), env, &mut faults);
    admins::are_distinct(filter_credential.as_ref(), &admins, &metrics, &mut faults);
    let access = access::types(raw.access.take(), &mut faults, &mut warnings);
    let store = store::read(&raw, &access, env, &mut faults);
    let undated_logins = undated_logins(&raw.undated_logins, &mut faults);
    let retention_ms = retention_ms(&raw.retention, &mut faults);
    let usage_retained_ms = usage_retained_ms(&raw.usage, &mut faults);
    outlasts(retention_ms, undated_logins, &mut faults);
    let checks_tls = raw.tls.and_then(|files| tls("tls", &files, &mut faults));
    let admin_tls = raw.admin_tls.and_then(|files| tls("admin_tls", &files, &mut faults));
    let signals_tls = raw.signals_tls.and_then(|files| tls("signals_tls", &files, &mut faults));
    let is_listening = raw.signals_listen.is_some();
    let signals_listen = raw.signals_listen.and_then(|text| address("signals_listen", &text, &mut faults));
    let (are_sent, signals) = signals::read(raw.signals, env, &mut faults);
    let approvals = approvals::rules(raw.approvals, &mut faults);
    approvals::are_known(&approvals, &admins, &mut faults);
    let external_url = approvals::external_url(raw.external_url, &mut faults);
    match (is_listening, are_sent) {
        (true, false) => faults.push("signals_listen: no transmitter in `signals` posts to it".to_owned()),
        (false, true) => faults.push("signals_listen: is missing: transmitters in `signals` post to it".to_owned()),
        (true, true) | (false, false) => {}
    }
    let audit = audit::read(raw.audit.as_ref(), env, &mut faults);
    let (conditions, pdp) = conditions::read(raw.conditions, env, &mut faults, &mut warnings);
    let signing = signing::read(raw.signing.as_ref(), env, &mut faults);
    // Their subjects are those of other issuers: nobody could tell whether two of them are one person.
    if signing.as_ref().is_some_and(|keys| admins.oauth.iter().any(|oauth| oauth.issuer() == &*keys.issuer)) {
        faults.push("admins.oauth: `issuer` is `signing.issuer`: name the issuer where people log in".to_owned());
    }
    let tokens_tls = raw.tokens_tls.and_then(|files| tls("tokens_tls", &files, &mut faults));
    let tokens_listen = raw.tokens_listen.and_then(|text| address("tokens_listen", &text, &mut faults));
    if tokens_listen.is_some() && raw.tokens.is_none() {
        faults.push("tokens_listen: there is no token endpoint: `tokens` is missing".to_owned());
    }
    let tokens = tokens::read(raw.tokens, &raw.store, raw.signing.is_some(), env, &mut faults);
    let webhooks = webhooks::read(raw.webhooks, env, &mut faults);
    webhooks::are_there(&webhooks, &approvals, audit.as_ref(), &mut faults);
    let geoip = places::databases(raw.geoip, &mut faults);
    let anomalies = places::anomalies(raw.anomalies, &mut faults);
    places::warn(&geoip, anomalies.as_ref(), &mut warnings);
    // What follows from something that was taken out is no fault of its own.
    faults.retain(|fault| !mended.iter().any(|key| is_about(fault, key)));
    faults.splice(0..0, misfits);
    match (listen, admin, store) {
        (Some(listen), Some(admin), Some(store)) if faults.is_empty() => Ok(Settings {
            listen,
            admin,
            filter_credential: Reloadable::new(filter_credential),
            admins: Reloadable::new(admins),
            metrics: Reloadable::new(metrics),
            credential_files: Reloadable::new(credential_files),
            store,
            enrolment: match raw.enrolment {
                RawEnrolment::FirstUse => Enrolment::FirstUse,
                RawEnrolment::Explicit => Enrolment::Explicit,
            },
            undated_logins,
            retention_ms,
            usage_retained_ms,
            access,
            tls: Reloadable::new(checks_tls),
            admin_tls: Reloadable::new(admin_tls),
            signals_listen,
            signals_tls: Reloadable::new(signals_tls),
            signals,
            approvals: Reloadable::new(Arc::new(approvals)),
            external_url,
            webhooks,
            audit,
            geoip,
            anomalies,
            conditions: Reloadable::new(conditions),
            pdp,
            signing: Reloadable::new(signing),
            tokens,
            tokens_listen,
            tokens_tls: Reloadable::new(tokens_tls),
            warnings,
            digest: Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect(),
        }),
        _ => Err(Faults(faults)),
    }
}

/// Top-level keys that are judged together.
const TOGETHER: [&[&str]; 3] = [
    &["signals", "signals_listen"],
    &["tokens", "tokens_listen", "signing"],
    &["admins", "admin_credential", "filter_credential", "metrics"],
];

/// Whether a fault is about a top-level key, or about one that is judged together with it.
fn is_about(fault: &str, key: &str) -> bool {
    let root = fault.split(['.', '[', ':']).next().unwrap_or_default();
    root == key || TOGETHER.iter().any(|keys| keys.contains(&root) && keys.contains(&key))
}

fn undated_logins(raw: &RawUndatedLogins, faults: &mut Vec<String>) -> UndatedLogins {
    match raw {
        RawUndatedLogins::Refuse => UndatedLogins::Refuse,
        RawUndatedLogins::Reopen { revoked_for } => UndatedLogins::Reopen {
            revoked_for_ms: access::duration("undated_logins.reopen.revoked_for", revoked_for, faults),
        },
    }
}

/// What was forgotten could come back by an old token: less than a day is a mistake.
fn retention_ms(raw: &RawRetention, faults: &mut Vec<String>) -> u64 {
    let ms = access::duration("retention.ended", &raw.ended, faults);
    if ms < RETENTION_MS_MIN {
        faults.push(format!(
            "retention.ended: `{}` is less than a day: a token could outlive the end of its session",
            raw.ended
        ));
    }
    ms
}

/// Counts are kept by day.
fn usage_retained_ms(raw: &RawUsage, faults: &mut Vec<String>) -> u64 {
    let ms = access::duration("usage.retain", &raw.retain, faults);
    if ms < DAY_MS {
        faults.push(format!("usage.retain: `{}` is less than a day, and uses are counted by day", raw.retain));
    }
    ms
}

/// A revocation that is forgotten holds no longer.
fn outlasts(retention_ms: u64, undated_logins: UndatedLogins, faults: &mut Vec<String>) {
    if let UndatedLogins::Reopen { revoked_for_ms } = undated_logins
        && revoked_for_ms > retention_ms
    {
        let fault = "is longer than retention.ended, after which a revocation is forgotten";
        faults.push(format!("undated_logins.reopen.revoked_for: {fault}"));
    }
}

fn address(at: &str, text: &str, faults: &mut Vec<String>) -> Option<SocketAddr> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    if found.is_none() {
        faults.push(format!("{at}: `{text}` is not an address to listen on: use one like `127.0.0.1:7070`"));
    }
    found
}

fn tls(at: &str, files: &RawTls, faults: &mut Vec<String>) -> Option<Tls> {
    let client_ca = files.client_ca.as_deref().map(Path::new);
    Tls::read(Path::new(&files.cert), Path::new(&files.key), client_ca)
        .map_err(|fault| faults.push(format!("{at}: {fault}")))
        .ok()
}
