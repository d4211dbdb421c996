//! The store as it is opened, and what its threads share.

use super::condition::promises;
use super::journal::{Committing, Epoch, State};
use super::link::Link;
use super::news::News;
use super::refusal::{Refusal, ask};
use super::script::OPEN;
use super::source::{Source, Target};
use crate::clock::waited_out_ms;
use crate::replica::Stated;
use crate::store::embedded::Embedded;
use crate::store::{Store, StoreError};
use portcullis_contract::bounds::LEASE_MS_MAX;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::{info, warn};

/// The layout of the keys. A version refuses a layout that it does not know.
const LAYOUT: u32 = 1;

/// The store.
pub struct Redis {
    pub(super) target: Target,
    /// The journal: everything up to the place that its state names.
    pub(super) embedded: Embedded,
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) run: String,
    pub(super) name: String,
    pub(super) replicas: u32,
    /// What the list of replicas says about how long this one may be relied on, in milliseconds.
    pub(super) relied_on_ms: AtomicU64,
    /// Whether it is opened by somebody who is no replica.
    pub(super) is_visitor: bool,
    pub(super) committing: Mutex<Committing>,
    pub(super) beats: Mutex<Link>,
    pub(super) proofs: Mutex<Link>,
    epoch: Mutex<Epoch>,
    pub(super) news: Arc<News>,
    /// Whether this process may have had a serve lease.
    pub(super) has_beaten: AtomicBool,
    /// This machine's clock less that of Redis, in milliseconds.
    pub(super) clock_lead_ms: AtomicI64,
    /// How far the clock of the replica that is furthest ahead is ahead of this machine's, in milliseconds.
    pub(super) clock_behind_ms: AtomicU64,
    pub(super) beats_ever: AtomicU64,
    pub(super) stated: Stated,
    /// Entries that Redis had lost and got again from here.
    pub(super) given_back: AtomicU64,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is done when Redis has no store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Refuse,
}

impl Redis {
    /// Opens the store as one of its replicas, and makes it if neither Redis nor the journal has one. With `adopt`, a Redis that
    /// has none gets the store of the journal. Blocks.
    pub fn open(source: &Source, adopt: bool) -> Result<Self, StoreError> {
        let target = target(source)?;
        let embedded = open_journal(&source.journal)?;
        outwait(&embedded)?;
        let state = match embedded.journal::<State>()? {
            Some(state) => state,
            None if !embedded.is_unused()? => {
                return Err(StoreError(format!(
                    "the journal's folder `{}` has an embedded store: name another folder in `store.redis.journal`, and \
                     copy that store with `portcullis-session store migrate`",
                    source.journal.display()
                )));
            }
            None => State { name: new_name(), ..State::default() },
        };
        let missing = if state.store.is_empty() || adopt { Missing::Make } else { Missing::Refuse };
        let opened = Self::with(target, embedded, state, source.replicas, missing, false)?;
        {
            let mut committing = opened.committing();
            for warning in promises(&mut committing.link)? {
                warn!("{warning}");
            }
            match opened.settle(&mut committing) {
                Ok(()) => {}
                // It is asked again by the first beat.
                Err(Refusal::Failed(error)) => warn!(%error, "could not report to Redis yet"),
                Err(refusal) => return Err(in_redis(refusal.into())),
            }
        }
        opened.news.start(&opened.target, [opened.run.clone(), opened.name.clone()])?;
        info!(name = opened.name, epoch = opened.epoch().counter, "opened the store in Redis");
        Ok(opened)
    }

    /// Opens a store in Redis to read it or to put something into it, as nobody's replica. Blocks.
    pub fn visit(source: &Source, may_make: bool) -> Result<Self, StoreError> {
        let missing = if may_make { Missing::Make } else { Missing::Refuse };
        let state = State { name: "visitor".to_owned(), ..State::default() };
        let embedded = Embedded::in_memory()?;
        let opened = Self::with(target(source)?, embedded, state, source.replicas, missing, true)?;
        promises(&mut opened.committing().link)?;
        opened.read_everything()?;
        Ok(opened)
    }

