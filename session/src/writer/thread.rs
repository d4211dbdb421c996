//! The loop of the writer's thread: groups of durable changes first, and chunks of what is written later in between.

use super::commit::Commit;
use super::late::Late;
use super::op::Op;
use crate::session::Session;
use crate::store::StoreError;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often last activity is written. After a crash it can be this much older than it was.
pub(super) const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How often first uses are written: those of this time are lost in a crash, and happen again. Short, because until
/// then a revocation by the id of a session that an operator has seen could find nothing.
const OPENED_INTERVAL: Duration = Duration::from_millis(50);

/// How often counts of what is used are written: those of this time, and of the second in which a stream adds its own, are
/// lost in a crash.
const USAGE_INTERVAL: Duration = Duration::from_secs(2);

/// Changes that share one commit.
const GROUP_MAX: usize = 512;

/// Sessions written in one commit of what is written later: a revocation may have to wait for one such commit.
pub(super) const CHUNK: usize = 2048;

/// How long a failing store is left alone at least, and at most: the time doubles with each failure. A change that has to
/// be durable has it tried sooner, but never sooner than the first.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// How long a stop waits for a failing store before it gives up what is not written.
const STOP_MAX: Duration = Duration::from_secs(5);

/// When a failing store is tried again.
struct BackOff {
    tried_at: Instant,
    wait: Duration,
}

impl BackOff {
    fn new() -> Self {
        Self { tried_at: Instant::now(), wait: RETRY_MIN }
    }

    fn due_at(&self) -> Instant {
        self.tried_at + self.wait
    }

    fn try_now(&mut self, commit: &Commit) -> Result<(), StoreError> {
        let recovered = commit.recover();
        let wait = if recovered.is_ok() { RETRY_MIN } else { (self.wait * 2).min(RETRY_MAX) };
        *self = Self { tried_at: Instant::now(), wait };
        recovered
    }

    /// Tries it for somebody who waits.
    fn try_soon(&mut self, commit: &Commit) -> Result<(), StoreError> {
        std::thread::sleep((self.tried_at + RETRY_MIN).saturating_duration_since(Instant::now()));
        self.try_now(commit)
    }
}

/// Runs until all handles are gone, then writes what is left. Returns the number of sessions whose changes are lost.
/// `is_suspect` is set by readers of the store that failed.
pub(super) fn run(commit: &Commit, ops: &Receiver<Op>, is_suspect: &AtomicBool, flush_every: Duration) -> usize {
    let mut behind: VecDeque<Arc<Session>> = VecDeque::new();
    let mut late: VecDeque<Late> = VecDeque::new();
    let mut flush_at = Instant::now() + flush_every;
    let mut opened_at = Instant::now() + OPENED_INTERVAL;
    let mut usage_at = Instant::now() + USAGE_INTERVAL;
    let mut back_off = BackOff::new();
    loop {
        let wait = if late.is_empty() && (behind.is_empty() || commit.is_failing()) {
            flush_at.min(opened_at).saturating_duration_since(Instant::now())
        } else {
            Duration::ZERO
        };
        match ops.recv_timeout(wait) {
            Ok(first) => {
                let group: Vec<Op> = std::iter::once(first).chain(ops.try_iter()).take(GROUP_MAX).collect();
                if group.iter().all(|op| matches!(op, Op::CatchUp(_))) {
                    commit.catch_up(group);
                } else {
                    let mut left = make(commit, group, &mut back_off);
                    // A small one is answered before the rest of a large one is written.
                    if !commit.write_late(&mut left, CHUNK) {
                        late.push_back(left);
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                late.iter_mut().for_each(|left| while !commit.write_late(left, CHUNK) {});
                commit.write_issuers();
                while !commit.is_failing() && commit.write_usage() {}
                return finish(commit, behind, &mut back_off);
            }
        }
        if late.front_mut().is_some_and(|left| commit.write_late(left, CHUNK)) {
            late.pop_front();
        }
        if Instant::now() >= flush_at {
            behind.extend(commit.take_changed());
            flush_at = Instant::now() + flush_every;
        }
        if Instant::now() >= opened_at {
            behind.extend(commit.take_opened());
            opened_at = Instant::now() + OPENED_INTERVAL;
        }
        let is_due = Instant::now() >= back_off.due_at();
        if is_due
            && (commit.is_failing() || is_suspect.swap(false, Ordering::SeqCst))
            && back_off.try_now(commit).is_err()
        {
            continue;
        }
        if !commit.is_failing() {
            commit.write_issuers();
            write_chunk(commit, &mut behind);
            // What is left of many is written in the next rounds, so that nothing else waits for long.
            if Instant::now() >= usage_at && !commit.write_usage() {
                usage_at = Instant::now() + USAGE_INTERVAL;
            }
        }
    }
}

fn make(commit: &Commit, group: Vec<Op>, back_off: &mut BackOff) -> Late {
    let recovered = if commit.is_failing() { back_off.try_soon(commit) } else { Ok(()) };
    match recovered {
        Ok(()) => commit.make(group),
        Err(error) => {
            commit.refuse(group, &error);
            Late::default()
        }
    }
}

/// Writes some of what is written later, the oldest first; `false` when the store failed. What it could not write is queued
/// again.
fn write_chunk(commit: &Commit, behind: &mut VecDeque<Arc<Session>>) -> bool {
    let chunk: Vec<_> = behind.drain(..behind.len().min(CHUNK)).collect();
    commit.write_behind(&chunk)
}

fn finish(commit: &Commit, mut behind: VecDeque<Arc<Session>>, back_off: &mut BackOff) -> usize {
    let give_up_at = Instant::now() + STOP_MAX;
    loop {
        behind.extend(commit.take_changed());
        if behind.is_empty() {
            return 0;
        }
        let can_write = !commit.is_failing() || back_off.try_soon(commit).is_ok();
        while can_write && !behind.is_empty() && write_chunk(commit, &mut behind) {}
        if commit.is_failing() && Instant::now() >= give_up_at {
            behind.extend(commit.take_changed());
            return behind.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Fixture, T0, person};
    use crate::store::Store;
    use portcullis_contract::SessionId;
    use std::collections::HashSet;

    #[test]
    fn what_was_queued_first_is_on_disk_first_however_much_comes_after_it() {
        let fixture = Fixture::new();
        let commit = fixture.commit();
        let opened = |names: std::ops::Range<usize>| -> Vec<Arc<Session>> {
            names.for_each(|name| drop(fixture.live(&person(&name.to_string(), T0), T0)));
            commit.take_opened()
        };
        let ids = |sessions: &[Arc<Session>]| sessions.iter().map(|session| session.id).collect::<HashSet<SessionId>>();
        let (old, new) = (opened(0..2 * CHUNK + 1), opened(2 * CHUNK + 1..2 * CHUNK + 11));
        let mut behind: VecDeque<_> = old.iter().chain(&new).cloned().collect();
        for written in [&old[..CHUNK], &old[..2 * CHUNK], &[&*old, &*new].concat()] {
            assert!(write_chunk(&commit, &mut behind));
            let mut on_disk = HashSet::new();
            fixture.store.sessions(&mut |record| assert!(on_disk.insert(record.id()))).unwrap();
            assert_eq!(on_disk, ids(written));
        }
        assert!(behind.is_empty());
    }
}
