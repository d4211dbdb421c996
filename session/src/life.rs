//! The life of one session: its state in memory, its state on disk after a crash, and every transition of the two.
//!
//! ```text
//! Unrecorded ──record──▶ Recorded
//!     │ end                 │ end
//!     ▼                     ▼
//! Ended(Nothing) ─record▶ Ended(Record) ──tombstone──▶ Ended(Tombstone)     (leaves memory)
//!     │                     │    another session takes its place
//!     └─────────────────────┴──▶ Replaced                                   (never written again)
//! ```
//!
//! [`Stage`] is a value and its transitions are pure, so that a test can enumerate them. [`Life`] holds a stage in one
//! atomic word: judging reads it with one load and takes no lock.

use crate::judge::{End, Reason};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the disk has about an ended session after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisk {
    /// Nothing: its tokens could open it again. So its end must not be reported yet.
    Nothing,
    /// Its live record: its limits, or the revocation that ended it, lead to the same end again.
    Record,
    /// A tombstone with another end than the current one: it is over, but its current end must still be written.
    OtherTombstone,
    /// Its tombstone.
    Tombstone,
}

/// One point of a session's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It lives, and the disk has nothing of it.
    Unrecorded,
    /// It lives, and its record is on disk.
    Recorded,
    /// It has ended.
    Ended(End, OnDisk),
    /// It has ended, and another session took its place, whose record contains this end. A tombstone written now would
    /// overwrite that record. `true` once the disk has the end of this session.
    Replaced(End, bool),
}

/// What the writer has to put on disk next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// The whole record of a live session.
    Record,
    /// Only the last activity: the rest is there.
    LastSeen,
    /// The tombstone with this end.
    Tombstone(End),
}

impl Stage {
    /// The end, if it has ended.
    pub fn end(self) -> Option<End> {
        match self {
            Self::Unrecorded | Self::Recorded => None,
            Self::Ended(end, _) | Self::Replaced(end, _) => Some(end),
        }
    }

    /// It ends. If it has already ended, it keeps both ends merged; if it was replaced, it keeps its own.
    #[must_use]
    pub fn ended(self, end: End) -> Self {
        match self {
            Self::Unrecorded => Self::Ended(end, OnDisk::Nothing),
            Self::Recorded => Self::Ended(end, OnDisk::Record),
            Self::Ended(held, on_disk) => {
                let merged = held.merged(end);
                match on_disk {
                    OnDisk::Tombstone if merged != held => Self::Ended(merged, OnDisk::OtherTombstone),
                    on_disk => Self::Ended(merged, on_disk),
                }
            }
            Self::Replaced(..) => self,
        }
    }

    /// Another session takes its place. Only an ended one can be replaced.
    #[must_use]
    pub fn replaced(self) -> Self {
        match self {
            Self::Ended(end, on_disk) => Self::Replaced(end, on_disk != OnDisk::Nothing),
            Self::Unrecorded | Self::Recorded | Self::Replaced(..) => self,
        }
    }

    /// The record of the session that took its place is on disk, or its tombstone.
    #[must_use]
    pub fn succeeded(self) -> Self {
        match self {
            Self::Replaced(end, _) => Self::Replaced(end, true),
            Self::Unrecorded | Self::Recorded | Self::Ended(..) => self,
        }
    }

    /// What is still to be written.
    pub fn to_write(self) -> Option<Write> {
        match self {
            Self::Unrecorded => Some(Write::Record),
            Self::Recorded => Some(Write::LastSeen),
            Self::Ended(_, OnDisk::Tombstone) | Self::Replaced(..) => None,
            Self::Ended(end, _) => Some(Write::Tombstone(end)),
        }
    }

    /// A write is on disk. It may have been prepared at an earlier stage.
    #[must_use]
    pub fn written(self, write: Write) -> Self {
        match (self, write) {
            // It was overwritten in the same commit, by a record that carries this end: see the writer.
            (Self::Replaced(end, _), Write::Tombstone(_)) => Self::Replaced(end, true),
            (Self::Replaced(..), Write::Record | Write::LastSeen) => self,
            (Self::Unrecorded | Self::Recorded, Write::Record) => Self::Recorded,
            (Self::Ended(end, OnDisk::Nothing), Write::Record) => Self::Ended(end, OnDisk::Record),
            (_, Write::Record | Write::LastSeen) => self,
            // A revocation is on disk before it is in memory.
            (Self::Unrecorded | Self::Recorded, Write::Tombstone(end)) => Self::Ended(end, OnDisk::Tombstone),
            (Self::Ended(end, _), Write::Tombstone(written)) => {
                let merged = end.merged(written);
                let is_same = merged == written;
                Self::Ended(merged, if is_same { OnDisk::Tombstone } else { OnDisk::OtherTombstone })
            }
        }
    }

