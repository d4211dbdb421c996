//! The store in a redb file, which is opened again when it has failed.

use super::file;
use super::proofs::ProofLog;
use super::tables::{
    ATTRIBUTES, BLOCKS, HELD, ISSUERS, LEADS, META, NARROWINGS, RECEIVED, REQUESTS, REVOCATIONS, SEEN, SESSIONS,
    TOMBSTONES, Tables, USED, count_of, failed, marks_of, parse,
};
use crate::issuers::KnownIssuer;
use crate::proofs::UsedProof;
use crate::store::{Change, Lead, ReceiptId, Record, Rules, Store, StoreError};
use crate::tokens::{FamilyId, StoredFamily};
use crate::usage::{Kind, Used};
use portcullis_contract::SessionId;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

const FILE_NAME: &str = "sessions.redb";

/// Pages kept in memory. The live sessions are in memory anyway: this is for tombstones.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// The layout of the tables; a file with another one is refused, never guessed at.
const LAYOUT: u64 = 10;
/// The oldest layout that this version reads as its own, with those in between. Layout 3 has no narrowings that remove scopes,
/// layout 4 no blocks, layout 5 no revocations of an id, layout 6 nothing that signals have made, layout 7 no scopes that
/// signals have taken and no attributes, layout 8 no requests for access, and layout 9 no grants for one request: a version
/// that does not know these would give scopes back, or release what is blocked or revoked, or more than one request, so it
/// must refuse the file once this one has opened it.
const LAYOUT_MIN: u64 = 3;

/// The key of the longest lease, in milliseconds.
const LONGEST_LEASE: &str = "longest_lease_ms";

/// The store in a folder.
#[derive(Debug)]
pub struct Embedded {
    pub(super) file: PathBuf,
    /// Chosen at random when the file was created.
    pub(super) id: u64,
    /// Likewise.
    pub(super) secret: String,
    /// Locked for writing only while the file is reopened. `None`: reopening failed, and must be tried again.
    pub(super) database: RwLock<Option<Database>>,
    /// `None`: gone with the process.
    pub(super) proofs: Mutex<Option<ProofLog>>,
}

