//! Tokens that were verified before. The cache is bounded in bytes and evicts the least recently used entry; an entry
//! never outlives its token or its key.

use crate::token::{IssuerId, KeyId, KeySet, Verified};
use lru::LruCache;
use std::{
    hash::{BuildHasher, RandomState},
    rc::Rc,
};

/// An entry's overhead in bytes: its key, its links and its slot in the table.
const ENTRY_BYTES: usize = 160;

/// Identifies a token in the cache that computed it: 128 bits of a keyed hash (SipHash), whose key is unknown outside
/// the VM. SHA-256, which anyone can compute, would cost ten times as much in wasm, on every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenTag(u64, u64);

/// Stores a `T` for each verified token.
pub(super) struct TokenCache<T> {
    key: RandomState,
    entries: LruCache<TokenTag, Entry<T>>,
    bytes: usize,
    bytes_max: usize,
}

/// A verified token's `T`, and what its validity depends on.
pub(super) struct Entry<T> {
    /// The cached value.
    pub(super) value: Rc<T>,
    /// The entry is invalid from this time on, in milliseconds since the Unix epoch.
    pub(super) dies_at_ms: u64,
    /// The token's issuer.
    pub(super) issuer: IssuerId,
    /// The key that verified it.
    pub(super) key: KeyId,
    bytes: usize,
}

impl<T> Entry<T> {
    /// Stores `value`, which takes `bytes`, for as long as `verified` is valid.
    pub(super) fn new(verified: &Verified, value: Rc<T>, bytes: usize) -> Self {
        let bytes = bytes.saturating_add(ENTRY_BYTES);
        Self { value, dies_at_ms: verified.facts.dies_at_ms, issuer: verified.issuer, key: verified.key, bytes }
    }
}

/// The result of a lookup.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup<T> {
    /// The token was verified and is still valid.
    Hit(Rc<T>),
    /// The token was verified but has expired; its entry is removed.
    Dead(Rc<T>),
    /// The token is not cached.
    Miss,
}

impl<T> TokenCache<T> {
    /// A cache of at most `bytes_max` bytes; it grows on demand. A limit on the number of tokens would let long ones fill the
    /// memory of the VM, which never shrinks.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { key: RandomState::new(), entries: LruCache::unbounded(), bytes: 0, bytes_max }
    }

    /// The token's tag in this cache.
    pub(super) fn tag(&self, token: &str) -> TokenTag {
        let half = |which: u8| self.key.hash_one((which, token));
        TokenTag(half(0), half(1))
    }

    /// The entry of a token, at `now_ms`.
    pub(super) fn get(&mut self, token: &TokenTag, now_ms: u64) -> Lookup<T> {
        match self.entries.get(token) {
            None => Lookup::Miss,
            Some(entry) if now_ms < entry.dies_at_ms => Lookup::Hit(Rc::clone(&entry.value)),
            Some(_) => self.forget(token).map_or(Lookup::Miss, Lookup::Dead),
        }
    }

    /// Stores a token and returns what was evicted: the token's own older entry, and the least recently used ones.
    pub(super) fn insert(&mut self, token: TokenTag, entry: Entry<T>) -> Vec<Rc<T>> {
        let mut gone: Vec<Rc<T>> = self.forget(&token).into_iter().collect();
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.entries.put(token, entry);
        while self.bytes > self.bytes_max
            && let Some((_, entry)) = self.entries.pop_lru()
        {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            gone.push(entry.value);
        }
        gone
    }

    fn forget(&mut self, token: &TokenTag) -> Option<Rc<T>> {
        let entry = self.entries.pop(token)?;
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        Some(entry.value)
    }

    /// Removes and returns the tokens whose key is no longer in `keys`, the keys of matching issuers.
    pub(super) fn retain_keys(&mut self, is_of: impl Fn(IssuerId) -> bool, keys: &KeySet) -> Vec<Rc<T>> {
        let is_void = |entry: &Entry<T>| is_of(entry.issuer) && !keys.holds(entry.key);
        let entries = self.entries.iter();
        let void = entries.filter(|(_, entry)| is_void(entry));
        let void: Vec<TokenTag> = void.map(|(token, _)| *token).collect();
        void.iter().filter_map(|token| self.forget(token)).collect()
    }

    /// The number of cached tokens.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
