//! The serve lease: until when this replica may judge without having heard from the store.
//!
//! It runs from a moment before an answered beat was sent, by the clock that goes on while the process or the machine is
//! stopped, and only once everything is applied that the log had at that beat. A revocation that another replica appends
//! later waits for this replica, or for the end of the lease.

use super::engine::Place;
use crate::clock::steady_ms;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Beats that wait until their entries are applied. More are not kept: an older one would hold for less.
const WAITING_MAX: usize = 64;

/// What there is to say about a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// This replica judges for so many milliseconds, or for ever when it shares its store with nobody.
    Serving(Option<u64>),
    /// It does not, and why.
    Out(String),
}

#[derive(Debug, Default)]
struct Inner {
    /// When each beat was sent, the head of the log that it saw, and the longest lease for filters that it stated.
    waiting: VecDeque<(u64, Place, u64)>,
    applied: Place,
    /// Why there is no lease, for people.
    fault: Option<String>,
    is_closed: bool,
}

/// The serve lease of this process.
#[derive(Debug)]
pub struct Lease {
    until_ms: AtomicU64,
    /// The longest lease that filters may be given, in milliseconds.
    for_filters_ms: AtomicU64,
    length_ms: u64,
    inner: Mutex<Inner>,
}

impl Default for Lease {
    fn default() -> Self {
        Self::unlimited()
    }
}

impl Lease {
    /// The lease of a service that shares its store with nobody.
    pub fn unlimited() -> Self {
        let (until_ms, for_filters_ms) = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
        Self { until_ms, for_filters_ms, length_ms: u64::MAX, inner: Mutex::default() }
    }

    /// A lease of that length, which does not hold yet.
    pub fn of(length_ms: u64) -> Self {
        let inner = Inner { fault: Some("it has not joined the others yet".to_owned()), ..Inner::default() };
        let [until_ms, for_filters_ms] = [(); 2].map(|()| AtomicU64::new(0));
        Self { until_ms, for_filters_ms, length_ms, inner: Mutex::new(inner) }
    }

    /// Whether this replica may judge. To be called after what is judged has arrived.
    pub fn holds(&self) -> bool {
        match self.until_ms.load(Ordering::SeqCst) {
            u64::MAX => true,
            until_ms => steady_ms() < until_ms,
        }
    }

    /// Whether there are other replicas that it is shared with.
    pub fn is_shared(&self) -> bool {
        self.length_ms != u64::MAX
    }

    /// The longest lease that filters may be given, in milliseconds: whoever waits for the end of leases knows of it.
    pub fn for_filters_ms(&self) -> u64 {
        self.for_filters_ms.load(Ordering::SeqCst)
    }

    /// Filters may be given leases of that length, in a service that shares its store with nobody.
    pub fn may_give(&self, ms: u64) {
        self.for_filters_ms.fetch_max(ms, Ordering::SeqCst);
    }

    /// A beat that was sent at `sent_ms` of the steady clock was answered, when the log ended at `head`. It has stated that
    /// filters are given leases of up to `for_filters_ms`.
    pub fn beaten(&self, sent_ms: u64, head: Place, for_filters_ms: u64) {
        let mut inner = self.inner();
        if inner.waiting.len() < WAITING_MAX {
            inner.waiting.push_back((sent_ms, head, for_filters_ms));
        }
        self.extend(&mut inner);
    }

    /// Everything up to that entry is applied.
    pub fn applied(&self, place: Place) {
        let mut inner = self.inner();
        inner.applied = inner.applied.max(place);
        self.extend(&mut inner);
    }

    /// How far the log is applied.
    pub fn applied_to(&self) -> Place {
        self.inner().applied
    }

    /// Why it is not extended for now, for whoever asks when it has run out.
    pub fn failed(&self, why: impl Into<String>) {
        self.inner().fault = Some(why.into());
    }

