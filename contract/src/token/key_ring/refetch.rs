//! Which unknown keys may cause a fetch: anyone can make up a `kid`, and an issuer must not be flooded with requests.
//!
//! A key that a fetch did not bring waits for its own interval, and uses up nothing in the meantime. All keys of an issuer
//! share a budget that allows a few fetches at once, so that a key that was made up does not stand in the way of a new
//! one.

use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;

/// The minimum time between two fetches that the same unknown key causes, and the mean time between any two in
/// milliseconds.
pub const KEY_REFETCH_INTERVAL_MS: u64 = 5_000;

/// The number of fetches that unknown keys can cause at once after a quiet time.
pub const KEY_REFETCHES_AT_ONCE: u64 = 4;

/// The maximum number of keys of an issuer that are remembered because a fetch was made for them.
const SOUGHT_MAX: usize = 64;

/// A digest of a `kid`, or of its absence. What a token calls its key can be long, and is the choice of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyName([u8; 16]);

impl KeyName {
    /// The name of the key that a token asks for.
    pub fn of(kid: Option<&str>) -> Self {
        let mut hash = Sha256::new();
        hash.update([u8::from(kid.is_some())]);
        hash.update(kid.unwrap_or_default());
        let digest: [u8; 32] = hash.finalize().into();
        Self(digest.first_chunk().copied().unwrap_or_default())
    }
}

/// The fetches that unknown keys of one issuer have caused.
#[derive(Debug, Clone, Default)]
pub(super) struct Refetches {
    /// The keys that were sought last, and when; oldest first.
    sought: VecDeque<(KeyName, u64)>,
    /// When the budget is full again. Each fetch moves it by an interval.
    full_at_ms: u64,
}

impl Refetches {
    /// Whether an unknown key may cause a fetch now. If so, it counts as caused.
    pub(super) fn admit(&mut self, name: KeyName, now_ms: u64) -> bool {
        let is_over = |at_ms: u64| now_ms.saturating_sub(at_ms) >= KEY_REFETCH_INTERVAL_MS;
        self.sought.retain(|(_, at_ms)| !is_over(*at_ms));
        let spare_ms = (KEY_REFETCHES_AT_ONCE - 1) * KEY_REFETCH_INTERVAL_MS;
        let is_known = self.sought.iter().any(|(known, _)| *known == name);
        if is_known || self.full_at_ms > now_ms.saturating_add(spare_ms) {
            return false;
        }
        self.full_at_ms = self.full_at_ms.max(now_ms).saturating_add(KEY_REFETCH_INTERVAL_MS);
        if self.sought.len() >= SOUGHT_MAX {
            self.sought.pop_front();
        }
        self.sought.push_back((name, now_ms));
        true
    }
}
