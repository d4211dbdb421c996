//! Tokens that were verified before: bounded, the least recently used goes first, and none outlives its token or its
//! key.

use crate::token::{IssuerId, KeyId, KeySet, Verified};
use lru::LruCache;
use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    rc::Rc,
};

/// The most tokens that are remembered.
pub(super) const TOKENS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Stands for a token in the cache that made it: 128 bits of a keyed hash (SipHash), whose key nobody outside the VM knows.
/// SHA-256, with which everybody can compute what stands for a token, costs ten times as much in wasm, on each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenTag(u64, u64);

/// Remembers a `T` for each verified token.
pub(super) struct TokenCache<T> {
    key: RandomState,
    entries: LruCache<TokenTag, Entry<T>>,
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
}

impl<T> Entry<T> {
    /// Remembers `value` for as long as `verified` holds.
    pub(super) fn new(verified: &Verified, value: Rc<T>) -> Self {
        Self { value, dies_at_ms: verified.facts.dies_at_ms, issuer: verified.issuer, key: verified.key }
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
        Self::new(TOKENS_MAX)
    }
}

impl<T> TokenCache<T> {
    /// A cache of at most `tokens_max` tokens; it grows as they come.
    pub(super) fn new(tokens_max: NonZeroUsize) -> Self {
        Self { key: RandomState::new(), entries: LruCache::sparse(tokens_max) }
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
            Some(_) => match self.entries.pop(token) {
                Some(entry) => Lookup::Dead(entry.value),
                None => Lookup::Miss,
            },
        }
    }

    /// Remembers a token, and returns what had to go for it: the token's own older entry, or the least recently used.
    pub(super) fn insert(&mut self, token: TokenTag, entry: Entry<T>) -> Option<Rc<T>> {
        let evicted = self.entries.push(token, entry);
        evicted.map(|(_, entry)| entry.value)
    }

    /// Forgets the tokens of `issuer` that were verified with a key that is not in `keys` any more, and returns them.
    pub(super) fn retain_keys(&mut self, issuer: IssuerId, keys: &KeySet) -> Vec<Rc<T>> {
        let is_void = |entry: &Entry<T>| entry.issuer == issuer && !keys.holds(entry.key);
        let entries = self.entries.iter();
        let void = entries.filter(|(_, entry)| is_void(entry));
        let void: Vec<TokenTag> = void.map(|(token, _)| *token).collect();
        let gone = void.iter().filter_map(|token| self.entries.pop(token));
        gone.map(|entry| entry.value).collect()
    }

    /// How many tokens are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
