//! What outlives the process: the records of live sessions, the tombstones of ended ones, and the rules for parties.
//!
//! Every store keeps two invariants, in whatever order its callers write. A live record never overwrites a tombstone,
//! unless the record states that its session came back after that same end. The end of a tombstone never becomes earlier,
//! and its reason never changes from a revocation to a limit.
//!
//! An entry that cannot be read never counts as absent: its session stays ended, or unknown.

mod batch;
pub mod embedded;
mod entry;
pub mod postgres;
pub mod redis;

use crate::approvals::AccessRequest;
use crate::attributes::Attribute;
use crate::blocks::Block;
use crate::email::EmailDigest;
use crate::held::HeldSignal;
use crate::issuers::KnownIssuer;
use crate::judge::{End, Reason};
use crate::narrowings::Narrowing;
use crate::proofs::UsedProof;
use crate::replica::{Appended, Engine, Place};
use crate::revocations::{Bearer, Revocation};
use crate::tokens::{FamilyId, StoredFamily};
use crate::usage::Used;
use portcullis_contract::token::TokenDigest;
use portcullis_contract::{KeyKind, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

pub use crate::leads::Lead;

/// Instants of a session that only ever move later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marks {
    /// The last activity.
    pub last_seen_ms: u64,
    /// The last login, by our clock; without any, the session's start.
    pub login_at_ms: u64,
    /// The newest `auth_time` that its tokens had, by the issuer's clock; 0 without any.
    pub authenticated_ms: u64,
    /// The newest `iat` that its tokens had, by the issuer's clock.
    pub issued_ms: u64,
}

impl Marks {
    /// The later instants of both.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            last_seen_ms: self.last_seen_ms.max(other.last_seen_ms),
            login_at_ms: self.login_at_ms.max(other.login_at_ms),
            authenticated_ms: self.authenticated_ms.max(other.authenticated_ms),
            issued_ms: self.issued_ms.max(other.issued_ms),
        }
    }

    /// Takes activity for older than it was stamped: by a clock that is this much ahead.
    pub fn set_back(&mut self, ahead_ms: u64) {
        self.last_seen_ms = self.last_seen_ms.saturating_sub(ahead_ms);
    }

    /// The latest instant that its tokens have stated.
    pub fn newest_ms(self) -> u64 {
        self.authenticated_ms.max(self.issued_ms)
    }
}

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
    /// The scopes that it had when this was written, for people only: verdicts use the narrowing of its party.
    pub scopes: Vec<String>,
    /// Its start.
    pub opened_at_ms: u64,
    /// The instants that move while it lives.
    pub marks: Marks,
    /// The end that it came back after.
    pub returned: Option<End>,
    /// A token is from before that end if its login (for a machine client, its `iat`) is not later than this.
    pub returned_from_ms: u64,
    /// Its end: the record is then a tombstone.
    pub ended: Option<End>,
    /// The latest e-mail address that its tokens have said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailDigest>,
}

impl Record {
    /// The public id of its session.
    pub fn id(&self) -> SessionId {
        SessionId::of(self.kind, &self.issuer, &self.key, &self.client_id)
    }

    /// What revocations are compared with.
    pub fn bearer(&self) -> Bearer<'_> {
        Bearer {
            issuer: &self.issuer,
            subject: &self.subject,
            client: &self.client_id,
            kind: self.kind,
            key: &self.key,
            start_ms: self.marks.login_at_ms,
            login_ms: self.marks.authenticated_ms,
        }
    }

    /// Whether this live record may replace a tombstone with the end `ended`: only if its session came back after that
    /// same end, or a later one.
    pub fn may_replace(&self, ended: Option<End>) -> bool {
        match (ended, self.returned) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ended), Some(returned)) => ended.at_ms <= returned.at_ms,
        }
    }

    /// This tombstone, merged with an earlier one of the same session that has the end `ended`.
    #[must_use]
    pub fn over(mut self, ended: Option<End>) -> Self {
        if !self.may_replace(ended) {
            self.ended = self.ended.zip(ended).map(|(own, held)| own.merged(held)).or(self.ended);
        }
        self
    }

    /// A token can open the session again after `end` only if its login (for a machine client, its `iat`) is later than
    /// this.
    pub fn returns_from_ms(&self, end: End) -> u64 {
        let own = match end.reason {
            // A login during the session that this service has not seen counts as a later one, too.
            Reason::IdleTimeout | Reason::LifetimeExceeded if !self.kind.returns() => {
                self.marks.authenticated_ms.max(self.opened_at_ms)
            }
            Reason::IdleTimeout | Reason::LifetimeExceeded | Reason::Revoked => end.at_ms,
        };
        own.max(self.returned_from_ms)
    }
}

