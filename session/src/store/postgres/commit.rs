//! Commits: lock the log's head, read what the others have written, change the tables, append to the log.

use super::link::Connected;
use super::open::{Committing, Cursor, Postgres, lock};
use super::tables::{find, write};
use crate::replica::{Appended, Place};
use crate::store::batch::{Batch, wanted};
use crate::store::entry::{self, Entry};
use crate::store::{Change, StoreError};
use portcullis_contract::SessionId;
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
        let changes = &*entry::by_the_stores_clock(changes, place(self.clock_lead_ms.load(Ordering::Relaxed)));
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
                &[&int(number), &tag, &self.run, &entry::format_of(changes), &lead_ms, &bytes],
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
