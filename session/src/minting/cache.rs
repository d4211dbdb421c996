//! The tokens that were minted lately. It is bounded in bytes, and forgets the least recently used ones.

use lru::LruCache;
use std::sync::{Arc, Mutex, PoisonError};

/// Parts with a lock each, so that connections seldom wait for each other.
const SHARDS: usize = 32;

/// What one part takes at most, in bytes.
const SHARD_BYTES_MAX: usize = 2 << 20;

/// What an entry takes beside its token, in bytes: its slot, its node and its place in the table.
const ENTRY_BYTES: usize = 192;

/// What tokens are told apart by: a digest of all that a token says, except for its times and its transaction.
pub(super) type Slot = [u8; 32];

/// A token that was minted.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) text: Arc<str>,
    pub(super) exp_s: u64,
    pub(super) renew_at_ms: u64,
}

impl Entry {
    /// Whether it can be used instead of one that would be minted now and end then.
    pub(super) fn is_good(&self, now_ms: u64, exp_s: u64) -> bool {
        // One that would not live longer is no better.
        now_ms < self.renew_at_ms || (self.exp_s >= exp_s && now_ms < self.exp_s.saturating_mul(1_000))
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.text.len()
    }
}

/// The cache of a service.
pub(super) struct Cache(Box<[Mutex<Shard>]>);

struct Shard {
    entries: LruCache<Slot, Entry>,
    bytes: usize,
}

impl Default for Cache {
    fn default() -> Self {
        let shard = || Mutex::new(Shard { entries: LruCache::unbounded(), bytes: 0 });
        Self(std::iter::repeat_with(shard).take(SHARDS).collect())
    }
}

impl Cache {
    /// The token of a slot, if it is good; else the one that `make` returns. Of several callers, one makes it, and the others
    /// wait: a signature takes some ten microseconds.
    pub(super) fn get_or_make(
        &self,
        slot: Slot,
        is_good: impl Fn(&Entry) -> bool,
        make: impl FnOnce() -> Option<Entry>,
    ) -> Option<Entry> {
        let number = usize::from(slot.first().copied().unwrap_or_default()) % SHARDS;
        let mut shard = self.0.get(number)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = shard.entries.get(&slot).filter(|entry| is_good(entry)) {
            return Some(entry.clone());
        }
        let made = make()?;
        shard.put(slot, made.clone());
        Some(made)
    }
}

impl Shard {
    fn put(&mut self, slot: Slot, entry: Entry) {
        self.bytes += entry.bytes();
        if let Some(before) = self.entries.put(slot, entry) {
            self.bytes = self.bytes.saturating_sub(before.bytes());
        }
        while self.bytes > SHARD_BYTES_MAX
            && let Some((_, oldest)) = self.entries.pop_lru()
        {
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, text: &str) -> Entry {
        Entry { id, text: text.into(), exp_s: 40, renew_at_ms: 25_000 }
    }

    #[test]
    fn a_token_is_made_once_and_again_when_it_is_no_longer_good() {
        let cache = Cache::default();
        let get = |now_ms: u64, exp_s: u64, id: u64| {
            let entry = cache.get_or_make([7; 32], |entry| entry.is_good(now_ms, exp_s), || Some(entry(id, "t")));
            entry.unwrap().id
        };
        assert_eq!((get(10_000, 40, 1), get(24_999, 54, 2)), (1, 1));
        assert_eq!(get(25_000, 40, 3), 1, "another one would not live longer");
        assert_eq!(get(25_000, 55, 4), 4);
        assert!(!entry(1, "t").is_good(40_000, 40), "it has expired");
        let other = cache.get_or_make([8; 32], |_| true, || None);
        assert!(other.is_none(), "what cannot be made is not kept");
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let cache = Cache::default();
        let long = "x".repeat(SHARD_BYTES_MAX / 4);
        for n in 0..40 {
            let mut slot = [0; 32];
            slot[1] = n;
            cache.get_or_make(slot, |_| true, || Some(entry(n.into(), &long)));
        }
        let shard = cache.0[0].lock().unwrap();
        assert!(shard.bytes <= SHARD_BYTES_MAX && shard.entries.len() == 3, "{}", shard.bytes);
        assert_eq!(shard.bytes, shard.entries.iter().map(|(_, entry)| entry.bytes()).sum::<usize>());
    }
}
