//! A cache that is bounded in bytes and in entries, and evicts the least recently used ones. A limit on the number alone
//! would let large entries fill the memory of the VM, which never shrinks.

use lru::LruCache;
use std::hash::Hash;

/// What an entry takes in bytes beside its key and its value, in wasm: the links of its node with the allocator's word (28),
/// and a slot in a table that may be half empty (20).
const ENTRY_BYTES: usize = 48;

/// A value whose size in memory is known.
pub(super) trait Weigh {
    /// Its size in bytes, including what it points to.
    fn bytes(&self) -> usize;
}

/// What a cache holds at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) entries: usize,
}

/// A cache within [`Bounds`]; it grows on demand.
pub(super) struct BoundedCache<K: Hash + Eq, V> {
    entries: LruCache<K, V>,
    bytes: usize,
    max: Bounds,
}

impl<K: Hash + Eq + Copy, V: Weigh> BoundedCache<K, V> {
    pub(super) fn new(max: Bounds) -> Self {
        Self { entries: LruCache::unbounded(), bytes: 0, max }
    }

    /// An entry, which counts as used.
    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// Stores an entry, and returns what left: the older entry of its key, and the least recently used ones.
    pub(super) fn put(&mut self, key: K, value: V) -> Vec<V> {
        let mut gone: Vec<V> = self.remove(&key).into_iter().collect();
        self.bytes = self.bytes.saturating_add(weight::<K, V>(&value));
        self.entries.put(key, value);
        gone.extend(self.evict());
        gone
    }

    /// Changes an entry, which may be new.
    pub(super) fn change(&mut self, key: K, change: impl FnOnce(&mut V))
    where
        V: Default,
    {
        let Some(value) = self.entries.get_mut(&key) else {
            let mut value = V::default();
            change(&mut value);
            self.put(key, value);
            return;
        };
        let before = weight::<K, V>(value);
        change(value);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(weight::<K, V>(value));
        self.evict().for_each(drop);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let value = self.entries.pop(key)?;
        self.bytes = self.bytes.saturating_sub(weight::<K, V>(&value));
        Some(value)
    }

    /// All entries, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What has to leave, the least recently used first.
    fn evict(&mut self) -> impl Iterator<Item = V> {
        std::iter::from_fn(|| {
            if self.bytes <= self.max.bytes && self.entries.len() <= self.max.entries {
                return None;
            }
            let (_, value) = self.entries.pop_lru()?;
            self.bytes = self.bytes.saturating_sub(weight::<K, V>(&value));
            Some(value)
        })
    }
}

/// What an entry takes in bytes.
pub(super) fn weight<K, V: Weigh>(value: &V) -> usize {
    value.bytes().saturating_add(size_of::<K>()).saturating_add(ENTRY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weigh for Vec<u8> {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    /// A cache with room for three entries of 1,000 bytes.
    fn cache() -> BoundedCache<u32, Vec<u8>> {
        let mut cache = BoundedCache::new(Bounds { bytes: 3 * weight::<u32, _>(&vec![0; 1_000]), entries: 4 });
        (0..3).for_each(|key| assert!(cache.put(key, vec![0; 1_000]).is_empty()));
        cache
    }

    fn keys(cache: &BoundedCache<u32, Vec<u8>>) -> Vec<u32> {
        let mut keys: Vec<_> = cache.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn an_entry_that_grows_takes_the_place_of_the_least_recently_used_and_one_that_shrinks_makes_room() {
        let mut cache = cache();
        cache.get(&0);
        cache.change(2, |value| value.push(0));
        assert_eq!(keys(&cache), [0, 2]);
        cache.change(2, Vec::clear);
        assert!(cache.put(3, vec![0; 1_000]).is_empty());
        assert_eq!(keys(&cache), [0, 2, 3]);
        cache.change(3, |value| value.resize(10_000, 0));
        assert!(keys(&cache).is_empty(), "one that is too large is not kept");
        cache.change(4, |value| value.resize(1_000, 0));
        assert_eq!(keys(&cache), [4]);
    }

    #[test]
    fn small_entries_are_bounded_in_number() {
        let mut cache = cache();
        (0..3).for_each(|key| cache.change(key, Vec::clear));
        (3..9).for_each(|key| cache.change(key, Vec::clear));
        assert_eq!(keys(&cache), [5, 6, 7, 8]);
    }

    #[test]
    fn what_has_left_takes_no_room() {
        let mut cache = cache();
        (0..3).for_each(|key| assert!(cache.remove(&key).is_some()));
        assert!(cache.remove(&0).is_none() && cache.bytes == 0);
        (3..6).for_each(|key| assert!(cache.put(key, vec![0; 1_000]).is_empty()));
        assert_eq!(cache.put(5, vec![0; 1_000]).len(), 1, "the older one of the same key");
        assert_eq!(keys(&cache), [3, 4, 5]);
    }
}
