//! Tokens that were verified before: bounded in bytes, the least recently used goes first, and none outlives its token or its
//! key.

use crate::token::{IssuerId, KeyId, KeySet, Verified};
use lru::LruCache;
use std::{
    hash::{BuildHasher, RandomState},
    rc::Rc,
};

/// What the remembered tokens of a worker may take, in bytes. A cache that is bounded in tokens would let long ones fill the
/// memory of the VM, which never shrinks.
pub(super) const BYTES_MAX: usize = 32 << 20;

/// What an entry takes beside its value, in bytes: its key, its links and its place in the table.
const ENTRY_BYTES: usize = 160;

/// Stands for a token in the cache that made it: 128 bits of a keyed hash (SipHash), whose key nobody outside the VM knows.
/// SHA-256, with which everybody can compute what stands for a token, costs ten times as much in wasm, on each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenTag(u64, u64);

/// Remembers a `T` for each verified token.
pub(super) struct TokenCache<T> {
    key: RandomState,
    entries: LruCache<TokenTag, Entry<T>>,
    bytes: usize,
    bytes_max: usize,
}

/// A verified token's `T`, and what it depends on.
pub(super) struct Entry<T> {
    /// What is remembered.
    pub(super) value: Rc<T>,
    /// From this time on, in milliseconds since the Unix epoch, the entry is dead.
    pub(super) dies_at_ms: u64,
    /// Whose token it is.
    pub(super) issuer: IssuerId,
    /// The key that verified it.
    pub(super) key: KeyId,
    bytes: usize,
}

impl<T> Entry<T> {
    /// Remembers `value`, which takes `bytes`, for as long as `verified` holds.
    pub(super) fn new(verified: &Verified, value: Rc<T>, bytes: usize) -> Self {
        let bytes = bytes.saturating_add(ENTRY_BYTES);
        Self { value, dies_at_ms: verified.facts.dies_at_ms, issuer: verified.issuer, key: verified.key, bytes }
    }
}

/// What the cache knows of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup<T> {
    /// It was verified, and still holds.
    Hit(Rc<T>),
    /// It was verified, but its time is over; it is forgotten.
    Dead(Rc<T>),
    /// Nothing.
    Miss,
}

impl<T> Default for TokenCache<T> {
    fn default() -> Self {
        Self::new(BYTES_MAX)
    }
}

impl<T> TokenCache<T> {
    /// A cache of at most `bytes_max` bytes; it grows as tokens come.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { key: RandomState::new(), entries: LruCache::unbounded(), bytes: 0, bytes_max }
    }

    /// What stands for a token here.
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

    /// Remembers a token, and returns what had to go for it: the token's own older entry, and the least recently used.
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

    /// Forgets the tokens of `issuer` that were verified with a key that is not in `keys` any more, and returns them.
    pub(super) fn retain_keys(&mut self, issuer: IssuerId, keys: &KeySet) -> Vec<Rc<T>> {
        let is_void = |entry: &Entry<T>| entry.issuer == issuer && !keys.holds(entry.key);
        let entries = self.entries.iter();
        let void = entries.filter(|(_, entry)| is_void(entry));
        let void: Vec<TokenTag> = void.map(|(token, _)| *token).collect();
        void.iter().filter_map(|token| self.forget(token)).collect()
    }

    /// How many tokens are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