    fn with(
        target: Target,
        embedded: Embedded,
        mut state: State,
        replicas: u32,
        missing: Missing,
        is_visitor: bool,
    ) -> Result<Self, StoreError> {
        let mut link = Link::new(&target);
        let (id, secret) = match (missing, state.store.is_empty()) {
            (Missing::Refuse, _) => Default::default(),
            (Missing::Make, true) => (random(), format!("{}{}", random(), random())),
            (Missing::Make, false) => (state.store.clone(), state.secret.clone()),
        };
        let seen = state.epoch.counter.to_string();
        let made = [id.as_bytes(), secret.as_bytes(), seen.as_bytes()];
        let reply = ask(&mut link, &state.store, &Epoch::default(), &OPEN, &made);
        let mut reply = match reply {
            Err(Refusal::Foreign(_)) if state.store.is_empty() => {
                let prefix = &target.prefix;
                return Err(StoreError(format!("there is no store with the prefix `{prefix}` in this Redis")));
            }
            other => other.map_err(|refusal| in_redis(refusal.into()))?,
        };
        (state.store, state.secret) = (reply.text()?, reply.text()?);
        let layout: u32 = reply.number()?;
        if layout != LAYOUT {
            return Err(in_redis(StoreError(format!(
                "its layout is {layout}, but this version reads layout {LAYOUT} only"
            ))));
        }
        embedded.write_journal(&state, &[])?;
        let epoch = Mutex::new(state.epoch.clone());
        let (id, secret, name) = (state.store.clone(), state.secret.clone(), state.name.clone());
        let [beats, proofs] = [(); 2].map(|()| Mutex::new(Link::new(&target)));
        let committing =
            Committing { link, state, reported: 0, locked: None, appended: None, pending: VecDeque::new() };
        Ok(Self {
            target,
            embedded,
            id,
            secret,
            run: format!("{}{}", random(), random()),
            name,
            replicas,
            relied_on_ms: AtomicU64::new(0),
            is_visitor,
            committing: Mutex::new(committing),
            beats,
            proofs,
            epoch,
            news: Arc::default(),
            has_beaten: AtomicBool::new(false),
            clock_lead_ms: AtomicI64::new(0),
            clock_behind_ms: AtomicU64::new(0),
            beats_ever: AtomicU64::new(0),
            stated: Stated::default(),
            given_back: AtomicU64::new(0),
        })
    }

    /// The name of this replica, which is in its journal.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn committing(&self) -> MutexGuard<'_, Committing> {
        lock(&self.committing)
    }

    /// The epoch of the journal, for those who must not wait for a commit.
    pub(super) fn epoch(&self) -> MutexGuard<'_, Epoch> {
        lock(&self.epoch)
    }

    /// The epoch that Redis is in.
    pub(super) fn epoch_of(&self, committing: &mut Committing) -> Result<Epoch, Refusal> {
        let Committing { link, state, .. } = committing;
        let mut reply = ask(link, &state.store, &Epoch::default(), &OPEN, &[b"", b"", b"0"])?;
        let [_id, _secret, _layout] = [reply.text()?, reply.text()?, reply.text()?];
        Ok(Epoch { counter: reply.number()?, lineage: reply.text()? })
    }

    /// What the list of replicas says of this one.
    pub(super) fn record(&self, settled: u64) -> String {
        let (beat, lease_ms) =
            (self.beats_ever.fetch_add(1, Ordering::Relaxed) + 1, self.relied_on_ms.load(Ordering::SeqCst));
        let lead_ms = self.clock_lead_ms.load(Ordering::Relaxed);
        format!("{}\t{}\t{settled}\t{lease_ms}\t{beat}\t{lead_ms}", self.name, self.stated.text())
    }
}

pub(super) fn target(source: &Source) -> Result<Target, StoreError> {
    Target::read(source).map_err(|fault| StoreError(format!("store.redis.{fault}")))
}

fn open_journal(folder: &Path) -> Result<Embedded, StoreError> {
    Embedded::open(folder).map_err(|error| StoreError(format!("the journal of this replica: {error}")))
}

/// Waits until no filter can use a lease that the process before this one has given: after a failover nothing else in Redis
/// tells of that one, and this one is about to report in its place. The file is locked, so that process is gone.
fn outwait(journal: &Embedded) -> Result<(), StoreError> {
    match journal.longest_lease_ms()?.unwrap_or(LEASE_MS_MAX) {
        0 => Ok(()),
        longest_ms => {
            info!(longest_ms, "waiting for the end of leases that were given before the start");
            std::thread::sleep(Duration::from_millis(waited_out_ms(longest_ms)));
            journal.note_longest_lease(0)
        }
    }
}

fn in_redis(error: StoreError) -> StoreError {
    StoreError(format!("cannot open the store in Redis: {error}"))
}

/// A name that people recognize, and nobody else has.
fn new_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '-' };
    let host: String = host.chars().take(60).map(plain).collect();
    format!("{host}-{}", random().get(..8).unwrap_or_default())
}

/// 16 random hexadecimal digits. The standard library seeds its hashers at random.
pub(super) fn random() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is consistent between any two statements: a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
