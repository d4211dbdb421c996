//! The commits of the writer's thread: a group of durable changes, or a chunk of what is written later. Each is prepared
//! from memory, applied to the store and then finished in memory. There is no loop and no clock here, so that tests can
//! try every order of these three steps and of what happens in between.

use super::handle::Among;
use super::late::Late;
use super::op::{NotWritten, Op};
use super::thread::CHUNK;
use crate::audit::Audit;
use crate::log::Sampler;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::session::Session;
use crate::store::{Change, ReceiptId, Store, StoreError};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tracing::{info, warn};

/// Makes commits.
pub(crate) struct Commit {
    pub(super) registry: Arc<Registry>,
    pub(super) store: Arc<dyn Store>,
    pub(super) audit: Arc<Audit>,
    metrics: Arc<Metrics>,
    is_healthy: Arc<AtomicBool>,
    /// What other replicas need to know of a commit.
    replica: Option<Among>,
    /// Signals whose receipt may be on disk, and not all of whose effects are.
    unsettled: Mutex<HashSet<ReceiptId>>,
}

impl Commit {
    pub(crate) fn new(
        registry: Arc<Registry>,
        store: Arc<dyn Store>,
        audit: Arc<Audit>,
        metrics: Arc<Metrics>,
        is_healthy: Arc<AtomicBool>,
    ) -> Self {
        let unsettled = Mutex::default();
        Self { registry, store, audit, metrics, is_healthy, replica: None, unsettled }
    }

    /// The same, in one of several replicas.
    pub(super) fn among(self, replica: Option<Among>) -> Self {
        Self { replica, ..self }
    }

