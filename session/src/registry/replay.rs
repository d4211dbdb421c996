//! What memory holds, for a store that may have lost what was written to it last.

use super::{Registry, SHARDS};
use crate::blocks::Block;
use crate::life::Stage;
use crate::revocations::Revocation;
use crate::store::Rules;
use std::sync::PoisonError;

impl Registry {
    /// All rules for parties.
    pub fn rules(&self) -> Rules {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner).all().cloned().collect();
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner).all().cloned().collect();
        Rules {
            revocations,
            blocks,
            narrowings: self.all_narrowings(),
            attributes: self.all_attributes(),
            held: self.all_held(),
            requests: self.all_requests(),
        }
    }

    /// The revocations and blocks that were over before an instant.
    pub fn rules_before(&self, before_ms: u64) -> (Vec<Revocation>, Vec<Block>) {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        let revocations = revocations.all().filter(|made| made.latest_ms() < before_ms).cloned().collect();
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        (revocations, blocks.all().filter(|made| made.ends_at_ms() < before_ms).cloned().collect())
    }

    /// Has every session in memory written whole, as if the disk knew none; returns how many there are.
    pub fn requeue_all(&self) -> usize {
        let mut count = 0;
        for session in (0..SHARDS).flat_map(|shard| self.in_shard(shard)) {
            session.life().change(Stage::overwritten);
            self.enqueue(&session);
            count += 1;
        }
        count
    }
}
