//! Refresh families. They are in no commit of sessions: a version of one is written only over the version that its writer has
//! read.

use super::database::Embedded;
use super::tables::failed;
use crate::store::StoreError;
use crate::tokens::{FamilyId, StoredFamily};
use redb::{ReadableDatabase, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

/// The version, until when it is kept, whether it is over, and what is sealed.
type Row = (u64, u64, bool, &'static [u8]);

const FAMILIES: TableDefinition<'_, [u8; FamilyId::BYTES], Row> = TableDefinition::new("families");
/// By when each is dropped.
const FAMILIES_UNTIL: TableDefinition<'_, (u64, [u8; FamilyId::BYTES]), ()> = TableDefinition::new("families_until");
/// Those that are over.
const FAMILIES_ENDED: TableDefinition<'_, [u8; FamilyId::BYTES], ()> = TableDefinition::new("families_ended");

/// Families that one commit drops.
const DROPPED_MAX: usize = 1_024;

impl Embedded {
    pub(super) fn read_families(&self, ids: &[FamilyId]) -> Result<Vec<StoredFamily>, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let families = match txn.open_table(FAMILIES) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                opened => opened.map_err(failed)?,
            };
            let read = |id: &FamilyId| {
                let found = families.get(id.0).map_err(failed).transpose()?;
                Some(found.map(|row| stored(*id, row.value())))
            };
            ids.iter().filter_map(read).collect()
        })
    }

    pub(super) fn put_family(&self, family: &StoredFamily, over: Option<u64>) -> Result<bool, StoreError> {
        self.with(|database| {
            let txn = database.begin_write().map_err(failed)?;
            let is_written = Tables::open(&txn)?.put(family, over)?;
            match is_written {
                true => txn.commit().map_err(failed)?,
                false => txn.abort().map_err(failed)?,
            }
            Ok(is_written)
        })
    }

    pub(super) fn over_families(&self, max: usize) -> Result<Vec<StoredFamily>, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let ended = match txn.open_table(FAMILIES_ENDED) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                opened => opened.map_err(failed)?,
            };
            let families = txn.open_table(FAMILIES).map_err(failed)?;
            let mut all = Vec::new();
            for entry in ended.iter().map_err(failed)?.take(max) {
                let id = entry.map_err(failed)?.0.value();
                all.extend(families.get(id).map_err(failed)?.map(|row| stored(FamilyId(id), row.value())));
            }
            Ok(all)
        })
    }

    pub(super) fn remove_family(&self, id: FamilyId, version: u64) -> Result<(), StoreError> {
        self.with(|database| {
            let txn = database.begin_write().map_err(failed)?;
            Tables::open(&txn)?.remove(id, Some(version))?;
            txn.commit().map_err(failed)
        })
    }

    pub(super) fn remove_families(&self, before_ms: u64) -> Result<usize, StoreError> {
        self.with(|database| {
            let txn = database.begin_write().map_err(failed)?;
            let mut tables = Tables::open(&txn)?;
            let mut due = Vec::new();
            for entry in tables.until.range(..(before_ms, [0; FamilyId::BYTES])).map_err(failed)?.take(DROPPED_MAX) {
                due.push(FamilyId(entry.map_err(failed)?.0.value().1));
            }
            due.iter().try_for_each(|id| tables.remove(*id, None))?;
            drop(tables);
            match due.is_empty() {
                true => txn.abort().map_err(failed)?,
                false => txn.commit().map_err(failed)?,
            }
            Ok(due.len())
        })
    }
}

struct Tables<'t> {
    families: Table<'t, [u8; FamilyId::BYTES], Row>,
    until: Table<'t, (u64, [u8; FamilyId::BYTES]), ()>,
    ended: Table<'t, [u8; FamilyId::BYTES], ()>,
}

impl<'t> Tables<'t> {
    fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            families: txn.open_table(FAMILIES).map_err(failed)?,
            until: txn.open_table(FAMILIES_UNTIL).map_err(failed)?,
            ended: txn.open_table(FAMILIES_ENDED).map_err(failed)?,
        })
    }

    fn put(&mut self, family: &StoredFamily, over: Option<u64>) -> Result<bool, StoreError> {
        let StoredFamily { id, version, until_ms, is_ended, sealed } = family;
        let held = self.families.get(id.0).map_err(failed)?.map(|row| (row.value().0, row.value().1));
        if held.map(|(version, _)| version) != over {
            return Ok(false);
        }
        if let Some((_, held_until_ms)) = held {
            self.until.remove((held_until_ms, id.0)).map_err(failed)?;
        }
        self.until.insert((*until_ms, id.0), ()).map_err(failed)?;
        match is_ended {
            true => drop(self.ended.insert(id.0, ()).map_err(failed)?),
            false => drop(self.ended.remove(id.0).map_err(failed)?),
        }
        self.families.insert(id.0, (*version, *until_ms, *is_ended, sealed.as_slice())).map_err(failed)?;
        Ok(true)
    }

    fn remove(&mut self, id: FamilyId, version: Option<u64>) -> Result<(), StoreError> {
        let held = self.families.get(id.0).map_err(failed)?.map(|row| (row.value().0, row.value().1));
        if let Some((held, until_ms)) = held
            && version.is_none_or(|version| version == held)
        {
            self.families.remove(id.0).map_err(failed)?;
            self.until.remove((until_ms, id.0)).map_err(failed)?;
            self.ended.remove(id.0).map_err(failed)?;
        }
        Ok(())
    }
}

fn stored(id: FamilyId, (version, until_ms, is_ended, sealed): (u64, u64, bool, &[u8])) -> StoredFamily {
    StoredFamily { id, version, until_ms, is_ended, sealed: sealed.to_vec() }
}
