//! Commits: lock the log's head, read what the others have written, change the tables, append to the log.

use super::batch::{Batch, Fate, Found, Held, wanted};
use super::entry::{self, Entry};
use super::link::Connected;
use super::open::{Committing, Cursor, Postgres, lock};
use super::read::parse;
use super::schema::FORMAT;
use crate::blocks::Block;
use crate::replica::{Appended, Place};
use crate::revocations::Revocation;
use crate::store::{Change, Marks, Record, StoreError};
use portcullis_contract::SessionId;
use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::Ordering;

/// What is said of a database that has gone back.
pub(super) const LOST: &str = "the database has lost changes that this replica has applied: restore it, or restart every \
                               replica to go on without them";

/// Entries that are read at a time.
const PAGE: i64 = 32;

impl Postgres {
    /// Applies what others have written since the last call, in order.
    pub(super) fn read_log(&self, each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        let mut committing = lock(&self.committing);
        let Committing { link, .. } = &mut *committing;
        // Each page has its own time: a long way to the end of the log is gone step by step.
        while link.run(async |connected| self.apply_page(connected, each).await)? {}
        Ok(())
    }

    /// Opens a transaction that no other commit can overtake, and applies what others have written until then.
    pub(super) fn lock_log(&self, each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        // First without the lock, which nobody is to hold for long.
        self.read_log(each)?;
        let mut committing = lock(&self.committing);
        let Committing { link, locked, owner, .. } = &mut *committing;
        (*locked, *owner) = (None, None);
        let head = link.run(async |connected| {
            let head = self.lock_head(connected).await?;
            while self.apply_page(connected, each).await? {}
            let leads = connected.one("SELECT coalesce(max(clock_lead_ms), 0) FROM replicas", &[]).await?;
            let behind_ms = leads.get::<_, i64>(0).max(0).saturating_sub(self.clock_lead_ms.load(Ordering::Relaxed));
            self.clock_behind_ms.store(place(behind_ms), Ordering::Relaxed);
            Ok(head)
        })?;
        if self.cursor().number != head {
            link.close();
            return Err(StoreError(LOST.to_owned()));
        }
        (*locked, *owner) = (Some(head), Some(std::thread::current().id()));
        Ok(())
    }

    /// Ends a transaction that has changed nothing.
    pub(super) fn unlock_log(&self) {
        let mut committing = lock(&self.committing);
        let Committing { link, locked, owner, .. } = &mut *committing;
        *owner = None;
        // One that fails is gone all the same: its connection is dropped.
        if locked.take().is_some()
            && let Err(error) = link.go_on(async |connected| connected.batch("ROLLBACK").await)
        {
            tracing::debug!(%error, "could not roll back");
        }
    }

