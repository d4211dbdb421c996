//! Blocks of parties: publishing one, taking it back, and whether a token is blocked.
//!
//! The races are those of revocations. A token is bound, and its blocks are read, under the lock of its session's shard; a
//! follow is registered before it is judged. A block is published before any follow is judged again.
//!
//! A block runs out by the steady clock: a wall clock that was set forward must not release what is blocked.

use super::Registry;
use crate::blocks::{Block, BlockedParty};
use crate::email::EmailDigest;
use crate::per_party::OfParty;
use crate::revocations::Bearer;
use crate::token::Token;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

impl Registry {
    /// Publishes a block that is on disk, and cuts the open requests of its party; returns the block of the same party whose
    /// place it takes, if that one still stood.
    pub fn block(&self, block: &Block) -> Option<Block> {
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = blocks.add(block.clone());
        drop(blocks);
        self.rules_epoch.fetch_add(1, Ordering::SeqCst);
        // It may be about a token and not about its session. Blocks are rare: all follows are judged again.
        self.followers.all_changed();
        replaced.filter(|replaced| !self.has_run_out(replaced.ends_at_ms(), block.made_at_ms))
    }

    /// Takes back a block that is no longer on disk; returns whether it was there. Its sessions are what they were.
    pub fn unblock(&self, block: &Block) -> bool {
        let is_lifted = self.blocks.write().unwrap_or_else(PoisonError::into_inner).lift(block);
        self.rules_epoch.fetch_add(1, Ordering::SeqCst);
        is_lifted
    }

    /// The parties that a transmitter has blocked by an e-mail address.
    pub fn blocked_by_email(&self, transmitter: &str, issuer: &str, email: EmailDigest) -> Vec<BlockedParty> {
        self.blocks.read().unwrap_or_else(PoisonError::into_inner).by_email(transmitter, issuer, email)
    }

    /// The block of a party that a transmitter's signal has made.
    pub fn signalled_block(&self, transmitter: &str, issuer: &str, party: &BlockedParty) -> Option<Block> {
        self.blocks.read().unwrap_or_else(PoisonError::into_inner).get(transmitter, issuer, party).cloned()
    }

    /// Until when a token is blocked; `None` if it is not.
    pub fn blocked_until_ms(&self, token: &Token, now_ms: u64) -> Option<u64> {
        let steady_ms = self.agreement.activity_ms(now_ms);
        self.blocks.read().unwrap_or_else(PoisonError::into_inner).until_ms(token.bearer(), steady_ms)
    }

    /// The blocks of the party of a session that stand at `now_ms`, the oldest first.
    pub fn blocks_of(&self, bearer: Bearer<'_>, now_ms: u64) -> Vec<Block> {
        let steady_ms = self.agreement.activity_ms(now_ms);
        self.blocks.read().unwrap_or_else(PoisonError::into_inner).of(bearer, steady_ms)
    }

    /// Whether a block of the party of a session stands at `now_ms`.
    pub fn is_blocked(&self, bearer: Bearer<'_>, now_ms: u64) -> bool {
        let steady_ms = self.agreement.activity_ms(now_ms);
        self.blocks.read().unwrap_or_else(PoisonError::into_inner).until_ms(bearer, steady_ms).is_some()
    }

    /// Whether a block that stands until `until_ms` has run out.
    pub fn has_run_out(&self, until_ms: u64, now_ms: u64) -> bool {
        until_ms <= self.agreement.activity_ms(now_ms)
    }

    /// The block with that id that stands at `now_ms`.
    pub fn block_of(&self, id: &str, now_ms: u64) -> Option<Block> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        blocks.all().find(|block| block.id() == id && !self.has_run_out(block.ends_at_ms(), now_ms)).cloned()
    }

    /// A page of at most `limit` of the blocks that stand at `now_ms`, after `after`, in the order of their ids, and whether
    /// there are more.
    pub fn blocks_page(&self, after: Option<&str>, limit: usize, now_ms: u64) -> (Vec<(String, Block)>, bool) {
        let steady_ms = self.agreement.activity_ms(now_ms);
        self.blocks.read().unwrap_or_else(PoisonError::into_inner).page(after, limit, steady_ms)
    }

    /// How many blocks stand at `now_ms`.
    pub fn blocks_standing(&self, now_ms: u64) -> usize {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        blocks.all().filter(|block| !self.has_run_out(block.ends_at_ms(), now_ms)).count()
    }
}