impl Embedded {
    /// Opens the store in `folder`, and creates the folder if there is none. One process at a time can hold it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        file::make_private(folder)
            .map_err(|e| StoreError(format!("cannot create folder `{}`: {e}", folder.display())))?;
        let path = folder.join(FILE_NAME);
        let in_file = |e: &dyn std::fmt::Display| StoreError(format!("cannot open store `{}`: {e}", path.display()));
        if std::fs::metadata(&path).is_ok_and(|found| found.len() == 0) {
            return Err(in_file(
                &"it is empty, so its revocations are lost: restore a copy, or delete the file to start with an empty store",
            ));
        }
        file::private_file(&path).map_err(|e| in_file(&e))?;
        let database = builder().create(&path).map_err(|e| match e {
            redb::DatabaseError::DatabaseAlreadyOpen => {
                in_file(&"another process uses it, such as a running portcullis-session: stop that one first")
            }
            e => in_file(&e),
        })?;
        let (id, secret) = prepare(&database).map_err(|e| in_file(&e))?;
        let proofs = Mutex::new(Some(ProofLog::new(folder)));
        Ok(Self { file: path, id, secret, database: RwLock::new(Some(database)), proofs })
    }

    /// Opens a store that is there: for those who read it, an empty one in its place would be a wrong answer.
    pub fn open_existing(folder: &Path) -> Result<Self, StoreError> {
        match folder.join(FILE_NAME).is_file() {
            true => Self::open(folder),
            false => {
                Err(StoreError(format!("there is no store in folder `{}`: it has no {FILE_NAME}", folder.display())))
            }
        }
    }

    pub(super) fn with<T>(&self, run: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
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
        if prepare(&opened)?.0 != self.id {
            return Err(StoreError("the file was replaced by another store: restart the service to use it".to_owned()));
        }
        *database = Some(opened);
        Ok(())
    }
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Creates what a new file lacks; returns the store's id and its secret.
pub(super) fn prepare(database: &Database) -> Result<(u64, String), StoreError> {
    let txn = database.begin_write().map_err(failed)?;
    let (layout, id, secret) = {
        let mut meta = txn.open_table(META).map_err(failed)?;
        let mut value = |key, or: u64| {
            let found = meta.get(key).map_err(failed)?.map(|v| v.value());
            if found.is_none() {
                meta.insert(key, or).map_err(failed)?;
            }
            Ok::<_, StoreError>(found.unwrap_or(or))
        };
        // The standard library seeds its hashers at random.
        let random = || RandomState::new().build_hasher().finish();
        let secret = format!("{:016x}{:016x}", value("secret", random())?, value("secret_rest", random())?);
        let layout = value("layout", 0)?;
        if layout == 0 {
            // A new file: nobody was given a lease.
            value(LONGEST_LEASE, 0)?;
        }
        (layout, value("id", random())?, secret)
    };
    match layout {
        LAYOUT => {}
        0 | LAYOUT_MIN..LAYOUT => drop(txn.open_table(META).map_err(failed)?.insert("layout", LAYOUT).map_err(failed)?),
        _ => {
            let known = format_args!("{LAYOUT_MIN} to {LAYOUT}");
            return Err(StoreError(format!("its layout is {layout}, but this version reads layouts {known} only")));
        }
    }
    Tables::open(&txn).map(drop)?;
    txn.commit().map_err(failed)?;
    Ok((id, secret))
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

impl Store for Embedded {
    fn id(&self) -> String {
        format!("{:016x}", self.id)
    }

    fn secret(&self) -> String {
        self.secret.clone()
    }

    fn issuers(&self) -> Result<Vec<KnownIssuer>, StoreError> {
        self.with(|database| all(&database.begin_read().map_err(failed)?, ISSUERS))
    }

    fn leads(&self) -> Result<Vec<Lead>, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let leads = txn.open_table(LEADS).map_err(failed)?;
            let entries = leads.iter().map_err(failed)?;
            entries
                .map(|entry| {
                    let (issuer, lead_ms) = entry.map_err(failed)?;
                    Ok(Lead { issuer: issuer.value().into(), lead_ms: lead_ms.value() })
                })
                .collect()
        })
    }

    fn rules(&self) -> Result<Rules, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            Ok(Rules {
                revocations: all(&txn, REVOCATIONS)?,
                blocks: all(&txn, BLOCKS)?,
                narrowings: all(&txn, NARROWINGS)?,
                attributes: all(&txn, ATTRIBUTES)?,
                held: all(&txn, HELD)?,
                requests: all(&txn, REQUESTS)?,
            })
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

    fn usage(&self, since: u32, each: &mut dyn FnMut(Used)) -> Result<(), StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let used = txn.open_table(USED).map_err(failed)?;
            for entry in used.range((since, 0, "", "")..).map_err(failed)? {
                let (key, count) = entry.map_err(failed)?;
                let (day, kind, name, client) = key.value();
                let kind =
                    Kind::of(kind).ok_or_else(|| StoreError(format!("a count is of an unknown kind: {kind}")))?;
                let (name, client) = (name.to_owned(), client.to_owned());
                each(Used { day, kind, name, client, count: count_of(count.value()) });
            }
            Ok(())
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

    fn tombstones_of(&self, ids: &[SessionId]) -> Result<Vec<(SessionId, Option<Record>)>, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let tombstones = txn.open_table(TOMBSTONES).map_err(failed)?;
            let mut all = Vec::new();
            for id in ids {
                let found = tombstones.get(id.0).map_err(failed)?;
                all.extend(found.map(|bytes| (*id, parse(bytes.value()).ok())));
            }
            Ok(all)
        })
    }

    fn received(&self, ids: &[&ReceiptId]) -> Result<HashSet<ReceiptId>, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let table = txn.open_table(RECEIVED).map_err(failed)?;
            let mut found = HashSet::new();
            for &id in ids {
                if table.get(id.0.as_str()).map_err(failed)?.is_some() {
                    found.insert(id.clone());
                }
            }
            Ok(found)
        })
    }

    fn longest_lease_ms(&self) -> Result<Option<u64>, StoreError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let meta = txn.open_table(META).map_err(failed)?;
            Ok(meta.get(LONGEST_LEASE).map_err(failed)?.map(|ms| ms.value()))
        })
    }

    fn note_longest_lease(&self, ms: u64) -> Result<(), StoreError> {
        self.with(|database| {
            let txn = database.begin_write().map_err(failed)?;
            txn.open_table(META).map_err(failed)?.insert(LONGEST_LEASE, ms).map_err(failed)?;
            txn.commit().map_err(failed)
        })
    }

    fn keep_proofs(&self, proofs: &[UsedProof], now_ms: u64) -> Result<Vec<bool>, StoreError> {
        let mut log = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        log.as_mut().map_or(Ok(()), |log| log.append(proofs, now_ms))?;
        Ok(vec![true; proofs.len()])
    }

    fn kept_proofs(&self, now_ms: u64, each: &mut dyn FnMut(UsedProof)) -> Result<(), StoreError> {
        let mut log = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        log.as_mut().map_or(Ok(()), |log| log.read(now_ms, each))
    }

    fn family(&self, id: FamilyId) -> Result<Option<StoredFamily>, StoreError> {
        Ok(self.read_families(&[id])?.pop())
    }

    fn families(&self, ids: &[FamilyId]) -> Result<Vec<StoredFamily>, StoreError> {
        self.read_families(ids)
    }

    fn write_family(&self, family: &StoredFamily, over: Option<u64>) -> Result<bool, StoreError> {
        self.put_family(family, over)
    }

    fn ended_families(&self, max: usize) -> Result<Vec<StoredFamily>, StoreError> {
        self.over_families(max)
    }

    fn drop_family(&self, id: FamilyId, version: u64) -> Result<(), StoreError> {
        self.remove_family(id, version)
    }

    fn drop_families(&self, before_ms: u64) -> Result<usize, StoreError> {
        self.remove_families(before_ms)
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
pub(super) fn all<T: DeserializeOwned>(
    txn: &ReadTransaction,
    table: TableDefinition<'_, &'static [u8], &'static [u8]>,
) -> Result<Vec<T>, StoreError> {
    let table = txn.open_table(table).map_err(failed)?;
    let entries = table.iter().map_err(failed)?;
    entries.map(|entry| parse(entry.map_err(failed)?.1.value())).collect()
}
