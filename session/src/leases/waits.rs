//! The leases of the service, and the barrier before an answer that promises something: no filter can still use a lease that a
//! change so far concerns.

use super::book::Book;
use super::line::Line;
use crate::clock::steady_ms;
use crate::followers::Notifier;
use crate::replica::Place;
use portcullis_contract::SessionId;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

tokio::task_local! {
    /// How long the call that this task serves has waited for filters.
    static WAITED_MS: AtomicU64;
}

/// Serves a call; returns how long it has waited for filters as well, in milliseconds.
pub(crate) async fn waited_for<T>(call: impl Future<Output = T>) -> (T, u64) {
    WAITED_MS
        .scope(AtomicU64::new(0), async {
            let answer = call.await;
            (answer, WAITED_MS.with(|waited| waited.load(Ordering::Relaxed)))
        })
        .await
}

/// The leases of all streams.
#[derive(Default)]
pub(crate) struct Leases {
    book: Mutex<Book>,
    notifiers: Mutex<BTreeMap<u64, Arc<Notifier>>>,
    /// Moves when leases have been taken back.
    freed: watch::Sender<u64>,
    /// The longest lease that a connected filter has asked for, in milliseconds.
    wanted_ms: watch::Sender<u64>,
    /// Until when, after a start, filters may use what the process before this one has given.
    held_until_ms: AtomicU64,
    /// Told that there may be another place up to which all is settled.
    on_settled: OnceLock<Box<dyn Fn() + Send + Sync>>,
    waited_out: AtomicU64,
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leases")
    }
}

impl Leases {
    /// The line of a new stream, which is notified through `notifier`.
    pub(crate) fn line(self: &Arc<Self>, notifier: Arc<Notifier>) -> Line {
        let stream = self.book().open();
        self.notifiers().insert(stream, notifier);
        Line::new(Arc::clone(self), stream)
    }

    /// A session has changed. As all of these: to be called after the change is applied in memory.
    pub(crate) fn changed(&self, session: SessionId) {
        let woken = self.book().changed(session, steady_ms());
        self.wake(&woken);
    }

    /// These counters of facts have moved.
    pub(crate) fn facts_changed(&self, counters: &BTreeSet<u16>) {
        let woken = self.book().facts_changed(counters, steady_ms());
        self.wake(&woken);
    }

    /// What is known of a device has changed: a request can come from any.
    pub(crate) fn devices_changed(&self) {
        let woken = self.book().all_facts_changed(steady_ms());
        self.wake(&woken);
    }

    /// Any lease may be concerned.
    pub(crate) fn all_changed(&self) {
        let woken = self.book().all_changed(steady_ms());
        self.wake(&woken);
    }

    fn wake(&self, streams: &BTreeSet<u64>) {
        let notifiers = self.notifiers();
        streams.iter().filter_map(|stream| notifiers.get(stream)).for_each(|notifier| notifier.mark_leases());
    }

