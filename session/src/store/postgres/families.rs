//! Refresh families. No commit waits for them, and none is in the log: a replica reads one when its handle is shown, and writes
//! it over the version that it has read.

use super::commit::int;
use super::link::Connected;
use super::open::{Postgres, lock};
use crate::store::StoreError;
use crate::tokens::{FamilyId, StoredFamily};
use tokio_postgres::Row;

/// Families that one call drops.
const DROPPED_MAX: i64 = 10_000;

impl Postgres {
    pub(super) fn read_families(&self, ids: &[FamilyId]) -> Result<Vec<StoredFamily>, StoreError> {
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
        let rows = lock(&self.families).run(async |c| {
            c.query("SELECT id, version, until_ms, is_ended, sealed FROM families WHERE id = ANY($1)", &[&ids]).await
        })?;
        rows.iter().map(stored).collect()
    }

    pub(super) fn put_family(&self, family: &StoredFamily, over: Option<u64>) -> Result<bool, StoreError> {
        lock(&self.families).run(async |c| {
            c.batch("BEGIN").await?;
            let rows = write(c, family, over).await?;
            // The server's warning that it has not waited for its standby counts as a failure.
            c.commit().await?;
            Ok(rows > 0)
        })
    }

    pub(super) fn over_families(&self, max: usize) -> Result<Vec<StoredFamily>, StoreError> {
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let rows = lock(&self.families).run(async |c| {
            c.query(
                "SELECT id, version, until_ms, is_ended, sealed FROM families WHERE is_ended ORDER BY id LIMIT $1",
                &[&max],
            )
            .await
        })?;
        rows.iter().map(stored).collect()
    }

    pub(super) fn remove_family(&self, id: FamilyId, version: u64) -> Result<(), StoreError> {
        lock(&self.families)
            .run(async |c| {
                c.execute("DELETE FROM families WHERE id = $1 AND version = $2", &[&id.0.as_slice(), &int(version)])
                    .await
            })
            .map(drop)
    }

    pub(super) fn remove_families(&self, before_ms: u64) -> Result<usize, StoreError> {
        let rows = lock(&self.families).run(async |c| {
            c.execute(
                "DELETE FROM families WHERE id IN (SELECT id FROM families WHERE until_ms < $1 LIMIT $2)",
                &[&int(before_ms), &DROPPED_MAX],
            )
            .await
        })?;
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }
}

async fn write(c: &mut Connected, family: &StoredFamily, over: Option<u64>) -> Result<u64, StoreError> {
    let StoredFamily { id, version, until_ms, is_ended, sealed } = family;
    let (id, version, until_ms) = (id.0.as_slice(), int(*version), int(*until_ms));
    match over {
        None => {
            c.execute(
                "INSERT INTO families (id, version, until_ms, is_ended, sealed) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT DO NOTHING",
                &[&id, &version, &until_ms, is_ended, sealed],
            )
            .await
        }
        Some(over) => {
            c.execute(
                "UPDATE families SET version = $2, until_ms = $3, is_ended = $4, sealed = $5 \
                 WHERE id = $1 AND version = $6",
                &[&id, &version, &until_ms, is_ended, sealed, &int(over)],
            )
            .await
        }
    }
}

fn stored(row: &Row) -> Result<StoredFamily, StoreError> {
    let number = |at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or_default();
    let id = row.get::<_, &[u8]>(0).try_into().map_err(|_| StoreError::damage())?;
    Ok(StoredFamily {
        id: FamilyId(id),
        version: number(1),
        until_ms: number(2),
        is_ended: row.get(3),
        sealed: row.get(4),
    })
}
