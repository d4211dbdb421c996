//! A token whose claims are trusted, as a worker stores it.

use crate::{
    policy::Policy,
    scope::Held,
    token::{Facts, IssuerId, KeyId, Verified},
};
use std::cell::Cell;

/// A token whose claims are trusted, the policy's scopes that it holds, and its handle on the check stream.
#[derive(Debug)]
pub struct Principal {
    /// Its claims.
    pub facts: Facts,
    /// Those of its scopes that the policy registers, separated by spaces.
    pub scopes: String,
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
    pub fn verified(verified: &Verified, policy: &Policy) -> Self {
        Self { key: Some(verified.key), ..Self::new(verified.issuer, verified.facts.clone(), policy) }
    }

    /// A token whose facts are vouched for by another party, under `policy`.
    pub fn new(issuer: IssuerId, facts: Facts, policy: &Policy) -> Self {
        let held = policy.register.held(facts.scopes.iter().map(String::as_str));
        Self {
            scopes: policy.register.registered(&facts.scopes),
            facts,
            issuer,
            key: None,
            held,
            handle: Cell::new(None),
            retired: Cell::new(false),
        }
    }

    /// Whether another party vouches for its claims, as no key can.
    pub(super) fn is_opaque(&self) -> bool {
        self.key.is_none()
    }

    /// Its size in bytes, including what it points to.
    pub(super) fn bytes(&self) -> usize {
        let facts = &self.facts;
        let texts = [&facts.subject, &facts.client_id, &facts.acr, &facts.jti].into_iter().flatten().map(String::len);
        let scopes = facts.scopes.iter().map(|scope| scope.len().saturating_add(size_of::<String>()));
        let fixed = [facts.issuer.len(), facts.session_key.as_str().len(), facts.session_id.len(), facts.grant.len()];
        size_of::<Self>() + self.scopes.len() + self.held.bytes() + texts.chain(scopes).chain(fixed).sum::<usize>()
    }
}
