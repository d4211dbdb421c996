//! A verified token as a worker knows it.

use crate::{
    policy::Policy,
    route::RuleId,
    scope::Held,
    token::{Facts, IssuerId},
};
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

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
    /// When a route was last granted; kept only for routes whose outage policy needs it.
    granted: RefCell<Vec<(RuleId, u64)>>,
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
        Self {
            scopes: facts.scopes.join(" "),
            facts,
            issuer,
            held,
            handle: Cell::new(None),
            retired: Cell::new(false),
            granted: RefCell::default(),
        }
    }

    /// Remembers that `rule` was granted now.
    pub(super) fn note_granted(&self, rule: RuleId, now_ms: u64) {
        let mut granted = self.granted.borrow_mut();
        match granted.iter_mut().find(|(known, _)| *known == rule) {
            Some((_, at_ms)) => *at_ms = now_ms,
            None => granted.push((rule, now_ms)),
        }
    }

    /// Forgets every grant: the session is known to have ended, or to have changed.
    pub(super) fn forget_granted(&self) {
        self.granted.borrow_mut().clear();
    }

    /// Remembers what another answer about the same token has granted.
    pub(super) fn inherit_granted(&self, earlier: &Self) {
        self.granted.replace(earlier.granted.borrow().clone());
    }

    /// Whether `rule` was granted within the last `grace`.
    pub(super) fn granted_within(&self, rule: RuleId, grace: Duration, now_ms: u64) -> bool {
        let oldest_ms = now_ms.saturating_sub(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        self.granted.borrow().iter().any(|(known, at_ms)| *known == rule && *at_ms >= oldest_ms)
    }
}
