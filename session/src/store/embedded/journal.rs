//! The store of a replica whose engine may lose what it has acknowledged: a whole copy, with the place in the shared log up
//! to which it has everything, and the last entries of that log.

use super::database::{Embedded, all, builder, prepare};
use super::tables::{
    ATTRIBUTES, BLOCKS, HELD, ISSUERS, LEADS, NARROWINGS, RECEIVED, REQUESTS, REVOCATIONS, SEEN, SESSIONS, TOMBSTONES,
    Tables, USED, clear, count_of, failed, marks_of, parse,
};
use crate::store::batch::{Found, Held, Wanted};
use crate::store::{Change, Lead, Receipt, ReceiptId, Record, StoreError};
use crate::usage::{Kind, Used};
use redb::{ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::sync::{Mutex, RwLock};

/// What the replica knows of itself, under one key.
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("journal");
/// The last entries of the log, as they were written.
const TAIL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal_tail");

/// Entries that are kept: an engine that lacks more gets everything.
const TAIL_MAX: u64 = 1_024;

/// Changes of a snapshot that are passed on at a time.
const CHUNK: usize = 512;

/// An entry of the log, and what it says.
pub(in crate::store) struct Logged {
    pub(in crate::store) number: u64,
    pub(in crate::store) bytes: Vec<u8>,
    pub(in crate::store) changes: Vec<Change>,
}

impl Embedded {
    /// A store that is gone with the process.
    pub(in crate::store) fn in_memory() -> Result<Self, StoreError> {
        let database = builder().create_with_backend(redb::backends::InMemoryBackend::new()).map_err(failed)?;
        let (id, secret) = prepare(&database)?;
        let (database, proofs) = (RwLock::new(Some(database)), Mutex::new(None));
        Ok(Self { file: PathBuf::new(), id, secret, database, proofs })
    }

    /// What the replica knows of itself; none in a new file.
    pub(in crate::store) fn journal<S: DeserializeOwned>(&self) -> Result<Option<S>, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            match txn.open_table(STATE) {
                Ok(table) => table.get("state").map_err(failed)?.map(|bytes| parse(bytes.value())).transpose(),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(failed(error)),
            }
        })
    }

    /// Whether nothing but the journal's own state was ever written.
    pub(in crate::store) fn is_unused(&self) -> Result<bool, StoreError> {
        let mut is_unused = true;
        self.each_chunk(&mut |changes| {
            is_unused &= changes.is_empty();
            Ok(())
        })?;
        Ok(is_unused)
    }

    /// Makes the changes of entries, keeps these, and notes the state after them: all or nothing, and on disk.
    pub(in crate::store) fn write_journal(&self, state: &impl Serialize, entries: &[Logged]) -> Result<(), StoreError> {
        self.with(|database| {
            let txn = database.begin_write().map_err(failed)?;
            if !entries.is_empty() {
                let mut tables = Tables::open(&txn)?;
                entries.iter().flat_map(|entry| &entry.changes).try_for_each(|change| tables.make(change))?;
            }
            let mut tail = txn.open_table(TAIL).map_err(failed)?;
            for entry in entries {
                tail.insert(entry.number, entry.bytes.as_slice()).map_err(failed)?;
            }
            if let Some(last) = entries.last() {
                tail.retain_in(..last.number.saturating_sub(TAIL_MAX), |_, _| false).map_err(failed)?;
            }
            drop(tail);
            write_state(&txn, state)?;
            txn.commit().map_err(failed)
        })
    }

    /// Replaces everything by the changes that `next` gives until it gives none: all or nothing, and on disk.
    pub(in crate::store) fn replace(
        &self,
        state: &impl Serialize,
        next: &mut dyn FnMut() -> Result<Option<Vec<Change>>, StoreError>,
    ) -> Result<(), StoreError> {
        self.with(|database| {
            let txn = database.begin_write().map_err(failed)?;
            clear(&txn)?;
            txn.delete_table(TAIL).map_err(failed)?;
            {
                let mut tables = Tables::open(&txn)?;
                while let Some(changes) = next()? {
                    changes.iter().try_for_each(|change| tables.make(change))?;
                }
            }
            drop(txn.open_table(TAIL).map_err(failed)?);
            write_state(&txn, state)?;
            txn.commit().map_err(failed)
        })
    }

    /// The entries that are kept from that one on, at most so many.
    pub(in crate::store) fn tail(&self, from: u64, max: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let tail = txn.open_table(TAIL).map_err(failed)?;
            let entries = tail.range(from..).map_err(failed)?.take(max);
            entries
                .map(|entry| {
                    let (number, bytes) = entry.map_err(failed)?;
                    Ok((number.value(), bytes.value().to_vec()))
                })
                .collect()
        })
    }

    /// Passes on everything in the store at one moment, as changes that make it in an empty one, and returns the state of
    /// that moment. What cannot be read is an error: nobody may take it for nothing.
    pub(in crate::store) fn snapshot<S: DeserializeOwned>(
        &self,
        each: &mut dyn FnMut(Vec<Change>) -> Result<(), StoreError>,
    ) -> Result<S, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let state = {
                let table = txn.open_table(STATE).map_err(failed)?;
                let bytes = table.get("state").map_err(failed)?;
                parse(bytes.ok_or_else(StoreError::damage)?.value())?
            };
            let mut chunks = Chunks { changes: Vec::new(), each };
            pass_on(&txn, &mut chunks)?;
            chunks.finish()?;
            Ok(state)
        })
    }

    fn each_chunk(&self, each: &mut dyn FnMut(Vec<Change>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.with(|database| {
            let mut chunks = Chunks { changes: Vec::new(), each };
            pass_on(&database.begin_read().map_err(failed)?, &mut chunks)?;
            chunks.finish()
        })
    }

    /// What the tables have of what a commit wants to know.
    pub(in crate::store) fn find(&self, wanted: &Wanted) -> Result<Found, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let mut found = Found::default();
            let tombstones = txn.open_table(TOMBSTONES).map_err(failed)?;
            for id in &wanted.tombstones {
                if let Some(bytes) = tombstones.get(id.0).map_err(failed)? {
                    let held = match parse::<Record>(bytes.value()) {
                        Ok(record) => Held::Tombstone(record.ended),
                        Err(_) => Held::Damaged,
                    };
                    found.tombstones.insert(*id, held);
                }
            }
            let revocations = txn.open_table(REVOCATIONS).map_err(failed)?;
            let blocks = txn.open_table(BLOCKS).map_err(failed)?;
            for party in &wanted.parties {
                // One that cannot be read is mended: memory has what it said.
                if let Some(bytes) = revocations.get(party.as_slice()).map_err(failed)?
                    && let Ok(revocation) = parse(bytes.value())
                {
                    found.revocations.insert(party.clone(), revocation);
                }
                if let Some(bytes) = blocks.get(party.as_slice()).map_err(failed)?
                    && let Ok(block) = parse(bytes.value())
                {
                    found.blocks.insert(party.clone(), block);
                }
            }
            Ok(found)
        })
    }
}

