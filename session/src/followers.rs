//! The followers of sessions: which follows and leases of which streams are to be judged again when a session ends, its scopes
//! change, or what is known of it does.
//!
//! No verdicts pass through here. A change marks the follow in the notifier of its stream, and the stream judges it again.
//! So a stream always sends the current verdict, and a slow reader costs one mark for each follow.
//!
//! One race determines the order: a change between a follow's judgement and its registration here would be lost. So a
//! follow is registered before it is judged, and a change is applied in memory before it is announced here. In every
//! interleaving, either the judgement sees the change or the follow is marked.

use crate::fact_epochs::Counters;
use crate::leases::Leases;
use portcullis_contract::SessionId;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The follows of all streams, and their leases. A session without followers costs two look-ups when it ends.
#[derive(Debug, Default)]
pub struct Followers {
    held: Mutex<Held>,
    leases: Arc<Leases>,
}

#[derive(Debug, Default)]
struct Held {
    /// Session, stream, follow: those of one session are next to each other.
    follows: BTreeSet<(SessionId, u64, u32)>,
    /// Counter of facts, stream, follow: only of those that conditions are judged for.
    by_fact: BTreeSet<(u16, u64, u32)>,
    streams: BTreeMap<u64, Arc<Notifier>>,
    streams_ever: u64,
}

impl Followers {
    /// A session has ended, or its scopes have changed. Must be called after the change is applied in memory.
    pub fn changed(&self, session: SessionId) {
        let held = lock(&self.held);
        for (_, stream, follow) in held.follows.range((session, 0, 0)..=(session, u64::MAX, u32::MAX)) {
            if let Some(notifier) = held.streams.get(stream) {
                notifier.mark(*follow);
            }
        }
        drop(held);
        self.leases.changed(session);
    }

    /// These counters of [`FactEpochs`](crate::fact_epochs::FactEpochs) have moved.
    pub fn facts_changed(&self, counters: &BTreeSet<u16>) {
        let held = lock(&self.held);
        for counter in counters.iter().filter(|_| !held.by_fact.is_empty()) {
            for (_, stream, follow) in held.by_fact.range((*counter, 0, 0)..=(*counter, u64::MAX, u32::MAX)) {
                if let Some(notifier) = held.streams.get(stream) {
                    notifier.mark(*follow);
                }
            }
        }
        drop(held);
        self.leases.facts_changed(counters);
    }

    /// Marks every follow and every lease: a change may concern any of them.
    pub fn all_changed(&self) {
        lock(&self.held).streams.values().for_each(|notifier| notifier.mark_all());
        self.leases.all_changed();
    }

    /// The leases.
    pub(crate) fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    /// The line of a new stream.
    pub fn line(self: &Arc<Self>) -> Line {
        let notifier = Arc::<Notifier>::default();
        let mut held = lock(&self.held);
        held.streams_ever = held.streams_ever.wrapping_add(1);
        let stream = held.streams_ever;
        held.streams.insert(stream, Arc::clone(&notifier));
        drop(held);
        Line { followers: Arc::clone(self), stream, notifier }
    }
}

/// The line of one stream to the followers. Its holder takes the follows back before dropping it.
#[derive(Debug)]
pub struct Line {
    followers: Arc<Followers>,
    stream: u64,
    notifier: Arc<Notifier>,
}

impl Line {
    /// Registers a follow of a session.
    pub fn follow(&self, session: SessionId, follow: u32) {
        lock(&self.followers.held).follows.insert((session, self.stream, follow));
    }

    /// Takes it back.
    pub fn unfollow(&self, session: SessionId, follow: u32) {
        lock(&self.followers.held).follows.remove(&(session, self.stream, follow));
    }

    /// Registers a follow for changes of facts.
    pub fn follow_facts(&self, counters: Counters, follow: u32) {
        let entries = counters.each().into_iter().map(|counter| (counter, self.stream, follow));
        lock(&self.followers.held).by_fact.extend(entries);
    }