/// One change. Those of one call to [`Store::apply`] are made together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The record of a live session, new or changed. Skipped where a tombstone forbids it.
    Write(Record),
    /// The same of a session that the admin API opens.
    Open(Record),
    /// The instants of a live session that have moved. Never moves them back.
    Seen(#[serde(with = "id_text")] SessionId, Marks),
    /// The tombstone of an ended session, which replaces its record. If the session has a tombstone already, their ends are
    /// merged.
    Tombstone(Record),
    /// Drops the tombstone of a session if it ended before that instant.
    Forget(#[serde(with = "id_text")] SessionId, u64),
    /// A revocation of a party. If the party has one already, the stricter of the two is kept.
    Revocation(Revocation),
    /// The end of that very revocation. Another one of the same party stays.
    Lift(Revocation),
    /// A block of a party, in the place of the one that the party has.
    Block(Block),
    /// The end of that very block. Another one of the same party stays.
    Unblock(Block),
    /// A narrowing, or the end of one.
    Narrowing(Narrowing),
    /// An attribute, or the end of one.
    Attribute(Attribute),
    /// A signal is held.
    Hold(HeldSignal),
    /// The signal with that id is no longer held.
    Unhold(String),
    /// A request for access, in the place of its earlier state.
    Request(Box<AccessRequest>),
    /// The request with that id is no longer kept.
    ForgetRequest(String),
    /// A signal was received. Only the tables know it: memory has its effects.
    Received(Receipt),
    /// Drops some of the receipts that are kept until before that instant.
    ForgetReceived(u64),
    /// Drops the receipts of signals whose effects may be lost: they are made when these come again.
    Unreceived(Vec<ReceiptId>),
    /// Issuers that filters have described; they replace what was stored about them.
    Issuers(Vec<KnownIssuer>),
    /// How far the clocks of issuers were ahead; they replace what was stored about them.
    Leads(Vec<Lead>),
    /// All rules; any others are deleted.
    Rules(Rules),
    /// Counts of what is used, which are added to those of the store. No replica's memory has them.
    Used(Vec<Used>),
    /// Drops some of the counts of the days before that one.
    ForgetUsed(u32),
}

impl Change {
    /// The instants of a live session that it carries.
    pub(crate) const fn marks_mut(&mut self) -> Option<&mut Marks> {
        match self {
            Self::Seen(_, marks) => Some(marks),
            Self::Write(record) | Self::Open(record) => Some(&mut record.marks),
            _ => None,
        }
    }
}

/// Session ids as hexadecimal digits.
pub(crate) mod id_text {
    use portcullis_contract::SessionId;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(id: &SessionId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SessionId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom("not a session's id"))
    }
}

/// That a signal was received: it has its effects once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Tells it from every other one.
    pub id: ReceiptId,
    /// Until when it is kept.
    pub until_ms: u64,
}

/// Tells a signal from every other one: the first 16 bytes of SHA-256(transmitter, 0x00, `jti`), as lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReceiptId(pub String);