    /// Makes changes, in the open transaction or in one of their own.
    pub(super) fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut committing = lock(&self.committing);
        let Committing { link, locked, owner, appended } = &mut *committing;
        (*owner, *appended) = (None, None);
        let head = locked.take();
        let changes = &*self.by_the_stores_clock(changes);
        let wanted = wanted(changes)?;
        let step = async |connected: &mut Connected| {
            let head = match head {
                Some(head) => head,
                None => self.lock_head(connected).await?,
            };
            let found = find(connected, &wanted).await?;
            let batch = Batch::of(changes, found)?;
            write(connected, &batch).await?;
            if batch.changes.is_empty() {
                // What is forgotten is for nobody else.
                connected.commit().await?;
                return Ok(None);
            }
            let (number, tag) = (head + 1, random_tag());
            let members = self.append(connected, number, tag, &batch.changes).await?;
            connected.commit().await?;
            Ok(Some((Appended { number, members }, tag)))
        };
        let made = match head {
            Some(_) => link.go_on(step),
            None => link.run(step),
        }?;
        if let Some((made, tag)) = made {
            let mut cursor = self.cursor();
            cursor.wrote(made.number, tag);
            drop(cursor);
            *appended = Some(made);
        }
        Ok(())
    }

    /// Changes as a clock that is not ahead of the store's would have stamped them: activity must not keep a session alive
    /// for longer elsewhere, or after a restart.
    fn by_the_stores_clock<'a>(&self, changes: &'a [Change]) -> Cow<'a, [Change]> {
        let ahead_ms = place(self.clock_lead_ms.load(Ordering::Relaxed));
        if ahead_ms == 0 {
            return Cow::Borrowed(changes);
        }
        let mut changes = changes.to_vec();
        changes.iter_mut().filter_map(Change::marks_mut).for_each(|marks| marks.set_back(ahead_ms));
        Cow::Owned(changes)
    }

    async fn lock_head(&self, connected: &mut Connected) -> Result<Place, StoreError> {
        connected.batch("BEGIN").await?;
        let meta = connected.one("SELECT head, id FROM meta FOR UPDATE", &[]).await?;
        if meta.get::<_, &str>(1) != self.id {
            return Err(StoreError(
                "the database was replaced by another store: restart the service to use it".to_owned(),
            ));
        }
        Ok(place(meta.get(0)))
    }

    /// Applies the next entries; returns whether there may be more.
    async fn apply_page(&self, connected: &mut Connected, each: &mut dyn FnMut(Change)) -> Result<bool, StoreError> {
        let after = self.cursor().number;
        // With the last one that is known: a database that has lost it may have another one in its place.
        let rows = connected
            .query(
                "SELECT n, tag, format, clock_lead_ms, changes FROM log WHERE n >= $1 ORDER BY n LIMIT $2",
                &[&int(after), &PAGE],
            )
            .await?;
        for row in &rows {
            let entry = Entry {
                number: place(row.get(0)),
                tag: row.get(1),
                format: row.get(2),
                clock_lead_ms: row.get(3),
                changes: row.get(4),
            };
            self.apply_entry(&entry, each)?;
        }
        Ok(i64::try_from(rows.len()).is_ok_and(|read| read >= PAGE))
    }

    fn apply_entry(&self, entry: &Entry, each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        let mut cursor = self.cursor();
        if entry.number == cursor.number {
            return match cursor.tag.is_none_or(|tag| tag == entry.tag) {
                true => Ok(()),
                false => Err(StoreError(LOST.to_owned())),
            };
        }
        if entry.number != cursor.number + 1 {
            let missing = cursor.number + 1;
            return Err(StoreError(format!("the log no longer has entry {missing}")));
        }
        if !cursor.own.remove(&entry.number) {
            let changes = entry.read(self.clock_lead_ms.load(Ordering::Relaxed))?;
            changes.into_iter().for_each(each);
        }
        (cursor.number, cursor.tag) = (entry.number, Some(entry.tag));
        Ok(())
    }

    /// Appends to the log; returns the replicas that are listed. Whoever joins later does so after this commit.
    async fn append(
        &self,
        connected: &mut Connected,
        number: Place,
        tag: i64,
        changes: &[Change],
    ) -> Result<Vec<crate::replica::Peer>, StoreError> {
        let bytes = entry::write(changes)?;
        // What a clock ahead has stamped was set back already.
        let lead_ms = self.clock_lead_ms.load(Ordering::Relaxed).min(0);
        connected
            .execute(
                "WITH moved AS (UPDATE meta SET head = $1) \
                 INSERT INTO log (n, tag, run, format, clock_lead_ms, changes) VALUES ($1, $2, $3, $4, $5, $6)",
                &[&int(number), &tag, &self.run, &FORMAT, &lead_ms, &bytes],
            )
            .await?;
        let members = super::engine::peers(connected).await?;
        connected.query("SELECT pg_notify($1, 'appended ' || $2)", &[&self.channel, &self.run]).await?;
        Ok(members)
    }
}

impl Cursor {
    fn wrote(&mut self, number: Place, tag: i64) {
        if number == self.number + 1 {
            (self.number, self.tag) = (number, Some(tag));
        } else {
            self.own.insert(number);
        }
    }
}

