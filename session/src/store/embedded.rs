//! The embedded store: one redb file, ACID, no server.

use super::{Change, Marks, Record, Rules, Store, StoreError};
use crate::issuers::KnownIssuer;
use crate::judge::End;
use crate::narrowings::Narrowing;
use crate::revocations::Revocation;
use portcullis_contract::SessionId;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use std::fs::OpenOptions;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

const FILE_NAME: &str = "sessions.redb";

/// Pages kept in memory. The live sessions are in memory anyway: this is for tombstones.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// The layout of the tables below; a file with another one is refused, never guessed at.
const LAYOUT: u64 = 3;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SESSIONS: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("sessions");
/// The marks of live sessions, apart from their records: they are what changes all the time.
const SEEN: TableDefinition<'_, [u8; 16], Seen> = TableDefinition::new("seen");
const TOMBSTONES: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("tombstones");
/// Keyed by the party (JSON), so that a party has one revocation.
const REVOCATIONS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("revocations");
/// Keyed by the issuer's name.
const ISSUERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("issuers");
/// Keyed by the party (JSON).
const NARROWINGS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("narrowings");

/// [`Marks`], in the order of its fields.
type Seen = (u64, u64, u64, u64);

/// The store in a folder.
#[derive(Debug)]
pub struct Embedded {
    file: PathBuf,
    /// Locked for writing only while the file is reopened. `None`: reopening failed, and must be tried again.
    database: RwLock<Option<Database>>,
}

impl Embedded {
    /// Opens the store in `folder`, and creates the folder if there is none. One process at a time can hold it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        make_private(folder).map_err(|e| StoreError(format!("cannot create folder `{}`: {e}", folder.display())))?;
        let file = folder.join(FILE_NAME);
        let in_file = |e: &dyn std::fmt::Display| StoreError(format!("cannot open store `{}`: {e}", file.display()));
        if std::fs::metadata(&file).is_ok_and(|found| found.len() == 0) {
            return Err(in_file(
                &"it is empty, so its revocations are lost: restore a copy, or delete the file to start with an empty store",
            ));
        }
        private_file(&file).map_err(|e| in_file(&e))?;
        let database = builder().create(&file).map_err(|e| in_file(&e))?;
        prepare(&database).map_err(|e| in_file(&e))?;
        Ok(Self { file, database: RwLock::new(Some(database)) })
    }

    fn with<T>(&self, run: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        run(database.as_ref().ok_or_else(|| StoreError("the store could not be reopened yet".to_owned()))?)
    }

    /// Reopens the file: after one failed read or write, redb refuses all others. This never creates the file, because an
    /// empty store would forget all revocations.
    fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The old one holds the lock of the file.
        drop(database.take());
        let opened = builder().open(&self.file).map_err(failed)?;
        prepare(&opened)?;
        *database = Some(opened);
        Ok(())
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn prepare(database: &Database) -> Result<(), StoreError> {
    let txn = database.begin_write().map_err(failed)?;
    let layout = {
        let mut meta = txn.open_table(META).map_err(failed)?;
        let found = meta.get("layout").map_err(failed)?.map(|v| v.value());
        if found.is_none() {
            meta.insert("layout", LAYOUT).map_err(failed)?;
        }
        found.unwrap_or(LAYOUT)
    };
    if layout != LAYOUT {
        return Err(StoreError(format!("its layout is {layout}, but this version reads layout {LAYOUT} only")));
    }
    Tables::open(&txn).map(drop)?;
    txn.commit().map_err(failed)
}

/// Durably writes a meaningless number, to find out whether the file can be written.
fn probe(database: &Database) -> Result<(), StoreError> {
    let txn = database.begin_write().map_err(failed)?;
    {
        let mut meta = txn.open_table(META).map_err(failed)?;
        let probes = meta.get("probes").map_err(failed)?.map_or(0, |v| v.value());
        meta.insert("probes", probes.wrapping_add(1)).map_err(failed)?;
    }
    txn.commit().map_err(failed)
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    // Session keys and subjects are not for other users of the machine.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Creates the file before redb does, for its owner only; access to an older file is withdrawn from others.
fn private_file(file: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let opened = options.open(file)?;
    #[cfg(unix)]
    opened.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(())
}

/// What the table has under the id of a tombstone.
enum Held {
    Nothing,
    Tombstone(Option<End>),
    Damaged,
}

struct Tables<'t> {
    sessions: Table<'t, [u8; 16], &'static [u8]>,
    seen: Table<'t, [u8; 16], Seen>,
    tombstones: Table<'t, [u8; 16], &'static [u8]>,
    revocations: Table<'t, &'static [u8], &'static [u8]>,
    narrowings: Table<'t, &'static [u8], &'static [u8]>,
    issuers: Table<'t, &'static [u8], &'static [u8]>,
}

