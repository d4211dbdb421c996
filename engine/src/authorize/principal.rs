//! A verified token as a worker knows it.

use crate::{
    policy::Policy,
    scope::Held,
    token::{Facts, IssuerId, KeyId, Verified},
};
use std::cell::Cell;

/// A verified token, the policy's scopes that it holds, and what the check stream knows of it.
#[derive(Debug)]
pub struct Principal {
    /// What the token says.
    pub facts: Facts,
    /// Its scopes, separated by spaces.
    pub scopes: String,
    /// Whose token it is.
    pub issuer: IssuerId,
    /// The key that verified it; none for an opaque token.
    pub(super) key: Option<KeyId>,
    /// Which of the policy's scopes it holds.
    pub held: Held,
    /// Its name on the check stream, once it has one.
    pub(super) handle: Cell<Option<Handle>>,
    /// Whether it has left the cache, so that its handle will not be needed again.
    pub(super) retired: Cell<bool>,
}

/// A token's name on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle {
    /// The stream that it was given on; on another one it is void.
    pub(super) stream: u32,
    pub(super) number: u32,
}

impl Principal {
    /// A token that was verified with a key of its issuer.
    pub fn verified(verified: &Verified, policy: &Policy) -> Self {
        Self { key: Some(verified.key), ..Self::new(verified.issuer, verified.facts.clone(), policy) }
    }

    /// A token whose facts somebody else vouches for, under `policy`.
    pub fn new(issuer: IssuerId, facts: Facts, policy: &Policy) -> Self {
        let held = policy.register.held(facts.scopes.iter().map(String::as_str));
        Self {
            scopes: facts.scopes.join(" "),
            facts,
            issuer,
            key: None,
            held,
            handle: Cell::new(None),
            retired: Cell::new(false),
        }
    }

    /// What it takes, in bytes, with what it points to.
    pub(super) fn bytes(&self) -> usize {
        let facts = &self.facts;
        let texts = [&facts.subject, &facts.client_id, &facts.acr, &facts.jti].into_iter().flatten().map(String::len);
        let scopes = facts.scopes.iter().map(|scope| scope.len().saturating_add(size_of::<String>()));
        let fixed = [facts.issuer.len(), facts.session_key.as_str().len(), facts.session_id.len(), facts.grant.len()];
        size_of::<Self>() + self.scopes.len() + self.held.bytes() + texts.chain(scopes).chain(fixed).sum::<usize>()
    }
}
