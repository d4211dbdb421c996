//! Where the sessions are kept: `store`, and the keys of replicas that share one.

use super::access::{duration, duration_ms};
use super::credentials::secret;
use super::raw::{Raw, RawPostgres, RawRedis};
use crate::access::AccessTypes;
use crate::store::postgres::{Secret, Source, Target};
use crate::store::redis;
use std::path::PathBuf;

/// The schema of the tables, when none is named.
pub const SCHEMA: &str = "portcullis";

/// What the keys in Redis begin with, when nothing is named.
const PREFIX: &str = "portcullis";

/// The bounds of the serve lease, in milliseconds, and what it is when left out.
const SERVE_LEASE_MS_MIN: u64 = 200;
const SERVE_LEASE_MS_MAX: u64 = 60_000;
const SERVE_LEASE: &str = "3s";

const ACTIVITY_INTERVAL: &str = "5s";

/// What the activity of a session may take to reach another replica, besides the serve lease: it is written and the
/// clocks of two machines differ.
const ACTIVITY_MARGIN_MS: u64 = 2_000;

/// The store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreSettings {
    /// One file, in this folder.
    Embedded(PathBuf),
    /// A database that replicas share.
    Postgres(Source, Sharing),
    /// A log in Redis that replicas share, and a copy of everything in the folder of each.
    Redis(redis::Source, Sharing),
}

impl StoreSettings {
    /// How replicas share it; none where there are no replicas.
    pub fn sharing(&self) -> Option<Sharing> {
        match self {
            Self::Embedded(_) => None,
            Self::Postgres(_, sharing) | Self::Redis(_, sharing) => Some(*sharing),
        }
    }
}

/// How replicas share a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// How long a replica gives verdicts without hearing from the store, in milliseconds.
    pub serve_lease_ms: u64,
    /// How much earlier than it should the idle end of a session can come that moves between replicas, in milliseconds.
    pub activity_interval_ms: u64,
}

pub(super) fn read(
    raw: &Raw,
    access: &AccessTypes,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> Option<StoreSettings> {
    match (&raw.store.embedded, &raw.store.postgres, &raw.store.redis) {
        (Some(embedded), None, None) => {
            if embedded.path.is_empty() {
                faults.push("store.embedded.path: is empty: name a folder".to_owned());
            }
            for (key, value) in [("serve_lease", &raw.serve_lease), ("activity_interval", &raw.activity_interval)] {
                if value.is_some() {
                    faults.push(format!("{key}: is only for replicas, and an embedded store has none"));
                }
            }
            Some(StoreSettings::Embedded(embedded.path.clone().into()))
        }
        (None, Some(postgres), None) => {
            let source = source(postgres, env, faults);
            let sharing = sharing(raw, access, faults);
            Some(StoreSettings::Postgres(source?, sharing))
        }
        (None, None, Some(redis)) => {
            let source = redis_source(redis, env, faults);
            let sharing = sharing(raw, access, faults);
            Some(StoreSettings::Redis(source?, sharing))
        }
        _ => {
            faults.push("store: needs one of `embedded`, `postgres` and `redis`".to_owned());
            None
        }
    }
}

fn source(raw: &RawPostgres, env: &dyn Fn(&str) -> Option<String>, faults: &mut Vec<String>) -> Option<Source> {
    let password = raw.password.as_ref().map(|source| secret("store.postgres.password", source, env)).transpose();
    let password = password.map_err(|fault| faults.push(fault)).ok()?;
    let source = Source {
        url: Secret(raw.url.clone()),
        schema: raw.schema.clone().unwrap_or_else(|| SCHEMA.to_owned()),
        ca: raw.ca.clone(),
        password: password.map(Secret),
    };
    Target::read(&source).map_err(|fault| faults.push(format!("store.postgres.{fault}"))).ok()?;
    Some(source)
}

fn redis_source(
    raw: &RawRedis,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
) -> Option<redis::Source> {
    let password = raw.password.as_ref().map(|source| secret("store.redis.password", source, env)).transpose();
    let password = password.map_err(|fault| faults.push(fault)).ok()?;
    let at = match (&raw.url, &raw.sentinel, &raw.cluster) {
        (Some(url), None, None) => redis::At::Url(Secret(url.clone())),
        (None, Some(sentinel), None) => {
            redis::At::Sentinel { nodes: sentinel.nodes.clone(), primary: sentinel.primary.clone() }
        }
        (None, None, Some(nodes)) => redis::At::Cluster(nodes.clone()),
        _ => {
            faults.push("store.redis: needs one of `url`, `sentinel` and `cluster`".to_owned());
            return None;
        }
    };
    if raw.journal.is_empty() {
        faults.push("store.redis.journal: is empty: name a folder on a disk that outlives the process".to_owned());
    }
    let source = redis::Source {
        at,
        prefix: raw.prefix.clone().unwrap_or_else(|| PREFIX.to_owned()),
        ca: raw.ca.clone(),
        password: password.map(Secret),
        journal: raw.journal.clone().into(),
        replicas: raw.replicas,
    };
    redis::Target::read(&source).map_err(|fault| faults.push(format!("store.redis.{fault}"))).ok()?;
    Some(source)
}

fn sharing(raw: &Raw, access: &AccessTypes, faults: &mut Vec<String>) -> Sharing {
    let text = raw.serve_lease.as_deref().unwrap_or(SERVE_LEASE);
    let serve_lease_ms = duration("serve_lease", text, faults);
    let is_read = |text: &str| duration_ms(text).is_some();
    if is_read(text) && !(SERVE_LEASE_MS_MIN..=SERVE_LEASE_MS_MAX).contains(&serve_lease_ms) {
        faults.push(format!("serve_lease: `{text}` is not between 200ms and 60s"));
    }
    let text = raw.activity_interval.as_deref().unwrap_or(ACTIVITY_INTERVAL);
    let activity_interval_ms = duration("activity_interval", text, faults);
    let least_ms = serve_lease_ms.saturating_add(ACTIVITY_MARGIN_MS);
    if is_read(text) && activity_interval_ms < least_ms {
        faults.push(format!(
            "activity_interval: `{text}` is less than serve_lease plus 2s: activity may take that long to reach another \
             replica; use `{least_ms}ms` or more"
        ));
    }
    for (name, idle_ms) in access.idle_limits() {
        if idle_ms <= activity_interval_ms {
            faults.push(format!(
                "access: `{name}` has an idle limit that is not longer than activity_interval (`{text}`): a session that \
                 moves between replicas could end at once"
            ));
        }
    }
    Sharing { serve_lease_ms, activity_interval_ms }
}