async fn find(connected: &mut Connected, wanted: &super::batch::Wanted) -> Result<Found, StoreError> {
    let mut found = Found::default();
    if !wanted.tombstones.is_empty() {
        let ids: Vec<&[u8]> = wanted.tombstones.iter().map(|id| id.0.as_slice()).collect();
        let rows = connected.query("SELECT id, record FROM tombstones WHERE id = ANY($1)", &[&ids]).await?;
        for row in rows {
            let held = match parse::<Record>(row.get(1)) {
                Ok(record) => Held::Tombstone(record.ended),
                Err(_) => Held::Damaged,
            };
            found.tombstones.insert(id_of(row.get(0))?, held);
        }
    }
    if !wanted.parties.is_empty() {
        let parties: Vec<&[u8]> = wanted.parties.iter().map(Vec::as_slice).collect();
        let rows = connected.query("SELECT kind, party, rule FROM rules WHERE party = ANY($1)", &[&parties]).await?;
        for row in rows {
            let (party, rule): (Vec<u8>, &[u8]) = (row.get(1), row.get(2));
            // One that cannot be read is mended: memory has what it said.
            match row.get(0) {
                "revocation" => found.revocations.extend(parse::<Revocation>(rule).ok().map(|rule| (party, rule))),
                "block" => found.blocks.extend(parse::<Block>(rule).ok().map(|rule| (party, rule))),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Sessions as columns of the tables.
#[derive(Default)]
struct Columns {
    ids: Vec<Vec<u8>>,
    records: Vec<Vec<u8>>,
    marks: [Vec<i64>; 4],
}

impl Columns {
    fn add(&mut self, id: SessionId, marks: Marks) {
        self.ids.push(id.0.to_vec());
        let Marks { last_seen_ms, login_at_ms, authenticated_ms, issued_ms } = marks;
        for (column, ms) in self.marks.iter_mut().zip([last_seen_ms, login_at_ms, authenticated_ms, issued_ms]) {
            column.push(int(ms));
        }
    }
}

async fn write(connected: &mut Connected, batch: &Batch) -> Result<(), StoreError> {
    let (mut lives, mut tombstones) = (Columns::default(), Columns::default());
    let (mut not_live, mut not_buried) = (Vec::new(), Vec::new());
    for (id, fate) in &batch.fates {
        match fate {
            Fate::Live(record) => {
                lives.add(*id, record.marks);
                lives.records.push(super::batch::text(record)?);
                not_buried.push(id.0.to_vec());
            }
            Fate::Buried(record) => {
                tombstones.add(*id, record.marks);
                tombstones.records.push(super::batch::text(record)?);
                not_live.push(id.0.to_vec());
            }
            Fate::Forgotten => not_buried.push(id.0.to_vec()),
        }
    }
    if !not_live.is_empty() {
        connected.execute("DELETE FROM sessions WHERE id = ANY($1)", &[&not_live]).await?;
        connected
            .execute(
                "INSERT INTO tombstones (id, record) SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
                 ON CONFLICT (id) DO UPDATE SET record = excluded.record",
                &[&tombstones.ids, &tombstones.records],
            )
            .await?;
    }
    if !not_buried.is_empty() {
        connected.execute("DELETE FROM tombstones WHERE id = ANY($1)", &[&not_buried]).await?;
    }
    if !lives.ids.is_empty() {
        let [seen, login, authenticated, issued] = &lives.marks;
        connected
            .execute(
                "INSERT INTO sessions AS held (id, record, last_seen_ms, login_at_ms, authenticated_ms, issued_ms) \
                 SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) \
                 ON CONFLICT (id) DO UPDATE SET record = excluded.record, \
                 last_seen_ms = greatest(held.last_seen_ms, excluded.last_seen_ms), \
                 login_at_ms = greatest(held.login_at_ms, excluded.login_at_ms), \
                 authenticated_ms = greatest(held.authenticated_ms, excluded.authenticated_ms), \
                 issued_ms = greatest(held.issued_ms, excluded.issued_ms)",
                &[&lives.ids, &lives.records, seen, login, authenticated, issued],
            )
            .await?;
    }
    write_seen(connected, batch).await?;
    write_rules(connected, batch).await
}

async fn write_seen(connected: &mut Connected, batch: &Batch) -> Result<(), StoreError> {
    if batch.seen.is_empty() {
        return Ok(());
    }
    let mut moved = Columns::default();
    batch.seen.iter().for_each(|(id, marks)| moved.add(*id, *marks));
    let [seen, login, authenticated, issued] = &moved.marks;
    connected
        .execute(
            "UPDATE sessions AS held SET last_seen_ms = greatest(held.last_seen_ms, new.seen), \
             login_at_ms = greatest(held.login_at_ms, new.login), \
             authenticated_ms = greatest(held.authenticated_ms, new.authenticated), \
             issued_ms = greatest(held.issued_ms, new.issued) \
             FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
             AS new (id, seen, login, authenticated, issued) WHERE held.id = new.id",
            &[&moved.ids, seen, login, authenticated, issued],
        )
        .await?;
    Ok(())
}

async fn write_rules(connected: &mut Connected, batch: &Batch) -> Result<(), StoreError> {
    for ((kind, party), rule) in &batch.rules {
        let kind = kind.as_str();
        match rule {
            Some(rule) => {
                connected
                    .execute(
                        "INSERT INTO rules (kind, party, rule) VALUES ($1, $2, $3) \
                         ON CONFLICT (kind, party) DO UPDATE SET rule = excluded.rule",
                        &[&kind, party, rule],
                    )
                    .await?
            }
            None => connected.execute("DELETE FROM rules WHERE kind = $1 AND party = $2", &[&kind, party]).await?,
        };
    }
    for issuer in &batch.issuers {
        connected
            .execute(
                "INSERT INTO issuers (name, issuer) VALUES ($1, $2) \
                 ON CONFLICT (name) DO UPDATE SET issuer = excluded.issuer",
                &[&issuer.name.as_bytes(), &super::batch::text(issuer)?],
            )
            .await?;
    }
    for lead in &batch.leads {
        connected
            .execute(
                "INSERT INTO leads AS held (issuer, lead_ms) VALUES ($1, $2) \
                 ON CONFLICT (issuer) DO UPDATE SET lead_ms = greatest(held.lead_ms, excluded.lead_ms)",
                &[&lead.issuer.as_bytes(), &int(lead.lead_ms)],
            )
            .await?;
    }
    Ok(())
}

/// Times and places are far below the limit; a time at the limit is the end of days in either type.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn place(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(super) fn id_of(bytes: &[u8]) -> Result<SessionId, StoreError> {
    bytes
        .try_into()
        .map(SessionId)
        .map_err(|_| StoreError("a session's id in the database has a wrong length".to_owned()))
}

fn random_tag() -> i64 {
    RandomState::new().build_hasher().finish().cast_signed()
}