impl<'t> Tables<'t> {
    fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            sessions: txn.open_table(SESSIONS).map_err(failed)?,
            seen: txn.open_table(SEEN).map_err(failed)?,
            tombstones: txn.open_table(TOMBSTONES).map_err(failed)?,
            revocations: txn.open_table(REVOCATIONS).map_err(failed)?,
            narrowings: txn.open_table(NARROWINGS).map_err(failed)?,
            issuers: txn.open_table(ISSUERS).map_err(failed)?,
        })
    }

    fn make(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Write(record) => self.write(record),
            Change::Seen(id, marks) => self.seen(*id, *marks),
            Change::Tombstone(record) => self.tombstone(record),
            Change::Forget(id, before_ms) => self.forget(*id, *before_ms),
            Change::Revocation(revocation) => self.revocation(revocation),
            Change::Lift(revocation) => self.lift(revocation),
            Change::Narrowing(narrowing) => self.narrowing(narrowing),
            Change::Issuers(issuers) => issuers.iter().try_for_each(|issuer| {
                self.issuers.insert(issuer.name.as_bytes(), text(issuer)?.as_slice()).map_err(failed)?;
                Ok(())
            }),
            Change::Rules(rules) => {
                self.revocations.retain(|_, _| false).map_err(failed)?;
                self.narrowings.retain(|_, _| false).map_err(failed)?;
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
    fn bury(&mut self, id: [u8; 16]) -> Result<(), StoreError> {
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

    fn narrowing(&mut self, narrowing: &Narrowing) -> Result<(), StoreError> {
        let party = text(&narrowing.party)?;
        match narrowing.scopes {
            Some(_) => self.narrowings.insert(party.as_slice(), text(narrowing)?.as_slice()).map_err(failed)?,
            None => self.narrowings.remove(party.as_slice()).map_err(failed)?,
        };
        Ok(())
    }
}

fn key_of(revocation: &Revocation) -> Result<Vec<u8>, StoreError> {
    text(&(&revocation.issuer, &revocation.party))
}

impl Store for Embedded {
    fn issuers(&self) -> Result<Vec<KnownIssuer>, StoreError> {
        self.with(|database| all(&database.begin_read().map_err(failed)?, ISSUERS))
    }

    fn rules(&self) -> Result<Rules, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            Ok(Rules { revocations: all(&txn, REVOCATIONS)?, narrowings: all(&txn, NARROWINGS)? })
        })
    }

    fn sessions(&self, each: &mut dyn FnMut(Record)) -> Result<usize, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let seen = txn.open_table(SEEN).map_err(failed)?;
            let sessions = txn.open_table(SESSIONS).map_err(failed)?;
            let mut damaged = Vec::new();
            for entry in sessions.iter().map_err(failed)? {
                let (id, bytes) = entry.map_err(failed)?;
                let read = parse::<Record>(bytes.value()).ok().filter(|record| record.id().0 == id.value());
                let Some(mut record) = read else {
                    damaged.push(id.value());
                    continue;
                };
                if let Some(seen) = seen.get(id.value()).map_err(failed)? {
                    record.marks = record.marks.merged(marks_of(seen.value()));
                }
                each(record);
            }
            drop((seen, sessions));
            bury(database, &damaged)?;
            Ok(damaged.len())
        })
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.with(|database| {
            // redb's default durability: the commit is on disk (fsync) when it returns.
            let txn = database.begin_write().map_err(failed)?;
            {
                let mut tables = Tables::open(&txn)?;
                changes.iter().try_for_each(|change| tables.make(change))?;
            }
            txn.commit().map_err(failed)
        })
    }

    fn recover(&self) -> Result<bool, StoreError> {
        if self.with(probe).is_ok() {
            return Ok(false);
        }
        self.reopen()?;
        self.with(probe)?;
        Ok(true)
    }

    fn tombstone(&self, id: SessionId) -> Result<Option<Record>, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let tombstones = txn.open_table(TOMBSTONES).map_err(failed)?;
            let found = tombstones.get(id.0).map_err(failed)?;
            found.map(|bytes| parse(bytes.value())).transpose()
        })
    }

    fn tombstones(
        &self,
        after: Option<SessionId>,
        each: &mut dyn FnMut(SessionId, Option<Record>) -> bool,
    ) -> Result<(), StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let tombstones = txn.open_table(TOMBSTONES).map_err(failed)?;
            let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.0));
            for entry in tombstones.range::<[u8; 16]>((from, Bound::Unbounded)).map_err(failed)? {
                let (id, bytes) = entry.map_err(failed)?;
                if !each(SessionId(id.value()), parse(bytes.value()).ok()) {
                    break;
                }
            }
            Ok(())
        })
    }
}

fn bury(database: &Database, damaged: &[[u8; 16]]) -> Result<(), StoreError> {
    if damaged.is_empty() {
        return Ok(());
    }
    let txn = database.begin_write().map_err(failed)?;
    {
        let mut tables = Tables::open(&txn)?;
        damaged.iter().try_for_each(|id| tables.bury(*id))?;
    }
    txn.commit().map_err(failed)
}

/// All entries of a table. A damaged entry is an error, because it is unknown which party it is about.
fn all<T: DeserializeOwned>(
    txn: &ReadTransaction,
    table: TableDefinition<'_, &'static [u8], &'static [u8]>,
) -> Result<Vec<T>, StoreError> {
    let table = txn.open_table(table).map_err(failed)?;
    let entries = table.iter().map_err(failed)?;
    entries.map(|entry| parse(entry.map_err(failed)?.1.value())).collect()
}

fn marks_of((last_seen_ms, login_at_ms, authenticated_ms, issued_ms): Seen) -> Marks {
    Marks { last_seen_ms, login_at_ms, authenticated_ms, issued_ms }
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError(error.to_string())
}

fn text(value: &impl serde::Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(failed)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|e| StoreError(format!("damaged entry: {e}")))
}
