//! Who follows which session: the one register that is asked when a session ends or its scopes change.
//!
//! It carries no verdicts. A change marks the follow in the mailbox of its stream and rings; the stream judges again,
//! so what it tells is always the truth of that moment, and a stream that reads slowly costs one mark for each follow.
//!
//! The race that decides the order: a change that falls between a follow's judgement and its entry here would be lost.
//! So a follow is entered first and judged then, and a change is made in memory first and told here then. Whatever
//! the order of the two, either the judgement sees the change or the mark is there.

use crate::id::SessionId;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The register of all streams. A session that nobody follows costs one look-up when it ends.
#[derive(Debug, Default)]
pub struct Followers(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// Session, stream, follow: those of one session stand together.
    follows: BTreeSet<(SessionId, u64, u32)>,
    streams: BTreeMap<u64, Arc<Mailbox>>,
    streams_ever: u64,
}

impl Followers {
    /// A session has ended, or its scopes have changed. To be called when the change is there to be found.
    pub fn changed(&self, session: SessionId) {
        let held = lock(&self.0);
        for (_, stream, follow) in held.follows.range((session, 0, 0)..=(session, u64::MAX, u32::MAX)) {
            if let Some(mailbox) = held.streams.get(stream) {
                mailbox.mark(*follow);
            }
        }
    }

    /// Something has changed that may be about any follow.
    pub fn all_changed(&self) {
        lock(&self.0).streams.values().for_each(|mailbox| mailbox.mark_all());
    }

    /// The line of a new stream.
    pub fn line(self: &Arc<Self>) -> Line {
        let mailbox = Arc::<Mailbox>::default();
        let mut held = lock(&self.0);
        held.streams_ever = held.streams_ever.wrapping_add(1);
        let stream = held.streams_ever;
        held.streams.insert(stream, Arc::clone(&mailbox));
        drop(held);
        Line { followers: Arc::clone(self), stream, mailbox }
    }
}

/// The line from the register to one stream. Whoever holds it takes its follows back before dropping it.
#[derive(Debug)]
pub struct Line {
    followers: Arc<Followers>,
    stream: u64,
    mailbox: Arc<Mailbox>,
}

impl Line {
    /// Enters a follow of a session.
    pub fn follow(&self, session: SessionId, follow: u32) {
        lock(&self.followers.0).follows.insert((session, self.stream, follow));
    }

    /// Takes it back.
    pub fn unfollow(&self, session: SessionId, follow: u32) {
        lock(&self.followers.0).follows.remove(&(session, self.stream, follow));
    }

    /// Where changes are marked.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        lock(&self.followers.0).streams.remove(&self.stream);
    }
}

/// The follows of one stream that are to be judged again.
#[derive(Debug, Default)]
pub struct Mailbox {
    marked: Mutex<Marked>,
    bell: Notify,
}

/// What was marked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Every follow of the stream.
    pub all: bool,
    /// These follows; some may be gone.
    pub follows: HashSet<u32>,
}

impl Mailbox {
    fn mark(&self, follow: u32) {
        lock(&self.marked).follows.insert(follow);
        self.bell.notify_one();
    }

    fn mark_all(&self) {
        lock(&self.marked).all = true;
        self.bell.notify_one();
    }

    /// Takes the marks.
    pub fn take(&self) -> Marked {
        std::mem::take(&mut *lock(&self.marked))
    }

    /// Waits for a mark. One made before the call is not missed; the stream is the only one that waits.
    pub async fn rings(&self) {
        self.bell.notified().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is under these locks is whole between any two statements: a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_marks_the_follows_of_its_session_on_every_stream_and_no_other() {
        let followers = Arc::<Followers>::default();
        let [a, b, c] = ["a", "b", "c"].map(|key| SessionId::of("i", key));
        let (one, two) = (followers.line(), followers.line());
        for (line, session, follow) in [(&one, a, 1), (&one, a, 2), (&one, b, 3), (&two, a, 1), (&two, c, 4)] {
            line.follow(session, follow);
        }
        one.unfollow(a, 2);
        followers.changed(a);
        for line in [&one, &two] {
            assert_eq!(line.mailbox().take(), Marked { all: false, follows: HashSet::from([1]) });
            assert_eq!(line.mailbox().take(), Marked::default());
        }
        followers.all_changed();
        assert!(one.mailbox().take().all && two.mailbox().take().all);
        drop(one);
        assert_eq!(lock(&followers.0).streams.len(), 1);
    }
}
