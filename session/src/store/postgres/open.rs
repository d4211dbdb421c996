//! The store as it is opened, and what its connections share.

use super::condition::promises;
use super::connect::Target;
use super::link::{Connected, Link, Purpose};
use super::schema::{self, LAYOUT, LAYOUT_MIN};
use crate::replica::{Appended, Place, Stated};
use crate::store::StoreError;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use tokio::sync::Notify;
use tracing::warn;

/// Where this replica is in the log.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Everything up to this entry is applied here.
    pub(super) number: Place,
    /// What tells that entry from another of its number; none when the log no longer has it.
    pub(super) tag: Option<i64>,
    /// Later entries that this replica wrote itself, before it had read those in between.
    pub(super) own: BTreeSet<Place>,
}

/// The connection that commits.
pub(super) struct Committing {
    pub(super) link: Link,
    /// The head of the log that the open transaction has locked.
    pub(super) locked: Option<Place>,
    /// The thread that has it open.
    pub(super) owner: Option<ThreadId>,
    pub(super) appended: Option<Appended>,
}

/// The store.
pub struct Postgres {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) run: String,
    pub(super) name: String,
    pub(super) channel: String,
    pub(super) committing: Mutex<Committing>,
    pub(super) look_ups: Mutex<Link>,
    pub(super) lists: Mutex<Link>,
    pub(super) beats: Mutex<Link>,
    pub(super) proofs: Mutex<Link>,
    pub(super) families: Mutex<Link>,
    pub(super) woken: Arc<Notify>,
    pub(super) cursor: Mutex<Cursor>,
    /// This machine's clock less the database's, in milliseconds.
    pub(super) clock_lead_ms: AtomicI64,
    /// How far the clock of the replica that is furthest ahead is ahead of this machine's, in milliseconds.
    pub(super) clock_behind_ms: AtomicU64,
    pub(super) beats_ever: AtomicU64,
    pub(super) stated: Stated,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("id", &self.id).field("run", &self.run).finish_non_exhaustive()
    }
}

impl Postgres {
    /// Opens the store, and makes the tables if there are none. Blocks.
    pub fn open(target: &Target) -> Result<Self, StoreError> {
        Self::open_or(target, true, async |connected| connected.batch(&schema::create(&target.schema)).await)
    }

    /// Opens a store that is there: for those who read it, an empty one in its place would be a wrong answer.
    pub fn open_existing(target: &Target) -> Result<Self, StoreError> {
        Self::open_or(target, false, async |_| {
            Err(StoreError(format!("there is no store in schema `{}` of this database", target.schema)))
        })
    }

    fn open_or(
        target: &Target,
        may_migrate: bool,
        missing: impl AsyncFnOnce(&mut Connected) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        let mut committing = Link::new(target, Purpose::Queries)?;
        let in_database = |error: StoreError| StoreError(format!("cannot open the store in PostgreSQL: {error}"));
        let (id, secret) = committing
            .run(async |connected| {
                // A user who may not make tables can use those that somebody else has made.
                let there = connected.one("SELECT to_regclass('meta') IS NOT NULL", &[]).await?;
                let is_there = there.get::<_, bool>(0);
                if !is_there {
                    missing(connected).await?;
                }
                let mut meta = connected.one("SELECT id, layout FROM meta", &[]).await?;
                if is_there && may_migrate && (LAYOUT_MIN..LAYOUT).contains(&meta.get::<_, i32>(1)) {
                    connected.batch(&schema::create(&target.schema)).await.map_err(|error| {
                        StoreError(format!(
                            "cannot bring its tables to layout {LAYOUT}: {error}: have an administrator run what \
                             `portcullis-session store schema` prints"
                        ))
                    })?;
                    meta = connected.one("SELECT id, layout FROM meta", &[]).await?;
                }
                let layout: i32 = meta.get(1);
                if layout != LAYOUT {
                    return Err(StoreError(format!(
                        "its layout is {layout}, but this version reads layout {LAYOUT} only"
                    )));
                }
                for warning in promises(connected).await? {
                    warn!("{warning}");
                }
                let secret = connected.one("SELECT secret FROM meta", &[]).await?;
                Ok((meta.get::<_, String>(0), secret.get::<_, String>(0)))
            })
            .map_err(in_database)?;
        let link = |purpose| Link::new(target, purpose).map(Mutex::new);
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Self {
            id,
            secret,
            run: random_id(),
            name,
            channel: schema::channel(&target.schema),
            committing: Mutex::new(Committing { link: committing, locked: None, owner: None, appended: None }),
            look_ups: link(Purpose::Queries)?,
            lists: link(Purpose::Queries)?,
            beats: link(Purpose::News)?,
            proofs: link(Purpose::Queries)?,
            families: link(Purpose::Queries)?,
            woken: Arc::default(),
            cursor: Mutex::default(),
            clock_lead_ms: AtomicI64::new(0),
            clock_behind_ms: AtomicU64::new(0),
            beats_ever: AtomicU64::new(0),
            stated: Stated::default(),
        })
    }

    pub(super) fn cursor(&self) -> MutexGuard<'_, Cursor> {
        lock(&self.cursor)
    }
}

/// 32 random hexadecimal digits. The standard library seeds its hashers at random.
fn random_id() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is consistent between any two statements: a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
