//! The store's trait over the tables.

use super::commit::{id_of, int, place};
use super::link::Parameters;
use super::open::{Postgres, lock};
use crate::issuers::KnownIssuer;
use crate::proofs::UsedProof;
use crate::replica::{Appended, Engine, Place};
use crate::store::{Change, Lead, Marks, ReceiptId, Record, Rules, Store, StoreError};
use crate::tokens::{FamilyId, StoredFamily};
use crate::usage::{Count, Kind, Used};
use portcullis_contract::SessionId;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_postgres::Row;
use tracing::error;

/// Rows that are read at a time.
const PAGE: i64 = 4_096;

impl Store for Postgres {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn secret(&self) -> String {
        self.secret.clone()
    }

    fn issuers(&self) -> Result<Vec<KnownIssuer>, StoreError> {
        let rows = lock(&self.lists).run(async |c| c.query("SELECT issuer FROM issuers", &[]).await)?;
        rows.iter().map(|row| parse(row.get(0))).collect()
    }

    fn leads(&self) -> Result<Vec<Lead>, StoreError> {
        let rows = lock(&self.lists).run(async |c| c.query("SELECT issuer, lead_ms FROM leads", &[]).await)?;
        let lead = |row: &Row| {
            let issuer = std::str::from_utf8(row.get(0)).map_err(|e| StoreError(format!("damaged entry: {e}")))?;
            Ok(Lead { issuer: issuer.into(), lead_ms: place(row.get(1)) })
        };
        rows.iter().map(lead).collect()
    }

    fn rules(&self) -> Result<Rules, StoreError> {
        let rows = lock(&self.lists).run(async |c| c.query("SELECT kind, rule FROM rules", &[]).await)?;
        let mut rules = Rules::default();
        for row in &rows {
            match row.get(0) {
                "revocation" => rules.revocations.push(parse(row.get(1))?),
                "block" => rules.blocks.push(parse(row.get(1))?),
                "narrowing" => rules.narrowings.push(parse(row.get(1))?),
                "attribute" => rules.attributes.push(parse(row.get(1))?),
                "held" => rules.held.push(parse(row.get(1))?),
                "request" => rules.requests.push(parse(row.get(1))?),
                kind => return Err(StoreError(format!("the database has a rule of an unknown kind: `{kind}`"))),
            }
        }
        Ok(rules)
    }

    fn sessions(&self, each: &mut dyn FnMut(Record)) -> Result<usize, StoreError> {
        let (mut after, mut damaged): (Vec<u8>, usize) = (Vec::new(), 0);
        loop {
            let rows = lock(&self.lists).run(async |c| {
                c.query(
                    "SELECT id, record, last_seen_ms, login_at_ms, authenticated_ms, issued_ms FROM sessions \
                     WHERE id > $1 ORDER BY id LIMIT $2",
                    &[&after, &PAGE],
                )
                .await
            })?;
            for row in &rows {
                match live(row) {
                    Some(record) => each(record),
                    None => {
                        damaged += 1;
                        self.bury(row.get(0))?;
                    }
                }
            }
            match rows.last() {
                Some(last) if is_full(rows.len()) => after = last.get(0),
                _ => return Ok(damaged),
            }
        }
    }

    fn usage(&self, since: u32, each: &mut dyn FnMut(Used)) -> Result<(), StoreError> {
        type Place = (i64, i16, Vec<u8>, Vec<u8>);
        let mut after: Place = (i64::from(since), -1, Vec::new(), Vec::new());
        loop {
            let (day, kind, name, client) = &after;
            let rows = lock(&self.lists).run(async |c| {
                c.query(
                    "SELECT day, kind, name, client, asked, granted, refused, last_ms FROM used \
                     WHERE (day, kind, name, client) > ($1, $2, $3, $4) ORDER BY day, kind, name, client LIMIT $5",
                    &[day, kind, name, client, &PAGE],
                )
                .await
            })?;
            rows.iter().try_for_each(|row| used(row).map(&mut *each))?;
            match rows.last() {
                Some(last) if is_full(rows.len()) => after = (last.get(0), last.get(1), last.get(2), last.get(3)),
                _ => return Ok(()),
            }
        }
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.commit(changes)
    }

    /// Nothing that was answered is lost with a connection, so there is nothing to write again.
    fn recover(&self) -> Result<bool, StoreError> {
        lock(&self.committing).link.run(async |c| c.batch("SELECT 1").await)?;
        Ok(false)
    }