impl ReceiptId {
    /// That of a transmitter's signal.
    pub fn of(transmitter: &str, jti: &str) -> Self {
        let digest = TokenDigest::of(&format!("{transmitter}\0{jti}"));
        Self(digest.0.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The rules that hold for parties, and so also for sessions that were never seen; and what else is all in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// All revocations.
    pub revocations: Vec<Revocation>,
    /// All blocks, with those that have run out and are not collected yet.
    pub blocks: Vec<Block>,
    /// All narrowings.
    pub narrowings: Vec<Narrowing>,
    /// All attributes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    /// All held signals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldSignal>,
    /// All requests for access, with their grants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<AccessRequest>,
}

impl Rules {
    /// How many there are.
    pub fn count(&self) -> usize {
        let Self { revocations, blocks, narrowings, attributes, held, requests } = self;
        let others = attributes.len() + held.len() + requests.len();
        revocations.len() + blocks.len() + narrowings.len() + others
    }
}

/// The store failed. The text is for the operator's log, not for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub String);

impl StoreError {
    /// An entry that is there, and says nothing that can be read.
    pub(crate) fn damage() -> Self {
        Self("damaged entry".to_owned())
    }

    /// A store that keeps no refresh families: the configuration is refused before.
    fn no_families() -> Self {
        Self("this store keeps no refresh families".to_owned())
    }

    /// Whether it is that: to read it again tells no more.
    pub(crate) fn is_damage(&self) -> bool {
        *self == Self::damage()
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// A store. Calls block; only the writer calls [`Store::apply`], every thread may read.
pub trait Store: Send + Sync + 'static {
    /// Tells this store from every other one: 16 hexadecimal digits.
    fn id(&self) -> String;

    /// What digests are keyed with: chosen at random when the store was made.
    fn secret(&self) -> String;

    /// The issuers that filters have described.
    fn issuers(&self) -> Result<Vec<KnownIssuer>, StoreError>;

    /// How far the clocks of issuers were ahead.
    fn leads(&self) -> Result<Vec<Lead>, StoreError>;

    /// All rules.
    fn rules(&self) -> Result<Rules, StoreError>;

    /// Calls `each` with the record of every live session, one at a time, because there can be millions. A record that
    /// cannot be read becomes a tombstone that cannot be read. Returns the number of these.
    fn sessions(&self, each: &mut dyn FnMut(Record)) -> Result<usize, StoreError>;

    /// Makes the changes, all or none; durable when it returns.
    fn apply(&self, changes: &[Change]) -> Result<(), StoreError>;

    /// Finds out whether the store can write, and reopens it if it cannot. `true`: it was reopened, so the last writes
    /// may be missing. Only the writer calls this.
    fn recover(&self) -> Result<bool, StoreError>;

    /// The tombstone of a session.
    fn tombstone(&self, id: SessionId) -> Result<Option<Record>, StoreError> {
        match self.tombstones_of(&[id])?.pop() {
            None => Ok(None),
            Some((_, Some(record))) => Ok(Some(record)),
            Some((_, None)) => Err(StoreError::damage()),
        }
    }

    /// Calls `each` with the tombstones after `after` in the order of their ids, until it answers `false`. It is called
    /// with `None` for one that cannot be read.
    fn tombstones(
        &self,
        after: Option<SessionId>,
        each: &mut dyn FnMut(SessionId, Option<Record>) -> bool,
    ) -> Result<(), StoreError>;

    /// The tombstones of several sessions, where there are any; `None` for one that cannot be read.
    fn tombstones_of(&self, ids: &[SessionId]) -> Result<Vec<(SessionId, Option<Record>)>, StoreError>;

    /// Which of these signals were received before. In a commit, what is read is what the commit finds.
    fn received(&self, ids: &[&ReceiptId]) -> Result<HashSet<ReceiptId>, StoreError>;

    /// Calls `each` with the counts of what was used on that day and later.
    fn usage(&self, since: u32, each: &mut dyn FnMut(Used)) -> Result<(), StoreError>;

    /// Notes at `now_ms` that proofs of possession were used; for each, whether no other asker has used it. No two have the same
    /// id. Beside commits, and from one thread. Where there are no replicas, the caller knows what was used.
    fn keep_proofs(&self, proofs: &[UsedProof], _now_ms: u64) -> Result<Vec<bool>, StoreError> {
        Ok(vec![true; proofs.len()])
    }

    /// Calls `each` with the proofs that were noted before this process, and end after `now_ms`. A store that is asked about
    /// every proof has none to tell.
    fn kept_proofs(&self, _now_ms: u64, _each: &mut dyn FnMut(UsedProof)) -> Result<(), StoreError> {
        Ok(())
    }

    /// The refresh family with that id.
    fn family(&self, _id: FamilyId) -> Result<Option<StoredFamily>, StoreError> {
        Err(StoreError::no_families())
    }

    /// Those of these families that there are.
    fn families(&self, ids: &[FamilyId]) -> Result<Vec<StoredFamily>, StoreError> {
        ids.iter().filter_map(|id| self.family(*id).transpose()).collect()
    }

    /// Writes a family over that version of it, or as a new one; durable when it returns. `false`: nothing was written, because
    /// the store has another version. Beside commits, from any thread.
    fn write_family(&self, _family: &StoredFamily, _over: Option<u64>) -> Result<bool, StoreError> {
        Err(StoreError::no_families())
    }

    /// Some of the families that are over, and whose issuer does not know that yet.
    fn ended_families(&self, _max: usize) -> Result<Vec<StoredFamily>, StoreError> {
        Ok(Vec::new())
    }

    /// Drops that very version of a family.
    fn drop_family(&self, _id: FamilyId, _version: u64) -> Result<(), StoreError> {
        Err(StoreError::no_families())
    }

    /// Drops some of the families that are kept until before that instant; returns how many.
    fn drop_families(&self, _before_ms: u64) -> Result<usize, StoreError> {
        Ok(0)
    }

    /// The longest lease that a filter may have been given by whoever had the store before this process, in milliseconds. `None`:
    /// the store does not say. Replicas whose store lists them by their runs need not know.
    fn longest_lease_ms(&self) -> Result<Option<u64>, StoreError> {
        Ok(Some(0))
    }

    /// Notes that a filter may be given one that long; durable when it returns. Beside commits.
    fn note_longest_lease(&self, _ms: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Starts a commit: until [`Store::apply`] or [`Store::cancel`], no other replica makes one. Calls `each` with what
    /// others have changed since the last call, in order. Where there are no replicas, there is nothing to do.
    fn begin(&self, _each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        Ok(())
    }

    /// Ends a commit that changes nothing.
    fn cancel(&self) {}

    /// Calls `each` with what other replicas have changed since the last call, in order.
    fn catch_up(&self, _each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        Ok(())
    }

    /// Drops some of what no replica needs any more. Called now and then.
    fn trim(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What is read from now on contains every change so far: only later ones are passed to [`Store::catch_up`].
    fn start_at_head(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// How far other replicas' changes have been passed on, and the own ones made.
    fn place(&self) -> Place {
        0
    }

    /// How far the clock of the replica that is furthest ahead is ahead of this machine's, in milliseconds.
    fn clock_behind_ms(&self) -> u64 {
        0
    }

    /// The entry of the log that the last commit has made.
    fn take_appended(&self) -> Option<Appended> {
        None
    }

    /// What replicas of one store need besides; none for a store that has one user.
    fn engine(self: Arc<Self>) -> Option<Arc<dyn Engine>> {
        None
    }
}

#[cfg(test)]
pub(crate) mod tests;
