//! A verified token as a worker knows it.

use crate::{
    policy::Policy,
    scope::Held,
    token::{Facts, IssuerId},
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
    /// A token that has just been verified under `policy`.
    pub fn new(issuer: IssuerId, facts: Facts, policy: &Policy) -> Self {
        let held = policy.register.held(facts.scopes.iter().map(String::as_str));
        Self { scopes: facts.scopes.join(" "), facts, issuer, held, handle: Cell::new(None), retired: Cell::new(false) }
    }
}