    pub(super) fn unsettled(&self) -> MutexGuard<'_, HashSet<ReceiptId>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_opened(&self) -> Vec<Arc<Session>> {
        self.registry.take_opened()
    }

    pub(crate) fn take_changed(&self) -> Vec<Arc<Session>> {
        self.registry.take_changed()
    }

    /// Makes a group of changes with one commit. What it leaves to be written is for [`Commit::write_late`].
    pub(crate) fn make(&self, ops: Vec<Op>) -> Late {
        if let Err(error) = self.begin() {
            self.refuse(ops, &error);
            return Late::default();
        }
        let group = self.prepare(ops);
        let made = self.apply(&group.changes);
        let late = self.finish(group, made);
        self.placed();
        late
    }

    /// Writes at most `max` of the sessions that a group has left; answers, and returns `true`, when all are written. Those
    /// that could not be written are queued, and no answer waits for them: they are over after a crash as well.
    pub(crate) fn write_late(&self, late: &mut Late, max: usize) -> bool {
        let rest = late.sessions.len().saturating_sub(max);
        let is_written = self.write_behind(&late.sessions.split_off(rest));
        if !is_written {
            late.sessions.drain(..).for_each(|session| self.registry.enqueue(&session));
        }
        if late.sessions.is_empty() {
            let made = if is_written { Ok(()) } else { Err(NotWritten::Late) };
            late.answers.drain(..).for_each(|answer| answer(made.clone()));
        }
        late.sessions.is_empty()
    }

    /// Writes sessions as memory has them now; `false` when the store failed. One that ends meanwhile is queued again
    /// and written again.
    pub(crate) fn write_behind(&self, sessions: &[Arc<Session>]) -> bool {
        if sessions.is_empty() {
            return true;
        }
        if self.begin().is_err() {
            for session in sessions {
                session.life().dequeue();
                self.registry.enqueue(session);
            }
            return false;
        }
        let behind = self.prepare_behind(sessions);
        let made = self.apply(&behind.changes);
        let is_made = self.finish_behind(behind, made);
        self.placed();
        is_made
    }

    /// Writes what filters have told about issuers, if the disk lacks some of it.
    pub(super) fn write_issuers(&self) {
        let (issuers, leads) = (self.registry.issuers(), self.registry.leads());
        let described = issuers.take_unwritten().map(Change::Issuers);
        let ahead = leads.take_unwritten();
        let changes: Vec<Change> = described.into_iter().chain(ahead.clone().map(Change::Leads)).collect();
        if changes.is_empty() {
            return;
        }
        match self.apply(&changes) {
            Ok(()) => leads.load(ahead.unwrap_or_default()),
            Err(_) => {
                issuers.unwritten();
                leads.unwritten();
            }
        }
        self.placed();
    }

    /// Adds some of the counts of what is used to the store. Returns whether there are more.
    pub(crate) fn write_usage(&self) -> bool {
        let has_more = self.registry.usage().write(CHUNK, |used| self.apply(&[Change::Used(used)]));
        self.placed();
        has_more
    }

    /// Applies in memory what other replicas have changed, for those who have asked for that.
    pub(super) fn catch_up(&self, ops: Vec<Op>) {
        let caught_up = self.store.catch_up(&mut |change| self.registry.apply(change));
        self.tried(&caught_up, 0);
        self.placed();
        match caught_up {
            // They change nothing, and are answered.
            Ok(()) => drop(self.prepare(ops)),
            Err(error) => self.refuse(ops, &error),
        }
    }

    /// Locks out the commits of other replicas, and applies in memory what they have changed.
    fn begin(&self) -> Result<(), StoreError> {
        let begun = self.store.begin(&mut |change| self.registry.apply(change));
        self.tried(&begun, 0);
        self.placed();
        self.registry.leads().behind(self.store.clock_behind_ms());
        begun
    }

    /// Tells how far this replica is in the log. To be called once memory has all of it: others rely on that.
    fn placed(&self) {
        if let Some(Among { engine, .. }) = &self.replica {
            let lease = self.registry.lease();
            let place = self.store.place();
            if place > lease.applied_to() {
                self.registry.followers().leases().placed(place);
                lease.applied(place);
                engine.wake();
            }
        }
    }

    /// Notes whether the store works.
    fn tried(&self, tried: &Result<(), StoreError>, changes: usize) {
        self.is_healthy.store(tried.is_ok(), Ordering::Relaxed);
        if let Err(error) = tried {
            self.failed(error, changes);
            if self.replica.is_some() {
                self.registry.lease().failed(error.to_string());
            }
        }
    }

    /// Whether the store could not write when it was last tried.
    pub(super) fn is_failing(&self) -> bool {
        !self.is_healthy.load(Ordering::Relaxed)
    }

    /// Tries a store that has failed. If it had to be reopened, it is unknown whether the last commits are on disk.
    /// Memory is then the authority, and all of it is written again: the rules before this returns, the sessions later.
    pub(crate) fn recover(&self) -> Result<(), StoreError> {
        let recovered = self.store.recover().and_then(|is_opened_again| match is_opened_again {
            true => self.replay(),
            false => Ok(()),
        });
        self.is_healthy.store(recovered.is_ok(), Ordering::Relaxed);
        match &recovered {
            Ok(()) => info!("the store can write"),
            Err(error) => self.failed(error, 0),
        }
        recovered
    }

    fn replay(&self) -> Result<(), StoreError> {
        let rules = self.registry.rules();
        let count = rules.count();
        // A commit that has failed may be on disk: what memory has not is gone with this, so its receipts must be, too.
        let unsettled: Vec<_> = self.unsettled().iter().cloned().collect();
        self.store.apply(&[Change::Rules(rules), Change::Unreceived(unsettled)])?;
        self.unsettled().clear();
        self.registry.issuers().unwritten();
        self.registry.leads().unwritten();
        let sessions = self.registry.requeue_all();
        self.metrics.store_reopened.inc();
        warn!(sessions, rules = count, "reopened the store; everything in memory will be written to it again");
        Ok(())
    }

    fn failed(&self, error: &StoreError, changes: usize) {
        static FAILURES: Sampler = Sampler::new();
        self.metrics.store_failures.inc();
        if let Some(not_logged) = FAILURES.admit() {
            tracing::error!(%error, changes, not_logged, "the store could not write");
        }
    }

    /// Commits changes, if there are any.
    pub(crate) fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            self.store.cancel();
            return Ok(());
        }
        let started = Instant::now();
        let made = self.store.apply(changes);
        self.tried(&made, changes.len());
        if made.is_ok() {
            self.metrics.committed(started.elapsed());
        }
        if let Some(Among { barrier, .. }) = &self.replica {
            self.store.take_appended().into_iter().for_each(|appended| barrier.appended(appended));
        }
        made
    }
}
