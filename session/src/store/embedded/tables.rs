//! The tables of the store's file, and the changes of one commit to them.

use crate::approvals::AccessRequest;
use crate::attributes::Attribute;
use crate::blocks::Block;
use crate::held::HeldSignal;
use crate::judge::End;
use crate::narrowings::Narrowing;
use crate::per_party::OfParty;
use crate::revocations::Revocation;
use crate::store::{Change, Marks, Receipt, ReceiptId, Record, StoreError};
use crate::usage::{Count, Used};
use portcullis_contract::SessionId;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const SESSIONS: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("sessions");
/// The marks of live sessions, apart from their records: they are what changes all the time.
pub(super) const SEEN: TableDefinition<'_, [u8; 16], Seen> = TableDefinition::new("seen");
pub(super) const TOMBSTONES: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("tombstones");
/// Keyed by the party (JSON), so that a party has one revocation.
pub(super) const REVOCATIONS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("revocations");
/// Keyed by the party (JSON), so that a party has one block.
pub(super) const BLOCKS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("blocks");
/// Keyed by the issuer's name.
pub(super) const ISSUERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("issuers");
/// The lead of an issuer's clock in milliseconds, keyed by the issuer's name.
pub(super) const LEADS: TableDefinition<'_, &str, u64> = TableDefinition::new("leads");
/// Keyed by the party (JSON).
pub(super) const NARROWINGS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("narrowings");

/// Keyed by the holder and the name (JSON).
pub(super) const ATTRIBUTES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("attributes");
/// Keyed by the id.
pub(super) const HELD: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("held");
/// Keyed by the id.
pub(super) const REQUESTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("requests");

/// Signals that were received, with the instant until which that is kept; and the same by that instant.
pub(super) const RECEIVED: TableDefinition<'_, &str, u64> = TableDefinition::new("received");
pub(super) const RECEIVED_UNTIL: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("received_until");

/// What is used: the day, what it is about (the kind's number and the name) and the client, with the counts in the order of
/// the fields of [`Count`].
pub(super) const USED: TableDefinition<'_, UsedKey, UsedCount> = TableDefinition::new("used");

pub(super) type UsedKey = (u32, u8, &'static str, &'static str);
pub(super) type UsedCount = (u64, u64, u64, u64);

/// Receipts, and counts of what is used, that one commit drops.
const FORGOTTEN_MAX: usize = 4_096;

/// [`Marks`], in the order of its fields.
type Seen = (u64, u64, u64, u64);

/// What the table has under the id of a tombstone.
enum Held {
    Nothing,
    Tombstone(Option<End>),
    Damaged,
}

/// The tables, open for one commit.
pub(super) struct Tables<'t> {
    sessions: Table<'t, [u8; 16], &'static [u8]>,
    seen: Table<'t, [u8; 16], Seen>,
    tombstones: Table<'t, [u8; 16], &'static [u8]>,
    revocations: Table<'t, &'static [u8], &'static [u8]>,
    blocks: Table<'t, &'static [u8], &'static [u8]>,
    narrowings: Table<'t, &'static [u8], &'static [u8]>,
    attributes: Table<'t, &'static [u8], &'static [u8]>,
    held_signals: Table<'t, &'static [u8], &'static [u8]>,
    requests: Table<'t, &'static [u8], &'static [u8]>,
    issuers: Table<'t, &'static [u8], &'static [u8]>,
    leads: Table<'t, &'static str, u64>,
    received: Table<'t, &'static str, u64>,
    received_until: Table<'t, (u64, &'static str), ()>,
    used: Table<'t, UsedKey, UsedCount>,
}

/// Drops everything that a store has but its own marks.
pub(super) fn clear(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.delete_table(SESSIONS).map_err(failed)?;
    txn.delete_table(SEEN).map_err(failed)?;
    txn.delete_table(TOMBSTONES).map_err(failed)?;
    txn.delete_table(REVOCATIONS).map_err(failed)?;
    txn.delete_table(BLOCKS).map_err(failed)?;
    txn.delete_table(NARROWINGS).map_err(failed)?;
    txn.delete_table(ATTRIBUTES).map_err(failed)?;
    txn.delete_table(HELD).map_err(failed)?;
    txn.delete_table(REQUESTS).map_err(failed)?;
    txn.delete_table(ISSUERS).map_err(failed)?;
    txn.delete_table(LEADS).map_err(failed)?;
    txn.delete_table(RECEIVED).map_err(failed)?;
    txn.delete_table(RECEIVED_UNTIL).map_err(failed)?;
    txn.delete_table(USED).map_err(failed)?;
    Ok(())
}

