//! What a commit does to a shared store: its changes, merged with what the store has. Pure, so that every order can be tested.
//!
//! The log gets only what has had an effect, as it was merged.

use crate::blocks::Block;
use crate::issuers::KnownIssuer;
use crate::judge::End;
use crate::per_party::OfParty;
use crate::revocations::Revocation;
use crate::store::{Change, Lead, Marks, Receipt, ReceiptId, Record, StoreError};
use crate::usage::{self, Count};
use portcullis_contract::SessionId;
use std::collections::{BTreeMap, BTreeSet};

/// The table's word for a kind of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Revocation,
    Block,
    Narrowing,
    Attribute,
    Held,
    Request,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Revocation => "revocation",
            Self::Block => "block",
            Self::Narrowing => "narrowing",
            Self::Attribute => "attribute",
            Self::Held => "held",
            Self::Request => "request",
        }
    }
}

/// What the tables have under the id of a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Tombstone(Option<End>),
    Damaged,
}

/// What has to be read before a commit can be merged.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) tombstones: BTreeSet<SessionId>,
    /// The parties of revocations and blocks.
    pub(super) parties: BTreeSet<Vec<u8>>,
}

/// What the tables have of it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) tombstones: BTreeMap<SessionId, Held>,
    pub(super) revocations: BTreeMap<Vec<u8>, Revocation>,
    pub(super) blocks: BTreeMap<Vec<u8>, Block>,
}

/// What becomes of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Live(Record),
    Buried(Record),
    Forgotten,
}

/// The effects of a commit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) fates: BTreeMap<SessionId, Fate>,
    pub(super) seen: BTreeMap<SessionId, Marks>,
    /// The rule of each party, or none any more.
    pub(super) rules: BTreeMap<(Kind, Vec<u8>), Option<Vec<u8>>>,
    pub(super) issuers: Vec<KnownIssuer>,
    pub(super) leads: Vec<Lead>,
    pub(super) received: Vec<Receipt>,
    pub(super) unreceived: Vec<ReceiptId>,
    /// Receipts that are kept until before this instant are dropped.
    pub(super) forget_received_before_ms: Option<u64>,
    /// Counts to be added: each of its own row.
    pub(super) used: BTreeMap<(u32, usage::Kind, String, String), Count>,
    /// The counts of the days before this one are dropped.
    pub(super) forget_used_before: Option<u32>,
    /// For the log.
    pub(super) changes: Vec<Change>,
    found: Found,
}

/// What has to be read for these changes.
pub(super) fn wanted(changes: &[Change]) -> Result<Wanted, StoreError> {
    let mut wanted = Wanted::default();
    for change in changes {
        match change {
            Change::Write(record) | Change::Open(record) | Change::Tombstone(record) => {
                wanted.tombstones.insert(record.id());
            }
            Change::Forget(id, _) => {
                wanted.tombstones.insert(*id);
            }
            Change::Revocation(revocation) | Change::Lift(revocation) => {
                wanted.parties.insert(key_of(revocation)?);
            }
            Change::Unblock(block) => {
                wanted.parties.insert(key_of(block)?);
            }
            Change::Rules(rules) => {
                for revocation in &rules.revocations {
                    wanted.parties.insert(key_of(revocation)?);
                }
            }
            Change::Block(_)
            | Change::Seen(..)
            | Change::Narrowing(_)
            | Change::Attribute(_)
            | Change::Hold(_)
            | Change::Unhold(_)
            | Change::Request(_)
            | Change::ForgetRequest(_)
            | Change::Received(_)
            | Change::ForgetReceived(_)
            | Change::Unreceived(_)
            | Change::Issuers(_)
            | Change::Leads(_)
            | Change::Used(_)
            | Change::ForgetUsed(_) => {}
        }
    }
    Ok(wanted)
}