    /// It ends now, until a later beat: what is here and what the store has do not fit.
    pub fn lost(&self, why: impl Into<String>) {
        let mut inner = self.inner();
        inner.waiting.clear();
        inner.fault = Some(why.into());
        self.until_ms.store(0, Ordering::SeqCst);
    }

    /// It ends now, for good: this replica is leaving.
    pub fn close(&self) {
        if self.is_shared() {
            self.lost("it is stopping");
            self.inner().is_closed = true;
        }
    }

    /// What there is to say.
    pub fn state(&self) -> State {
        let until_ms = self.until_ms.load(Ordering::SeqCst);
        if until_ms == u64::MAX {
            return State::Serving(None);
        }
        match until_ms.checked_sub(steady_ms()) {
            None | Some(0) => State::Out(self.inner().fault.clone().unwrap_or_else(|| "it was stopped".to_owned())),
            Some(left_ms) => State::Serving(Some(left_ms)),
        }
    }

    fn extend(&self, inner: &mut Inner) {
        let mut beaten = None;
        while let Some((sent_ms, _, ms)) = inner.waiting.pop_front_if(|(_, head, _)| *head <= inner.applied) {
            beaten = Some((sent_ms, ms));
        }
        if let Some((sent_ms, for_filters_ms)) = beaten
            && !inner.is_closed
        {
            inner.fault = None;
            // Not before everything is applied that was appended when the others did not know of longer ones.
            self.for_filters_ms.fetch_max(for_filters_ms, Ordering::SeqCst);
            self.until_ms.fetch_max(sent_ms.saturating_add(self.length_ms), Ordering::SeqCst);
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_once_all_that_a_beat_saw_is_applied_and_from_when_that_beat_was_sent() {
        let lease = Lease::of(60_000);
        assert!(!lease.holds() && lease.is_shared());
        let now_ms = steady_ms();
        lease.beaten(now_ms, 7, 0);
        lease.applied(6);
        assert!(!lease.holds(), "an entry is missing");
        lease.beaten(now_ms + 1, 8, 0);
        lease.applied(7);
        assert!(lease.holds());
        assert!(matches!(lease.state(), State::Serving(Some(left)) if left <= 60_000), "not by the second beat");
    }

    #[test]
    fn filters_get_longer_leases_once_all_is_applied_that_was_appended_before_the_others_knew() {
        let lease = Lease::of(60_000);
        lease.beaten(steady_ms(), 7, 500);
        lease.applied(6);
        assert_eq!(lease.for_filters_ms(), 0);
        lease.applied(7);
        assert_eq!(lease.for_filters_ms(), 500);
        lease.beaten(steady_ms(), 7, 200);
        assert_eq!(lease.for_filters_ms(), 500, "those of before may still run");
    }

    #[test]
    fn a_beat_that_was_sent_long_ago_gives_nothing() {
        let lease = Lease::of(10);
        lease.beaten(steady_ms().saturating_sub(11), 0, 0);
        assert!(!lease.holds());
        lease.failed("the store is away");
        assert_eq!(lease.state(), State::Out("the store is away".to_owned()));
    }

    #[test]
    fn one_that_is_lost_comes_back_with_a_later_beat_and_one_that_is_closed_never_does() {
        let lease = Lease::of(60_000);
        lease.beaten(steady_ms(), 0, 0);
        lease.lost("another store");
        assert_eq!(lease.state(), State::Out("another store".to_owned()));
        lease.beaten(steady_ms(), 0, 0);
        assert!(lease.holds());
        lease.close();
        lease.beaten(steady_ms(), 0, 0);
        assert_eq!(lease.state(), State::Out("it is stopping".to_owned()));
    }

    #[test]
    fn who_shares_with_nobody_always_serves() {
        let lease = Lease::unlimited();
        lease.close();
        assert!(lease.holds() && !lease.is_shared());
        assert_eq!(lease.state(), State::Serving(None));
    }
}
