//! The proofs of possession that were used, at any of the replicas. No commit waits for them, and none is in the log: each
//! replica asks about those that it is shown.

use super::commit::int;
use super::open::{Postgres, lock};
use crate::proofs::UsedProof;
use crate::store::StoreError;
use std::collections::HashMap;

impl Postgres {
    /// Notes proofs as used; for each, whether it is by its asker.
    pub(super) fn note_proofs(&self, proofs: &[UsedProof]) -> Result<Vec<bool>, StoreError> {
        let ids: Vec<&[u8]> = proofs.iter().map(|proof| proof.id.0.as_slice()).collect();
        let askers: Vec<i64> = proofs.iter().map(|proof| proof.asker.cast_signed()).collect();
        let ends: Vec<i64> = proofs.iter().map(|proof| int(proof.until_ms)).collect();
        let rows = lock(&self.proofs).run(async |c| {
            // A row that is there keeps its asker. In the order of their ids, so that two replicas cannot block each other.
            c.query(
                "INSERT INTO proofs AS p (id, asker, until_ms) \
                 SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS n (id, asker, until_ms) ORDER BY n.id \
                 ON CONFLICT (id) DO UPDATE SET until_ms = greatest(p.until_ms, excluded.until_ms) RETURNING id, asker",
                &[&ids, &askers, &ends],
            )
            .await
        })?;
        let noted: HashMap<Vec<u8>, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let is_own = |proof: &UsedProof| noted.get(proof.id.0.as_slice()) == Some(&proof.asker.cast_signed());
        Ok(proofs.iter().map(is_own).collect())
    }

    /// Drops some of those that have ended, by the clock of the database.
    pub(super) fn drop_proofs(&self) -> Result<(), StoreError> {
        lock(&self.lists)
            .run(async |c| {
                c.execute(
                    "DELETE FROM proofs WHERE id IN (SELECT id FROM proofs \
                     WHERE until_ms < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - 60000 LIMIT 100000)",
                    &[],
                )
                .await
            })
            .map(drop)
    }
}