impl<'t> Tables<'t> {
    pub(super) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            sessions: txn.open_table(SESSIONS).map_err(failed)?,
            seen: txn.open_table(SEEN).map_err(failed)?,
            tombstones: txn.open_table(TOMBSTONES).map_err(failed)?,
            revocations: txn.open_table(REVOCATIONS).map_err(failed)?,
            blocks: txn.open_table(BLOCKS).map_err(failed)?,
            narrowings: txn.open_table(NARROWINGS).map_err(failed)?,
            attributes: txn.open_table(ATTRIBUTES).map_err(failed)?,
            held_signals: txn.open_table(HELD).map_err(failed)?,
            requests: txn.open_table(REQUESTS).map_err(failed)?,
            issuers: txn.open_table(ISSUERS).map_err(failed)?,
            leads: txn.open_table(LEADS).map_err(failed)?,
            received: txn.open_table(RECEIVED).map_err(failed)?,
            received_until: txn.open_table(RECEIVED_UNTIL).map_err(failed)?,
            used: txn.open_table(USED).map_err(failed)?,
        })
    }

    pub(super) fn make(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Write(record) | Change::Open(record) => self.write(record),
            Change::Seen(id, marks) => self.seen(*id, *marks),
            Change::Tombstone(record) => self.tombstone(record),
            Change::Forget(id, before_ms) => self.forget(*id, *before_ms),
            Change::Revocation(revocation) => self.revocation(revocation),
            Change::Lift(revocation) => self.lift(revocation),
            Change::Block(block) => self.block(block),
            Change::Unblock(block) => self.unblock(block),
            Change::Narrowing(narrowing) => self.narrowing(narrowing),
            Change::Attribute(attribute) => self.attribute(attribute),
            Change::Hold(signal) => self.hold(signal),
            Change::Unhold(id) => self.held_signals.remove(id.as_bytes()).map(drop).map_err(failed),
            Change::Request(request) => self.request(request),
            Change::ForgetRequest(id) => self.requests.remove(id.as_bytes()).map(drop).map_err(failed),
            Change::Received(receipt) => self.received(receipt),
            Change::ForgetReceived(before_ms) => self.forget_received(*before_ms),
            Change::Unreceived(ids) => ids.iter().try_for_each(|ReceiptId(id)| {
                let until_ms = self.received.remove(id.as_str()).map_err(failed)?.map(|held| held.value());
                if let Some(until_ms) = until_ms {
                    self.received_until.remove((until_ms, id.as_str())).map_err(failed)?;
                }
                Ok(())
            }),
            Change::Issuers(issuers) => issuers.iter().try_for_each(|issuer| {
                self.issuers.insert(issuer.name.as_bytes(), text(issuer)?.as_slice()).map_err(failed)?;
                Ok(())
            }),
            Change::Leads(leads) => leads.iter().try_for_each(|lead| {
                self.leads.insert(&*lead.issuer, lead.lead_ms).map_err(failed)?;
                Ok(())
            }),
            Change::Used(used) => used.iter().try_for_each(|used| self.use_more(used)),
            Change::ForgetUsed(before) => self.forget_used(*before),
            Change::Rules(rules) => {
                self.revocations.retain(|_, _| false).map_err(failed)?;
                self.blocks.retain(|_, _| false).map_err(failed)?;
                self.narrowings.retain(|_, _| false).map_err(failed)?;
                self.attributes.retain(|_, _| false).map_err(failed)?;
                self.held_signals.retain(|_, _| false).map_err(failed)?;
                self.requests.retain(|_, _| false).map_err(failed)?;
                rules.requests.iter().try_for_each(|request| self.request(request))?;
                rules.attributes.iter().try_for_each(|attribute| self.attribute(attribute))?;
                rules.held.iter().try_for_each(|signal| self.hold(signal))?;
                rules.blocks.iter().try_for_each(|block| self.block(block))?;
                rules.revocations.iter().try_for_each(|revocation| self.revocation(revocation))?;
                rules.narrowings.iter().try_for_each(|narrowing| self.narrowing(narrowing))
            }
        }
    }

    fn write(&mut self, record: &Record) -> Result<(), StoreError> {
        let id = record.id().0;
        let ended = match self.held(id)? {
            Held::Nothing => None,
            Held::Tombstone(end) => end,
            // Nobody can say which end that was.
            Held::Damaged => return Ok(()),
        };
        if !record.may_replace(ended) {
            return Ok(());
        }
        if ended.is_some() {
            self.tombstones.remove(id).map_err(failed)?;
        }
        self.sessions.insert(id, text(record)?.as_slice()).map_err(failed)?;
        self.seen(record.id(), record.marks)
    }

    fn seen(&mut self, id: SessionId, marks: Marks) -> Result<(), StoreError> {
        let known = self.seen.get(id.0).map_err(failed)?.map(|v| marks_of(v.value()));
        let merged = known.map_or(marks, |known| known.merged(marks));
        if known != Some(merged) {
            let Marks { last_seen_ms, login_at_ms, authenticated_ms, issued_ms } = merged;
            self.seen.insert(id.0, (last_seen_ms, login_at_ms, authenticated_ms, issued_ms)).map_err(failed)?;
        }
        Ok(())
    }

    fn tombstone(&mut self, record: &Record) -> Result<(), StoreError> {
        let id = record.id().0;
        let held = match self.held(id)? {
            Held::Tombstone(end) => end,
            // The new one mends it.
            Held::Nothing | Held::Damaged => None,
        };
        let record = &record.clone().over(held);
        self.sessions.remove(id).map_err(failed)?;
        self.seen.remove(id).map_err(failed)?;
        self.tombstones.insert(id, text(record)?.as_slice()).map_err(failed)?;
        Ok(())
    }

    fn held(&self, id: [u8; 16]) -> Result<Held, StoreError> {
        let bytes = self.tombstones.get(id).map_err(failed)?;
        Ok(bytes.map_or(Held::Nothing, |bytes| match parse::<Record>(bytes.value()) {
            Ok(record) => Held::Tombstone(record.ended),
            Err(_) => Held::Damaged,
        }))
    }

    fn forget(&mut self, id: SessionId, before_ms: u64) -> Result<(), StoreError> {
        if let Held::Tombstone(Some(end)) = self.held(id.0)?
            && end.at_ms < before_ms
        {
            self.tombstones.remove(id.0).map_err(failed)?;
        }
        Ok(())
    }

    /// Turns an unreadable record into an unreadable tombstone.
    pub(super) fn bury(&mut self, id: [u8; 16]) -> Result<(), StoreError> {
        let bytes = self.sessions.remove(id).map_err(failed)?.map(|bytes| bytes.value().to_vec());
        self.seen.remove(id).map_err(failed)?;
        self.tombstones.insert(id, bytes.unwrap_or_default().as_slice()).map_err(failed)?;
        Ok(())
    }

    fn revocation(&mut self, revocation: &Revocation) -> Result<(), StoreError> {
        let party = key_of(revocation)?;
        let held = match self.revocations.get(party.as_slice()).map_err(failed)? {
            // One that cannot be read is mended: memory has what it said.
            Some(bytes) => parse::<Revocation>(bytes.value()).ok(),
            None => None,
        };
        let merged = match &held {
            Some(held) => revocation.clone().merged(held),
            None => revocation.clone(),
        };
        self.revocations.insert(party.as_slice(), text(&merged)?.as_slice()).map_err(failed)?;
        Ok(())
    }

    fn lift(&mut self, revocation: &Revocation) -> Result<(), StoreError> {
        let party = key_of(revocation)?;
        let held =
            self.revocations.get(party.as_slice()).map_err(failed)?.map(|bytes| parse(bytes.value())).transpose()?;
        if held.as_ref() == Some(revocation) {
            self.revocations.remove(party.as_slice()).map_err(failed)?;
        }
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<(), StoreError> {
        self.blocks.insert(key_of(block)?.as_slice(), text(block)?.as_slice()).map_err(failed)?;
        Ok(())
    }

    fn unblock(&mut self, block: &Block) -> Result<(), StoreError> {
        let party = key_of(block)?;
        let held = self.blocks.get(party.as_slice()).map_err(failed)?.map(|bytes| parse(bytes.value())).transpose()?;
        if held.as_ref() == Some(block) {
            self.blocks.remove(party.as_slice()).map_err(failed)?;
        }
        Ok(())
    }

    fn received(&mut self, receipt: &Receipt) -> Result<(), StoreError> {
        let id = receipt.id.0.as_str();
        if let Some(held) = self.received.insert(id, receipt.until_ms).map_err(failed)? {
            self.received_until.remove((held.value(), id)).map_err(failed)?;
        }
        self.received_until.insert((receipt.until_ms, id), ()).map_err(failed)?;
        Ok(())
    }

    fn forget_received(&mut self, before_ms: u64) -> Result<(), StoreError> {
        let mut old = Vec::new();
        for entry in self.received_until.range(..(before_ms, "")).map_err(failed)?.take(FORGOTTEN_MAX) {
            let (key, ()) = {
                let (key, value) = entry.map_err(failed)?;
                (key, value.value())
            };
            let (until_ms, id) = key.value();
            old.push((until_ms, id.to_owned()));
        }
        for (until_ms, id) in &old {
            self.received_until.remove((*until_ms, id.as_str())).map_err(failed)?;
            self.received.remove(id.as_str()).map_err(failed)?;
        }
        Ok(())
    }

    fn use_more(&mut self, used: &Used) -> Result<(), StoreError> {
        let key = (used.day, used.kind.number(), used.name.as_str(), used.client.as_str());
        let mut count = self.used.get(key).map_err(failed)?.map(|held| count_of(held.value())).unwrap_or_default();
        count.add(used.count);
        let Count { asked, granted, refused, last_ms } = count;
        self.used.insert(key, (asked, granted, refused, last_ms)).map_err(failed)?;
        Ok(())
    }

    fn forget_used(&mut self, before: u32) -> Result<(), StoreError> {
        let old = self.used.extract_from_if(..(before, 0, "", ""), |_, _| true);
        // What is not taken stays.
        old.map_err(failed)?.take(FORGOTTEN_MAX).try_for_each(|entry| entry.map(drop).map_err(failed))
    }

    fn attribute(&mut self, attribute: &Attribute) -> Result<(), StoreError> {
        let key = attribute.key().map_err(failed)?;
        match attribute.fact {
            Some(_) => self.attributes.insert(key.as_slice(), text(attribute)?.as_slice()).map_err(failed)?,
            None => self.attributes.remove(key.as_slice()).map_err(failed)?,
        };
        Ok(())
    }

    fn hold(&mut self, signal: &HeldSignal) -> Result<(), StoreError> {
        self.held_signals.insert(signal.id.as_bytes(), text(signal)?.as_slice()).map_err(failed)?;
        Ok(())
    }

    fn request(&mut self, request: &AccessRequest) -> Result<(), StoreError> {
        self.requests.insert(request.id.as_bytes(), text(request)?.as_slice()).map_err(failed)?;
        Ok(())
    }

    fn narrowing(&mut self, narrowing: &Narrowing) -> Result<(), StoreError> {
        let party = text(&narrowing.party)?;
        match narrowing.is_lifted() {
            false => self.narrowings.insert(party.as_slice(), text(narrowing)?.as_slice()).map_err(failed)?,
            true => self.narrowings.remove(party.as_slice()).map_err(failed)?,
        };
        Ok(())
    }
}

fn key_of(rule: &impl OfParty) -> Result<Vec<u8>, StoreError> {
    rule.key().map_err(failed)
}

pub(super) fn count_of((asked, granted, refused, last_ms): UsedCount) -> Count {
    Count { asked, granted, refused, last_ms }
}

pub(super) fn marks_of((last_seen_ms, login_at_ms, authenticated_ms, issued_ms): Seen) -> Marks {
    Marks { last_seen_ms, login_at_ms, authenticated_ms, issued_ms }
}

pub(super) fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError(error.to_string())
}

pub(super) fn text(value: &impl serde::Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(failed)
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|e| StoreError(format!("damaged entry: {e}")))
}