    /// Waits until no filter can use a lease any more that a change so far concerns: each was taken back, or has run out. After
    /// a start, that includes what was given before.
    pub(crate) async fn passed(&self) -> Duration {
        let (ticket, started_ms) = (self.book().ticket(), steady_ms());
        let mut freed = self.freed.subscribe();
        loop {
            freed.borrow_and_update();
            let now_ms = steady_ms();
            let held_until_ms = Some(self.held_until_ms.load(Ordering::SeqCst)).filter(|until_ms| *until_ms > now_ms);
            let used_until_ms = self.book().used_until_ms(ticket, now_ms);
            let Some(until_ms) = held_until_ms.max(used_until_ms) else {
                let waited_ms = now_ms.saturating_sub(started_ms);
                let _ = WAITED_MS.try_with(|waited| waited.fetch_add(waited_ms, Ordering::Relaxed));
                return Duration::from_millis(waited_ms);
            };
            tokio::select! {
                // The sender lives as long as this.
                _ = freed.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(until_ms.saturating_sub(now_ms))) => {}
            }
        }
    }

    /// No answer promises anything before that instant of the steady clock.
    pub(super) fn hold_until(&self, at_ms: u64) {
        self.held_until_ms.store(at_ms, Ordering::SeqCst);
    }

    /// Whether what the process before this one has given may still be used.
    pub(super) fn is_held(&self) -> bool {
        steady_ms() < self.held_until_ms.load(Ordering::SeqCst)
    }

    /// The changes of the log up to that place have been applied.
    pub(crate) fn placed(&self, place: Place) {
        self.book().placed(place);
    }

    /// The place in the log up to which no filter can use a lease any more that a change concerns; `applied` is how far the log
    /// is applied, read before.
    pub(crate) fn settled(&self, applied: Place) -> Place {
        self.book().settled(applied, steady_ms())
    }

    /// Has somebody told when more may be settled; once.
    pub(crate) fn on_settled(&self, tell: impl Fn() + Send + Sync + 'static) {
        drop(self.on_settled.set(Box::new(tell)));
    }

    /// Until when filters may use leases of this service, by the steady clock.
    pub(crate) fn until_ms(&self) -> Option<u64> {
        self.book().all_until_ms().filter(|until_ms| *until_ms > steady_ms())
    }

    /// A filter that has connected asks for leases of up to so many milliseconds.
    pub(crate) fn want(&self, ms: u64) {
        self.wanted_ms.send_if_modified(|wanted_ms| {
            let is_more = ms > *wanted_ms;
            *wanted_ms = ms.max(*wanted_ms);
            is_more
        });
    }

    /// The longest that a filter has asked for so far.
    pub(crate) fn wanted(&self) -> watch::Receiver<u64> {
        self.wanted_ms.subscribe()
    }

    /// Drops what has run out; returns how many leases there are, and how many have run out that were to be taken back.
    pub(super) fn sweep(&self) -> (usize, u64) {
        let mut book = self.book();
        let over = book.sweep(steady_ms());
        self.waited_out.fetch_add(u64::try_from(over).unwrap_or_default(), Ordering::Relaxed);
        (book.count(), self.waited_out.swap(0, Ordering::Relaxed))
    }

    /// How many leases are in the book.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.book().count()
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        // What it guards is consistent between any two calls: a panic elsewhere does not spoil it.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notifiers(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Notifier>>> {
        self.notifiers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leases are used no longer.
    pub(super) fn freed(&self) {
        self.freed.send_modify(|times| *times = times.wrapping_add(1));
        if let Some(tell) = self.on_settled.get() {
            tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_contract::KeyKind;

    /// Leases of one stream, of which one of that session was given for a minute.
    fn given(session: SessionId) -> (Arc<Leases>, Line) {
        let leases = Arc::<Leases>::default();
        let line = leases.line(Arc::default());
        assert!(line.enter(1, session, None, 60_000, steady_ms()) && line.give(1, 60_000));
        (leases, line)
    }

    #[tokio::test]
    async fn what_was_marked_before_is_waited_for_until_it_is_taken_back_and_what_comes_later_is_not() {
        let session = SessionId::of(KeyKind::Claim, "i", "s", "");
        let (leases, line) = given(session);
        assert_eq!(leases.passed().await, Duration::ZERO);
        leases.changed(session);
        let waits = tokio::spawn({
            let leases = Arc::clone(&leases);
            async move { leases.passed().await }
        });
        assert_eq!(line.take_marked(), [1]);
        let id = line.take_back(&[1]).unwrap();
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        assert!(line.enter(2, session, None, 60_000, steady_ms()) && line.give(2, 60_000));
        leases.changed(session);
        line.taken_back(id);
        waits.await.unwrap();
        assert!(leases.book().used_until_ms(u64::MAX, steady_ms()).is_some(), "of the later change");
    }

    #[test]
    fn a_place_in_the_log_is_settled_once_what_it_concerns_is_taken_back() {
        let session = SessionId::of(KeyKind::Claim, "i", "s", "");
        let (leases, line) = given(session);
        leases.placed(6);
        assert_eq!(leases.settled(6), 6);
        leases.changed(session);
        leases.placed(7);
        assert_eq!(leases.settled(7), 6);
        leases.placed(8);
        line.take_marked();
        line.taken_back(line.take_back(&[1]).unwrap());
        assert_eq!(leases.settled(8), 8);
    }

    #[tokio::test]
    async fn after_a_start_answers_are_held_until_that_instant() {
        let leases = Leases::default();
        let started = std::time::Instant::now();
        leases.hold_until(steady_ms() + 50);
        leases.passed().await;
        assert!(started.elapsed() >= Duration::from_millis(49));
        assert!(!leases.is_held());
    }
}