    /// Its end was premature, and nothing has it but memory: it lives.
    #[must_use]
    pub fn revived(self) -> Self {
        match self {
            Self::Ended(_, OnDisk::Nothing) => Self::Unrecorded,
            Self::Ended(_, OnDisk::Record) => Self::Recorded,
            Self::Unrecorded | Self::Recorded | Self::Ended(..) | Self::Replaced(..) => self,
        }
    }

    /// The record of another session was written over this one's.
    #[must_use]
    pub fn overwritten(self) -> Self {
        match self {
            Self::Recorded => Self::Unrecorded,
            Self::Ended(end, _) => Self::Ended(end, OnDisk::Nothing),
            Self::Unrecorded | Self::Replaced(..) => self,
        }
    }

    /// Whether the disk would lead to the same state after a crash. Only then may an answer depend on the end of the
    /// session, or on the end that it came back after.
    pub fn is_durable(self) -> bool {
        match self {
            Self::Unrecorded => false,
            Self::Recorded => true,
            Self::Ended(_, on_disk) => on_disk != OnDisk::Nothing,
            Self::Replaced(_, is_on_disk) => is_on_disk,
        }
    }
}

/// A stage that changes, and whether the session waits in a queue of the writer.
#[derive(Debug)]
pub struct Life(AtomicU64);

const REASON: u64 = 0b11;
const DISK_SHIFT: u32 = 2;
const DISK: u64 = 0b11;
const REPLACED: u64 = 1 << 4;
const QUEUED: u64 = 1 << 5;
const INSTANT_SHIFT: u32 = 6;

impl Life {
    /// A life at that stage.
    pub fn new(stage: Stage) -> Self {
        Self(AtomicU64::new(pack(stage)))
    }

    /// The stage now.
    pub fn stage(&self) -> Stage {
        unpack(self.0.load(Ordering::SeqCst))
    }

    /// Makes a transition; returns the stages before and after it.
    pub fn change(&self, transition: impl Fn(Stage) -> Stage) -> (Stage, Stage) {
        let mut word = self.0.load(Ordering::SeqCst);
        loop {
            let before = unpack(word);
            let after = transition(before);
            let next = pack(after) | word & QUEUED;
            match self.0.compare_exchange_weak(word, next, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return (before, after),
                Err(newer) => word = newer,
            }
        }
    }

    /// Notes that memory has more than the disk; `true` when the session is not queued for the writer yet.
    pub fn enqueue(&self) -> bool {
        // A question touches its session a million times a second: the load keeps the cache line shared.
        self.0.load(Ordering::Relaxed) & QUEUED == 0 && self.0.fetch_or(QUEUED, Ordering::SeqCst) & QUEUED == 0
    }

    /// The writer has taken it from the queue. Must be called before reading what to write, so that a change in between
    /// queues it again.
    pub fn dequeue(&self) {
        self.0.fetch_and(!QUEUED, Ordering::SeqCst);
    }
}

fn pack(stage: Stage) -> u64 {
    let end = |end: End| {
        let reason = match end.reason {
            Reason::IdleTimeout => 1,
            Reason::LifetimeExceeded => 2,
            Reason::Revoked => 3,
        };
        end.at_ms.min(u64::MAX >> INSTANT_SHIFT) << INSTANT_SHIFT | reason
    };
    let disk = |disk: u64| disk << DISK_SHIFT;
    match stage {
        Stage::Unrecorded => disk(0),
        Stage::Recorded => disk(1),
        Stage::Ended(at, OnDisk::Nothing) => end(at) | disk(0),
        Stage::Ended(at, OnDisk::Record) => end(at) | disk(1),
        Stage::Ended(at, OnDisk::OtherTombstone) => end(at) | disk(2),
        Stage::Ended(at, OnDisk::Tombstone) => end(at) | disk(3),
        Stage::Replaced(at, is_on_disk) => end(at) | disk(u64::from(is_on_disk)) | REPLACED,
    }
}

fn unpack(word: u64) -> Stage {
    let disk = word >> DISK_SHIFT & DISK;
    let reason = match word & REASON {
        0 if disk == 0 => return Stage::Unrecorded,
        0 => return Stage::Recorded,
        1 => Reason::IdleTimeout,
        2 => Reason::LifetimeExceeded,
        _ => Reason::Revoked,
    };
    let end = End { reason, at_ms: word >> INSTANT_SHIFT };
    if word & REPLACED != 0 {
        return Stage::Replaced(end, disk != 0);
    }
    let on_disk = match disk {
        0 => OnDisk::Nothing,
        1 => OnDisk::Record,
        2 => OnDisk::OtherTombstone,
        _ => OnDisk::Tombstone,
    };
    Stage::Ended(end, on_disk)
}

#[cfg(test)]
mod tests;
