//! Tokens that were verified before. An entry never outlives its token or its key.

use super::{
    bounded_cache::{BoundedCache, Bounds},
    principal::Principal,
};
use crate::token::{IssuerId, KeySet};
use portcullis_contract::bounds::TOKENS_MAX;
use siphasher::sip128::{Hash128, SipHasher13};
use std::{
    hash::{BuildHasher, RandomState},
    rc::Rc,
};

/// The maximum number of cached tokens: each can have a handle on the check stream, and so can those that have left the cache
/// while their questions wait.
const ENTRIES_MAX: usize = TOKENS_MAX - TOKENS_MAX / 8;

/// Identifies a token in the cache that computed it: 128 bits of a keyed hash (SipHash), whose key is unknown outside
/// the VM. SHA-256, which anyone can compute, would cost ten times as much in wasm, on every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenTag(u64, u64);

/// The verified tokens of a worker.
pub(super) struct TokenCache {
    hash: SipHasher13,
    entries: BoundedCache<TokenTag, Rc<Principal>>,
}

/// The result of a lookup.
#[derive(Debug)]
pub(super) enum Lookup {
    /// The token was verified and is still valid.
    Hit(Rc<Principal>),
    /// The token was verified but has expired; its entry is removed.
    Dead(Rc<Principal>),
    /// The token is not cached.
    Miss,
}

impl TokenCache {
    /// A cache of at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        // The keys of std's own hash are random, and what it makes of two numbers is, too.
        let random = RandomState::new();
        let hash = SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1));
        Self { hash, entries: BoundedCache::new(Bounds { bytes: bytes_max, entries: ENTRIES_MAX }) }
    }

    /// The token's tag in this cache.
    pub(super) fn tag(&self, token: &str) -> TokenTag {
        let Hash128 { h1, h2 } = self.hash.hash(token.as_bytes());
        TokenTag(h1, h2)
    }

    /// The entry of a token, at `now_ms`.
    pub(super) fn get(&mut self, token: &TokenTag, now_ms: u64) -> Lookup {
        match self.entries.get(token) {
            None => Lookup::Miss,
            Some(principal) if now_ms < principal.facts.dies_at_ms => Lookup::Hit(Rc::clone(principal)),
            Some(_) => self.entries.remove(token).map_or(Lookup::Miss, Lookup::Dead),
        }
    }

    /// Stores a token and returns what was evicted: the token's own older entry, and the least recently used ones.
    pub(super) fn insert(&mut self, token: TokenTag, principal: Rc<Principal>) -> Vec<Rc<Principal>> {
        self.entries.put(token, principal)
    }

    /// Removes and returns the tokens whose key is no longer in `keys`, the keys of matching issuers.
    pub(super) fn retain_keys(&mut self, is_of: impl Fn(IssuerId) -> bool, keys: &KeySet) -> Vec<Rc<Principal>> {
        let void = self.entries.iter().filter(|(_, principal)| is_of(principal.issuer) && !principal.has_key_in(keys));
        let void: Vec<TokenTag> = void.map(|(token, _)| *token).collect();
        void.iter().filter_map(|token| self.entries.remove(token)).collect()
    }

    /// The number of cached tokens.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