impl Batch {
    /// Merges changes with what was found.
    pub(super) fn of(changes: &[Change], found: Found) -> Result<Self, StoreError> {
        let mut batch = Self { found, ..Self::default() };
        changes.iter().try_for_each(|change| batch.make(change))?;
        Ok(batch)
    }

    fn make(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Write(record) => self.write(record, Change::Write),
            Change::Open(record) => self.write(record, Change::Open),
            Change::Seen(id, marks) => self.seen(*id, *marks),
            Change::Tombstone(record) => self.bury(record),
            Change::Forget(id, before_ms) => {
                if let Some(Held::Tombstone(Some(end))) = self.held(*id)
                    && end.at_ms < *before_ms
                {
                    self.fates.insert(*id, Fate::Forgotten);
                }
            }
            Change::Revocation(revocation) => self.revocation(revocation)?,
            Change::Lift(revocation) => {
                let key = key_of(revocation)?;
                if self.found.revocations.get(&key) == Some(revocation) {
                    self.found.revocations.remove(&key);
                    self.rules.insert((Kind::Revocation, key), None);
                    self.changes.push(change.clone());
                }
            }
            Change::Block(block) => {
                let key = key_of(block)?;
                self.rules.insert((Kind::Block, key.clone()), Some(text(block)?));
                self.found.blocks.insert(key, block.clone());
                self.changes.push(change.clone());
            }
            Change::Unblock(block) => {
                let key = key_of(block)?;
                if self.found.blocks.get(&key) == Some(block) {
                    self.found.blocks.remove(&key);
                    self.rules.insert((Kind::Block, key), None);
                    self.changes.push(change.clone());
                }
            }
            Change::Narrowing(narrowing) => {
                let rule = if narrowing.is_lifted() { None } else { Some(text(narrowing)?) };
                self.rules.insert((Kind::Narrowing, text(&narrowing.party)?), rule);
                self.changes.push(change.clone());
            }
            Change::Attribute(attribute) => {
                let rule = if attribute.fact.is_some() { Some(text(attribute)?) } else { None };
                let key = attribute.key().map_err(|e| StoreError(e.to_string()))?;
                self.rules.insert((Kind::Attribute, key), rule);
                self.changes.push(change.clone());
            }
            Change::Hold(signal) => {
                self.rules.insert((Kind::Held, signal.id.clone().into_bytes()), Some(text(signal)?));
                self.changes.push(change.clone());
            }
            Change::Unhold(id) => {
                self.rules.insert((Kind::Held, id.clone().into_bytes()), None);
                self.changes.push(change.clone());
            }
            Change::Request(request) => {
                self.rules.insert((Kind::Request, request.id.clone().into_bytes()), Some(text(&**request)?));
                self.changes.push(change.clone());
            }
            Change::ForgetRequest(id) => {
                self.rules.insert((Kind::Request, id.clone().into_bytes()), None);
                self.changes.push(change.clone());
            }
            Change::Received(receipt) => self.received.push(receipt.clone()),
            Change::Unreceived(ids) => self.unreceived.extend(ids.iter().cloned()),
            Change::ForgetReceived(before_ms) => self.forget_received_before_ms = Some(*before_ms),
            // The rows are the only place where the counts of replicas meet.
            Change::Used(used) => {
                for used in used {
                    let key = (used.day, used.kind, used.name.clone(), used.client.clone());
                    self.used.entry(key).or_default().add(used.count);
                }
            }
            Change::ForgetUsed(before) => self.forget_used_before = Some(*before),
            Change::Issuers(issuers) => {
                self.issuers.extend(issuers.iter().cloned());
                self.changes.push(change.clone());
            }
            Change::Leads(leads) => {
                self.leads.extend(leads.iter().cloned());
                self.changes.push(change.clone());
            }
            // A store that was reopened has lost nothing here, and others may have added to its rules.
            Change::Rules(rules) => {
                rules.revocations.iter().try_for_each(|revocation| self.revocation(revocation))?;
                for block in &rules.blocks {
                    self.make(&Change::Block(block.clone()))?;
                }
                for narrowing in &rules.narrowings {
                    self.make(&Change::Narrowing(narrowing.clone()))?;
                }
                for attribute in &rules.attributes {
                    self.make(&Change::Attribute(attribute.clone()))?;
                }
                for signal in &rules.held {
                    self.make(&Change::Hold(signal.clone()))?;
                }
                for request in &rules.requests {
                    self.make(&Change::Request(Box::new(request.clone())))?;
                }
            }
        }
        Ok(())
    }

    /// What is under the id of a tombstone after the changes before this one.
    fn held(&self, id: SessionId) -> Option<Held> {
        match self.fates.get(&id) {
            Some(Fate::Buried(record)) => Some(Held::Tombstone(record.ended)),
            Some(Fate::Live(_) | Fate::Forgotten) => None,
            None => self.found.tombstones.get(&id).copied(),
        }
    }

    fn write(&mut self, record: &Record, logged: fn(Record) -> Change) {
        let id = record.id();
        let may_write = match self.held(id) {
            None => true,
            Some(Held::Tombstone(end)) => record.may_replace(end),
            // Nobody can say which end that was.
            Some(Held::Damaged) => false,
        };
        if may_write {
            let mut record = record.clone();
            if let Some(marks) = self.seen.remove(&id) {
                record.marks = record.marks.merged(marks);
            }
            self.changes.push(logged(record.clone()));
            self.fates.insert(id, Fate::Live(record));
        }
    }

    fn seen(&mut self, id: SessionId, marks: Marks) {
        match self.fates.get_mut(&id) {
            Some(Fate::Live(record)) => record.marks = record.marks.merged(marks),
            Some(Fate::Buried(_) | Fate::Forgotten) => return,
            None => {
                let held = self.seen.entry(id).or_default();
                *held = held.merged(marks);
            }
        }
        self.changes.push(Change::Seen(id, marks));
    }

    fn bury(&mut self, record: &Record) {
        let id = record.id();
        let held = match self.held(id) {
            Some(Held::Tombstone(end)) => end,
            // The new one mends it.
            None | Some(Held::Damaged) => None,
        };
        let merged = record.clone().over(held);
        if held.is_some() && held == merged.ended {
            return;
        }
        self.seen.remove(&id);
        self.changes.push(Change::Tombstone(merged.clone()));
        self.fates.insert(id, Fate::Buried(merged));
    }

    fn revocation(&mut self, revocation: &Revocation) -> Result<(), StoreError> {
        let key = key_of(revocation)?;
        let merged = match self.found.revocations.get(&key) {
            Some(held) => revocation.clone().merged(held),
            None => revocation.clone(),
        };
        self.rules.insert((Kind::Revocation, key.clone()), Some(text(&merged)?));
        self.changes.push(Change::Revocation(merged.clone()));
        self.found.revocations.insert(key, merged);
        Ok(())
    }
}