fn write_state(txn: &WriteTransaction, state: &impl Serialize) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(state).map_err(failed)?;
    let mut table = txn.open_table(STATE).map_err(failed)?;
    table.insert("state", bytes.as_slice()).map_err(failed)?;
    Ok(())
}

struct Chunks<'a> {
    changes: Vec<Change>,
    each: &'a mut dyn FnMut(Vec<Change>) -> Result<(), StoreError>,
}

impl Chunks<'_> {
    fn put(&mut self, change: Change) -> Result<(), StoreError> {
        self.changes.push(change);
        if self.changes.len() < CHUNK {
            return Ok(());
        }
        (self.each)(std::mem::take(&mut self.changes))
    }

    fn finish(self) -> Result<(), StoreError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        (self.each)(self.changes)
    }
}

fn pass_on(txn: &ReadTransaction, chunks: &mut Chunks<'_>) -> Result<(), StoreError> {
    let seen = txn.open_table(SEEN).map_err(failed)?;
    for entry in txn.open_table(SESSIONS).map_err(failed)?.iter().map_err(failed)? {
        let (id, bytes) = entry.map_err(failed)?;
        let mut record: Record = parse(bytes.value())?;
        if let Some(marks) = seen.get(id.value()).map_err(failed)? {
            record.marks = record.marks.merged(marks_of(marks.value()));
        }
        chunks.put(Change::Write(record))?;
    }
    for entry in txn.open_table(TOMBSTONES).map_err(failed)?.iter().map_err(failed)? {
        chunks.put(Change::Tombstone(parse(entry.map_err(failed)?.1.value())?))?;
    }
    all(txn, REVOCATIONS)?.into_iter().try_for_each(|made| chunks.put(Change::Revocation(made)))?;
    all(txn, BLOCKS)?.into_iter().try_for_each(|made| chunks.put(Change::Block(made)))?;
    all(txn, NARROWINGS)?.into_iter().try_for_each(|made| chunks.put(Change::Narrowing(made)))?;
    all(txn, ATTRIBUTES)?.into_iter().try_for_each(|made| chunks.put(Change::Attribute(made)))?;
    all(txn, HELD)?.into_iter().try_for_each(|made| chunks.put(Change::Hold(made)))?;
    all(txn, REQUESTS)?.into_iter().try_for_each(|made| chunks.put(Change::Request(Box::new(made))))?;
    let issuers = all(txn, ISSUERS)?;
    if !issuers.is_empty() {
        chunks.put(Change::Issuers(issuers))?;
    }
    for entry in txn.open_table(LEADS).map_err(failed)?.iter().map_err(failed)? {
        let (issuer, lead_ms) = entry.map_err(failed)?;
        chunks.put(Change::Leads(vec![Lead { issuer: issuer.value().into(), lead_ms: lead_ms.value() }]))?;
    }
    for entry in txn.open_table(RECEIVED).map_err(failed)?.iter().map_err(failed)? {
        let (id, until_ms) = entry.map_err(failed)?;
        chunks.put(Change::Received(Receipt { id: ReceiptId(id.value().to_owned()), until_ms: until_ms.value() }))?;
    }
    for entry in txn.open_table(USED).map_err(failed)?.iter().map_err(failed)? {
        let (key, count) = entry.map_err(failed)?;
        let (day, kind, name, client) = key.value();
        let kind = Kind::of(kind).ok_or_else(StoreError::damage)?;
        let used = Used { day, kind, name: name.to_owned(), client: client.to_owned(), count: count_of(count.value()) };
        chunks.put(Change::Used(vec![used]))?;
    }
    Ok(())
}
