//! What outlives the process: the records of live sessions, the tombstones of ended ones, and the revocations.
//!
//! One invariant is kept by every store itself, whatever order its callers write in: a tombstone is never
//! overwritten by a live record, unless the record says that its session came back from that very end.

pub mod embedded;

use crate::judge::End;
use crate::revocations::Revocation;
use portcullis_contract::{KeyKind, SessionId};
use serde::{Deserialize, Serialize};

/// A session as it is stored. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who issued the tokens.
    pub issuer: String,
    /// Names the session within its issuer.
    pub key: String,
    /// What the key was made from.
    pub kind: KeyKind,
    /// Its subject; may be empty.
    pub subject: String,
    /// The client that opened it; may be empty.
    pub client_id: String,
    /// The name of its access type.
    pub access: String,
    /// The type's absolute limit when the session opened; used when the configuration no longer has the type.
    pub absolute_ms: Option<u64>,
    /// The type's idle limit, likewise.
    pub idle_ms: Option<u64>,
    /// The scopes that it was granted.
    pub granted: Vec<String>,
    /// The scopes that it has now.
    pub scopes: Vec<String>,
    /// Its start.
    pub opened_at_ms: u64,
    /// The last activity.
    pub last_seen_ms: u64,
    /// The end that it came back after.
    pub returned: Option<End>,
    /// Its end: the record is then a tombstone.
    pub ended: Option<End>,
}

impl Record {
    /// The public id of its session.
    pub fn id(&self) -> SessionId {
        SessionId::of(&self.issuer, &self.key)
    }

    /// Whether this live record may take the place of a tombstone with the end `ended`: if its session came back after
    /// that very end, or a later one.
    pub fn may_replace(&self, ended: Option<End>) -> bool {
        match (ended, self.returned) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ended), Some(returned)) => ended.at_ms <= returned.at_ms,
        }
    }
}

/// One change. Those of one call to [`Store::apply`] are made together or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    /// The record of a live session, new or changed. Skipped where a tombstone forbids it.
    Write(Record),
    /// A live session's last activity. Never makes it older.
    Seen(SessionId, u64),
    /// The tombstone of an ended session, instead of its record.
    Tombstone(Record),
    /// A revocation of a party.
    Revocation(Revocation),
}

/// The store failed. The text is for the operator's log, not for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub String);

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// A store. Calls block; only the writer calls [`Store::apply`], every thread may read.
pub trait Store: Send + Sync + 'static {
    /// All revocations.
    fn revocations(&self) -> Result<Vec<Revocation>, StoreError>;

    /// Calls `each` with the records of the live sessions, one after the other: they are many.
    fn sessions(&self, each: &mut dyn FnMut(Record)) -> Result<(), StoreError>;

    /// Makes the changes, all or none; durable when it returns.
    fn apply(&self, changes: &[Change]) -> Result<(), StoreError>;

    /// Finds out whether the store can write, and opens it again if it cannot. `true`: it was opened again, so what was
    /// written last may not be there. Only the writer calls it.
    fn recover(&self) -> Result<bool, StoreError>;

    /// The tombstone of a session.
    fn tombstone(&self, id: SessionId) -> Result<Option<Record>, StoreError>;

    /// Calls `each` with the tombstones after `after` in the order of their ids, until it answers `false`.
    fn tombstones(
        &self,
        after: Option<SessionId>,
        each: &mut dyn FnMut(SessionId, Record) -> bool,
    ) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests;
