//! Tokens that were verified before. The cache is bounded in bytes and evicts the least recently used entry; an entry
//! never outlives its token or its key.

use super::principal::Principal;
use crate::token::{IssuerId, KeySet};
use lru::LruCache;
use siphasher::sip128::{Hash128, SipHasher13};
use std::{
    hash::{BuildHasher, RandomState},
    rc::Rc,
};

/// What an entry takes in bytes beside its token, in wasm: a node with its tag, its links and the allocator's word (40), the
/// counters of `Rc` with another word (16), and a slot in a table that may be half empty (20).
const ENTRY_BYTES: usize = 80;

/// Identifies a token in the cache that computed it: 128 bits of a keyed hash (SipHash), whose key is unknown outside
/// the VM. SHA-256, which anyone can compute, would cost ten times as much in wasm, on every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenTag(u64, u64);

/// The verified tokens of a worker.
pub(super) struct TokenCache {
    hash: SipHasher13,
    entries: LruCache<TokenTag, Rc<Principal>>,
    bytes: usize,
    bytes_max: usize,
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
    /// A cache of at most `bytes_max` bytes; it grows on demand. A limit on the number of tokens would let long ones fill the
    /// memory of the VM, which never shrinks.
    pub(super) fn new(bytes_max: usize) -> Self {
        // The keys of std's own hash are random, and what it makes of two numbers is, too.
        let random = RandomState::new();
        let hash = SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1));
        Self { hash, entries: LruCache::unbounded(), bytes: 0, bytes_max }
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
            Some(_) => self.forget(token).map_or(Lookup::Miss, Lookup::Dead),
        }
    }

    /// Stores a token and returns what was evicted: the token's own older entry, and the least recently used ones.
    pub(super) fn insert(&mut self, token: TokenTag, principal: Rc<Principal>) -> Vec<Rc<Principal>> {
        let mut gone: Vec<Rc<Principal>> = self.forget(&token).into_iter().collect();
        self.bytes = self.bytes.saturating_add(bytes_of(&principal));
        self.entries.put(token, principal);
        while self.bytes > self.bytes_max
            && let Some((_, principal)) = self.entries.pop_lru()
        {
            gone.push(self.gone(principal));
        }
        gone
    }

    fn forget(&mut self, token: &TokenTag) -> Option<Rc<Principal>> {
        let principal = self.entries.pop(token)?;
        Some(self.gone(principal))
    }

    fn gone(&mut self, principal: Rc<Principal>) -> Rc<Principal> {
        self.bytes = self.bytes.saturating_sub(bytes_of(&principal));
        principal
    }

    /// Removes and returns the tokens whose key is no longer in `keys`, the keys of matching issuers.
    pub(super) fn retain_keys(&mut self, is_of: impl Fn(IssuerId) -> bool, keys: &KeySet) -> Vec<Rc<Principal>> {
        let void = self.entries.iter().filter(|(_, principal)| is_of(principal.issuer) && !principal.has_key_in(keys));
        let void: Vec<TokenTag> = void.map(|(token, _)| *token).collect();
        void.iter().filter_map(|token| self.forget(token)).collect()
    }

    /// The number of cached tokens.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// What an entry takes: the token, and its place in the cache. The facts of a token do not change, nor does this.
pub(super) fn bytes_of(principal: &Principal) -> usize {
    principal.bytes().saturating_add(ENTRY_BYTES)
}