fn key_of(rule: &impl OfParty) -> Result<Vec<u8>, StoreError> {
    rule.key().map_err(|e| StoreError(e.to_string()))
}

/// A value as the tables hold it.
pub(super) fn text(value: &impl serde::Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|e| StoreError(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{T0, person};
    use crate::judge::Reason;
    use crate::made_by::MadeBy;

    fn record(ended: Option<End>, returned: Option<End>) -> Record {
        let token = person("s", T0);
        Record {
            issuer: token.issuer.to_string(),
            key: token.key.to_string(),
            kind: token.kind,
            subject: token.subject.to_string(),
            client_id: token.client.to_string(),
            access: "person".to_owned(),
            absolute_ms: None,
            idle_ms: None,
            granted: Vec::new(),
            scopes: Vec::new(),
            opened_at_ms: T0,
            marks: Marks { last_seen_ms: T0, ..Marks::default() },
            returned,
            returned_from_ms: 0,
            ended,
            email: None,
        }
    }

    fn end(reason: Reason, at_ms: u64) -> Option<End> {
        Some(End { reason, at_ms })
    }

    fn found(held: Held) -> Found {
        Found { tombstones: BTreeMap::from([(person("s", T0).id, held)]), ..Found::default() }
    }

    #[test]
    fn a_live_record_replaces_a_tombstone_only_when_it_came_back_after_that_end() {
        let ended = end(Reason::Revoked, T0 + 5);
        let rows = [
            (Held::Tombstone(ended), None, false),
            (Held::Tombstone(ended), end(Reason::Revoked, T0 + 4), false),
            (Held::Tombstone(ended), ended, true),
            (Held::Damaged, ended, false),
        ];
        for (held, returned, is_written) in rows {
            let batch = Batch::of(&[Change::Write(record(None, returned))], found(held)).unwrap();
            assert_eq!((batch.fates.len(), batch.changes.len()), (usize::from(is_written), usize::from(is_written)));
        }
    }

    #[test]
    fn ends_are_merged_and_one_that_adds_nothing_is_not_logged() {
        let idle = end(Reason::IdleTimeout, T0 + 9);
        let revoked = end(Reason::Revoked, T0 + 5);
        let of = |held, new| {
            let batch = Batch::of(&[Change::Tombstone(record(new, None))], found(Held::Tombstone(held))).unwrap();
            batch.fates.into_values().next()
        };
        assert_eq!(of(revoked, revoked), None);
        let Some(Fate::Buried(merged)) = of(idle, revoked) else { panic!("not buried") };
        assert_eq!(merged.ended, end(Reason::Revoked, T0 + 9));
        let damaged = Batch::of(&[Change::Tombstone(record(idle, None))], found(Held::Damaged)).unwrap();
        assert_eq!(damaged.changes.len(), 1, "an unreadable one is mended");
    }

    #[test]
    fn changes_of_one_commit_see_each_other() {
        let ended = end(Reason::Revoked, T0 + 5);
        let id = person("s", T0).id;
        let marks = Marks { last_seen_ms: T0 + 3, ..Marks::default() };
        let changes = [
            Change::Seen(id, marks),
            Change::Write(record(None, None)),
            Change::Tombstone(record(ended, None)),
            Change::Seen(id, marks),
            Change::Write(record(None, ended)),
        ];
        let batch = Batch::of(&changes, Found::default()).unwrap();
        assert_eq!(batch.fates.into_iter().collect::<Vec<_>>(), [(id, Fate::Live(record(None, ended)))]);
        assert!(batch.seen.is_empty());
        assert_eq!(batch.changes.len(), 4, "activity of an ended session is none");
        match &batch.changes[1] {
            Change::Write(record) => assert_eq!(record.marks.last_seen_ms, T0 + 3),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_revocation_keeps_the_stricter_and_only_that_very_one_is_lifted() {
        let made = |before_ms| Revocation {
            issuer: "i".to_owned(),
            party: crate::revocations::RevokedParty::Everyone,
            before_ms,
            made_at_ms: 1,
            ends_at_ms: before_ms,
            reason: String::new(),
            by: MadeBy::default(),
        };
        let found =
            || Found { revocations: BTreeMap::from([(key_of(&made(50)).unwrap(), made(50))]), ..Found::default() };
        let batch = Batch::of(&[Change::Revocation(made(20))], found()).unwrap();
        assert!(matches!(&batch.changes[..], [Change::Revocation(merged)] if merged.before_ms == 50));
        let other = Batch::of(&[Change::Lift(made(49))], found()).unwrap();
        assert!(other.changes.is_empty() && other.rules.is_empty());
        let lifted = Batch::of(&[Change::Lift(made(50)), Change::Revocation(made(20))], found()).unwrap();
        assert!(matches!(&lifted.changes[..], [Change::Lift(_), Change::Revocation(now)] if now.before_ms == 20));
    }
}
