//! What memory holds, for a store that may have lost what was written to it last.

use super::{Registry, SHARDS};
use crate::life::Stage;
use crate::store::Rules;
use std::sync::PoisonError;

impl Registry {
    /// All rules for parties.
    pub fn rules(&self) -> Rules {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner).all().cloned().collect();
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner).all().cloned().collect();
        Rules { revocations, blocks, narrowings: self.all_narrowings() }
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