    fn tombstones_of(&self, ids: &[SessionId]) -> Result<Vec<(SessionId, Option<Record>)>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
        let rows = self.look_up("SELECT id, record FROM tombstones WHERE id = ANY($1)", &[&ids])?;
        rows.iter().map(|row| Ok((id_of(row.get(0))?, parse(row.get(1)).ok()))).collect()
    }

    fn received(&self, ids: &[&ReceiptId]) -> Result<HashSet<ReceiptId>, StoreError> {
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<&str> = ids.iter().map(|id| id.0.as_str()).collect();
        let rows = self.look_up("SELECT id FROM received WHERE id = ANY($1)", &[&ids])?;
        Ok(rows.iter().map(|row| ReceiptId(row.get(0))).collect())
    }

    fn tombstones(
        &self,
        after: Option<SessionId>,
        each: &mut dyn FnMut(SessionId, Option<Record>) -> bool,
    ) -> Result<(), StoreError> {
        let mut after = after.map(|id| id.0.to_vec()).unwrap_or_default();
        loop {
            let rows = lock(&self.lists).run(async |c| {
                c.query("SELECT id, record FROM tombstones WHERE id > $1 ORDER BY id LIMIT $2", &[&after, &PAGE]).await
            })?;
            for row in &rows {
                if !each(id_of(row.get(0))?, parse(row.get(1)).ok()) {
                    return Ok(());
                }
            }
            match rows.last() {
                Some(last) if is_full(rows.len()) => after = last.get(0),
                _ => return Ok(()),
            }
        }
    }

    fn begin(&self, each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        self.lock_log(each)
    }

    fn cancel(&self) {
        self.unlock_log();
    }

    fn catch_up(&self, each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        self.read_log(each)
    }

    fn trim(&self) -> Result<(), StoreError> {
        lock(&self.lists)
            .run(async |c| {
                c.execute(
                    "DELETE FROM log WHERE n IN (SELECT n FROM log WHERE at < now() - interval '15 minutes' \
                     AND n < (SELECT min(settled) FROM replicas) ORDER BY n LIMIT 1000)",
                    &[],
                )
                .await
            })
            .map(drop)?;
        self.drop_proofs()
    }

    fn keep_proofs(&self, proofs: &[UsedProof], _now_ms: u64) -> Result<Vec<bool>, StoreError> {
        self.note_proofs(proofs)
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

    fn start_at_head(&self) -> Result<(), StoreError> {
        let row = lock(&self.lists)
            .run(async |c| c.one("SELECT head, (SELECT tag FROM log WHERE n = head) FROM meta", &[]).await)?;
        let mut cursor = self.cursor();
        (cursor.number, cursor.tag) = (place(row.get(0)), row.get(1));
        Ok(())
    }

    fn place(&self) -> Place {
        self.cursor().number
    }

    fn clock_behind_ms(&self) -> u64 {
        self.clock_behind_ms.load(Ordering::Relaxed)
    }

    fn take_appended(&self) -> Option<Appended> {
        lock(&self.committing).appended.take()
    }

    fn engine(self: Arc<Self>) -> Option<Arc<dyn Engine>> {
        Some(self)
    }
}

impl Postgres {
    /// A query. In a commit, what is read must be what the commit finds.
    fn look_up(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let mut committing = lock(&self.committing);
        if committing.owner == Some(std::thread::current().id()) {
            return committing.link.go_on(async |c| c.query(sql, parameters).await);
        }
        drop(committing);
        lock(&self.look_ups).run(async |c| c.query(sql, parameters).await)
    }

    /// Turns an unreadable record into an unreadable tombstone.
    fn bury(&self, id: &[u8]) -> Result<(), StoreError> {
        error!(session = ?id, "a session's record in the database cannot be read");
        lock(&self.lists)
            .run(async |c| {
                c.execute(
                    "WITH gone AS (DELETE FROM sessions WHERE id = $1 RETURNING id, record) \
                     INSERT INTO tombstones (id, record) SELECT id, record FROM gone ON CONFLICT DO NOTHING",
                    &[&id],
                )
                .await
            })
            .map(drop)
    }
}

fn used(row: &Row) -> Result<Used, StoreError> {
    let unknown = |kind: i16| StoreError(format!("the database has a count of an unknown kind: {kind}"));
    let kind: i16 = row.get(1);
    let text = |at: usize| String::from_utf8_lossy(row.get(at)).into_owned();
    let [asked, granted, refused, last_ms] = [4, 5, 6, 7].map(|at| place(row.get(at)));
    Ok(Used {
        day: u32::try_from(row.get::<_, i64>(0)).unwrap_or(u32::MAX),
        kind: u8::try_from(kind).ok().and_then(Kind::of).ok_or_else(|| unknown(kind))?,
        name: text(2),
        client: text(3),
        count: Count { asked, granted, refused, last_ms },
    })
}

fn live(row: &Row) -> Option<Record> {
    let mut record: Record = parse(row.get(1)).ok()?;
    let id: &[u8] = row.get(0);
    if record.id().0 != id {
        return None;
    }
    let [last_seen_ms, login_at_ms, authenticated_ms, issued_ms] = [2, 3, 4, 5].map(|at| place(row.get(at)));
    record.marks = record.marks.merged(Marks { last_seen_ms, login_at_ms, authenticated_ms, issued_ms });
    Some(record)
}

fn is_full(rows: usize) -> bool {
    int(u64::try_from(rows).unwrap_or(u64::MAX)) >= PAGE
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|e| StoreError(format!("damaged entry: {e}")))
}
