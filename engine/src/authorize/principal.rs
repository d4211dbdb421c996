//! A token whose claims are trusted, as a worker stores it.

use super::bounded_cache::Weigh;
use crate::{
    policy::Policy,
    scope::Held,
    token::{Binding, ConditionFacts, Facts, IssuerId, KeyId, KeySet, Verified},
};
use std::{cell::Cell, rc::Rc};

/// A token whose claims are trusted, the policy's scopes that it holds, and its handle on the check stream.
#[derive(Debug)]
pub struct Principal {
    /// Its claims.
    pub facts: Facts,
    /// The token's issuer.
    pub issuer: IssuerId,
    /// The key that verified it; `None` for an opaque token.
    pub(super) key: Option<KeyId>,
    /// Which of the policy's scopes it holds.
    pub held: Held,
    /// Its handle on the check stream, once assigned.
    pub(super) handle: Cell<Option<Handle>>,
    /// Whether it has left the cache, so that its handle is not needed again.
    pub(super) retired: Cell<bool>,
}

/// A token's name on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle {
    /// The stream on which it was assigned; it is meaningless on any other.
    pub(super) stream: u32,
    pub(super) number: u32,
}

impl Principal {
    /// A token that was verified with a key of its issuer.
    pub fn verified(verified: Verified, policy: &Policy) -> Self {
        Self { key: Some(verified.key), ..Self::new(verified.issuer, verified.facts, policy) }
    }

    /// A token whose facts are vouched for by another party, under `policy`.
    pub fn new(issuer: IssuerId, facts: Facts, policy: &Policy) -> Self {
        let held = policy.register.held(facts.scopes.iter().map(String::as_str));
        Self { facts, issuer, key: None, held, handle: Cell::new(None), retired: Cell::new(false) }
    }

    /// Whether another party vouches for its claims, as no key can.
    pub(super) fn is_opaque(&self) -> bool {
        self.key.is_none()
    }

    /// Whether no withdrawn key has verified it, if `keys` are those of its issuer. An opaque token needs none.
    pub(super) fn has_key_in(&self, keys: &KeySet) -> bool {
        self.key.is_none_or(|key| keys.holds(key))
    }
}

impl Weigh for Rc<Principal> {
    fn bytes(&self) -> usize {
        /// The counters of `Rc`, with the allocator's word.
        const RC_BYTES: usize = 16;
        let facts = &self.facts;
        let texts = [&facts.subject, &facts.client_id, &facts.acr, &facts.jti, &facts.email].into_iter().flatten();
        let texts = texts.map(String::as_str).chain([facts.session_key.as_str(), facts.grant.as_str()]);
        let scopes = facts.scopes.iter().map(|scope| size_of::<String>().saturating_add(allocated(scope.len())));
        let conditions = facts.conditions.as_deref().map_or(0, |facts| {
            let lists = facts.amr.len() + facts.groups.len() + 2 * facts.claims.len();
            let texts = facts.texts().map(|text| allocated(text.len()));
            allocated(size_of::<ConditionFacts>()) + lists * size_of::<String>() + texts.fold(0, usize::saturating_add)
        });
        let binding = facts.binding.as_ref().map_or(0, |_| allocated(size_of::<Binding>()));
        RC_BYTES
            + size_of::<Principal>()
            + binding
            + conditions
            + allocated(self.held.bytes())
            + scopes.chain(texts.map(|text| allocated(text.len()))).fold(0, usize::saturating_add)
    }
}

/// What an allocation of so many bytes takes, with what the allocator adds.
pub(super) fn allocated(bytes: usize) -> usize {
    const OVERHEAD: usize = 8;
    if bytes == 0 { 0 } else { bytes.saturating_add(OVERHEAD) }
}
