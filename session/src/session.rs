//! One live session. What changes on every request is in atomics, so that judging takes no lock.

use crate::access::Access;
use crate::id::{KeyKind, SessionId};
use crate::intern::ScopeSet;
use crate::judge::{End, Reason, expiry};
use crate::store::Record;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bits of the end's word that hold the reason.
const REASON_BITS: u32 = 2;

/// How much of a session is on disk. It only goes up, and only the writer moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub enum Stored {
    /// Nothing yet: its record is written behind.
    Nothing = 0,
    /// Its record.
    Record = 1,
    /// Its tombstone.
    Tombstone = 2,
}

/// What a session was opened with. It never changes.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its public id.
    pub id: SessionId,
    /// Who issued the tokens.
    pub issuer: Arc<str>,
    /// Names it within its issuer.
    pub key: Box<str>,
    /// What the key was made from.
    pub kind: KeyKind,
    /// Whose it is; empty when the first token had none.
    pub subject: Box<str>,
    /// The client of the first token; empty when it had none.
    pub client: Arc<str>,
    /// Its limits.
    pub access: Arc<Access>,
    /// The scopes of the first token: no token of the session may have more.
    pub granted: ScopeSet,
    /// Its start.
    pub opened_at_ms: u64,
    /// The end that it came back from: tokens issued at or before it stay refused.
    pub returned: Option<End>,
}

/// A session in memory.
#[derive(Debug)]
pub struct Session {
    origin: Origin,
    /// `0` while it lives, else the end's instant and reason in one word, so that both are set at once.
    end: AtomicU64,
    last_seen_ms: AtomicU64,
    scopes: Mutex<ScopeSet>,
    generation: AtomicU32,
    unwritten: AtomicBool,
    stored: AtomicU8,
}

impl Deref for Session {
    type Target = Origin;

    fn deref(&self) -> &Origin {
        &self.origin
    }
}

impl Session {
    /// A session that has just opened, of which nothing is on disk.
    pub fn opened(origin: Origin, last_seen_ms: u64) -> Self {
        let scopes = origin.granted.clone();
        Self::new(origin, scopes, last_seen_ms, Stored::Nothing)
    }

    /// A session whose record is on disk.
    pub fn loaded(origin: Origin, scopes: ScopeSet, last_seen_ms: u64) -> Self {
        Self::new(origin, scopes, last_seen_ms, Stored::Record)
    }

    fn new(origin: Origin, scopes: ScopeSet, last_seen_ms: u64, stored: Stored) -> Self {
        Self {
            origin,
            end: AtomicU64::new(0),
            last_seen_ms: AtomicU64::new(last_seen_ms),
            scopes: Mutex::new(scopes),
            generation: AtomicU32::new(0),
            unwritten: AtomicBool::new(false),
            stored: AtomicU8::new(stored as u8),
        }
    }

    /// Its end, once it has one.
    pub fn ended(&self) -> Option<End> {
        unpack(self.end.load(Ordering::SeqCst))
    }

    /// Ends it. The first end stands: `false` says that there was one already.
    pub fn end(&self, end: End) -> bool {
        self.end.compare_exchange(0, pack(end), Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The end that its own limits have put to it by `now_ms`.
    pub fn expiry(&self, now_ms: u64) -> Option<End> {
        expiry(self.opened_at_ms, self.last_seen_ms(), self.access.limits, now_ms)
    }

    /// The last activity.
    pub fn last_seen_ms(&self) -> u64 {
        self.last_seen_ms.load(Ordering::Relaxed)
    }

    /// Notes activity. A clock that went back never makes it older.
    pub fn touch(&self, now_ms: u64) {
        self.last_seen_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// The scopes that it has now, with the generation they belong to or an older one: who keeps them sees a newer
    /// generation as soon as they are outdated.
    pub fn scopes(&self) -> (u32, ScopeSet) {
        let generation = self.generation();
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        (generation, scopes.clone())
    }

    /// How often the scopes have changed.
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Changes the scopes.
    pub fn set_scopes(&self, scopes: ScopeSet) {
        *self.scopes.lock().unwrap_or_else(PoisonError::into_inner) = scopes;
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Marks that memory has more than the disk; `true` when it was not marked yet.
    pub fn mark_unwritten(&self) -> bool {
        !self.unwritten.load(Ordering::Relaxed) && !self.unwritten.swap(true, Ordering::SeqCst)
    }

    /// Takes the mark off. To be done before reading what is written, so that a change in between marks it again.
    pub fn take_unwritten(&self) {
        self.unwritten.store(false, Ordering::SeqCst);
    }

    /// How much of it is on disk.
    pub fn stored(&self) -> Stored {
        match self.stored.load(Ordering::SeqCst) {
            0 => Stored::Nothing,
            1 => Stored::Record,
            _ => Stored::Tombstone,
        }
    }

    /// Notes what is on disk now. A tombstone stays.
    pub fn set_stored(&self, stored: Stored) {
        self.stored.fetch_max(stored as u8, Ordering::SeqCst);
    }

    /// Asks for the whole record to be written again.
    pub fn rewrite(&self) {
        let (record, nothing) = (Stored::Record as u8, Stored::Nothing as u8);
        let _: Result<u8, u8> = self.stored.compare_exchange(record, nothing, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The session as it is now, for the disk and for the admin API.
    pub fn record(&self) -> Record {
        self.record_with(self.ended(), &self.scopes().1)
    }

    /// The record as it will be with that end and those scopes.
    pub fn record_with(&self, ended: Option<End>, scopes: &ScopeSet) -> Record {
        Record {
            issuer: self.issuer.to_string(),
            key: self.key.to_string(),
            kind: self.kind,
            subject: self.subject.to_string(),
            client_id: self.client.to_string(),
            access: self.access.name.clone(),
            absolute_ms: self.access.limits.absolute_ms,
            idle_ms: self.access.limits.idle_ms,
            granted: self.granted.to_vec(),
            scopes: scopes.to_vec(),
            opened_at_ms: self.opened_at_ms,
            last_seen_ms: self.last_seen_ms(),
            returned: self.returned,
            ended,
        }
    }
}

fn pack(end: End) -> u64 {
    let reason = match end.reason {
        Reason::IdleTimeout => 1,
        Reason::LifetimeExceeded => 2,
        Reason::Revoked => 3,
    };
    end.at_ms.min(u64::MAX >> REASON_BITS) << REASON_BITS | reason
}

fn unpack(word: u64) -> Option<End> {
    let reason = match word & 3 {
        0 => return None,
        1 => Reason::IdleTimeout,
        2 => Reason::LifetimeExceeded,
        _ => Reason::Revoked,
    };
    let at_ms = word >> REASON_BITS;
    Some(End { reason, at_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_fits_in_one_word() {
        for reason in [Reason::IdleTimeout, Reason::LifetimeExceeded, Reason::Revoked] {
            for at_ms in [0, 1, 1_700_000_000_000, u64::MAX >> REASON_BITS] {
                let end = End { reason, at_ms };
                assert_eq!(unpack(pack(end)), Some(end));
            }
        }
        assert_eq!(unpack(0), None);
    }
}