    /// Takes that back.
    pub fn unfollow_facts(&self, counters: Counters, follow: u32) {
        let mut held = lock(&self.followers.held);
        for counter in counters.each() {
            held.by_fact.remove(&(counter, self.stream, follow));
        }
    }

    /// Notifies of changes.
    pub fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        lock(&self.followers.held).streams.remove(&self.stream);
    }
}

/// The follows of one stream that are to be judged again.
#[derive(Debug, Default)]
pub struct Notifier {
    marked: Mutex<Marked>,
    are_leases_marked: AtomicBool,
    notify: Notify,
}

/// What was marked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Every follow of the stream.
    pub all: bool,
    /// These follows; some may be gone.
    pub follows: HashSet<u32>,
}

impl Notifier {
    /// Leases of the stream are marked in the book.
    pub(crate) fn mark_leases(&self) {
        self.are_leases_marked.store(true, Ordering::SeqCst);
        self.notify.notify_one();
    }

    /// Whether some were since the last call.
    pub(crate) fn take_lease_marks(&self) -> bool {
        self.are_leases_marked.load(Ordering::SeqCst) && self.are_leases_marked.swap(false, Ordering::SeqCst)
    }

    fn mark(&self, follow: u32) {
        lock(&self.marked).follows.insert(follow);
        self.notify.notify_one();
    }

    fn mark_all(&self) {
        lock(&self.marked).all = true;
        self.notify.notify_one();
    }

    /// Takes the marks.
    pub fn take(&self) -> Marked {
        std::mem::take(&mut *lock(&self.marked))
    }

    /// Waits for a mark. One that was made before the call is not missed; only the stream waits.
    pub async fn notified(&self) {
        self.notify.notified().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is consistent between any two statements: a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact_epochs::FactEpochs;
    use crate::revocations::Bearer;
    use portcullis_contract::KeyKind;

    #[test]
    fn a_change_marks_the_follows_of_its_session_on_every_stream_and_no_other() {
        let followers = Arc::<Followers>::default();
        let [a, b, c] = ["a", "b", "c"].map(|key| SessionId::of(KeyKind::Claim, "i", key, ""));
        let (one, two) = (followers.line(), followers.line());
        for (line, session, follow) in [(&one, a, 1), (&one, a, 2), (&one, b, 3), (&two, a, 1), (&two, c, 4)] {
            line.follow(session, follow);
        }
        one.unfollow(a, 2);
        followers.changed(a);
        for line in [&one, &two] {
            assert_eq!(line.notifier().take(), Marked { all: false, follows: HashSet::from([1]) });
            assert_eq!(line.notifier().take(), Marked::default());
        }
        followers.all_changed();
        assert!(one.notifier().take().all && two.notifier().take().all);
        drop(one);
        assert_eq!(lock(&followers.held).streams.len(), 1);
    }

    #[test]
    fn a_change_of_facts_marks_the_follows_of_its_counters_until_they_are_taken_back() {
        let (followers, epochs) = (Arc::<Followers>::default(), FactEpochs::default());
        let line = followers.line();
        let bearer = |key| Bearer {
            issuer: "https://id",
            subject: "",
            client: "web",
            kind: KeyKind::Claim,
            key,
            start_ms: 1,
            login_ms: 1,
        };
        let [one, two] = ["a", "b"].map(|key| epochs.of(bearer(key), ""));
        line.follow_facts(one, 1);
        line.follow_facts(two, 2);
        followers.facts_changed(&one.each());
        assert!(line.notifier().take().follows.contains(&1));
        line.unfollow_facts(one, 1);
        followers.facts_changed(&one.each());
        assert!(!line.notifier().take().follows.contains(&1));
        line.unfollow_facts(two, 2);
        assert!(lock(&followers.held).by_fact.is_empty());
    }
}
