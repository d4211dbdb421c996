//! A grant: scopes that somebody has approved for a session, with an end. It narrows nothing, and never makes a token say
//! more than it says.

use crate::intern::ScopeSet;
use crate::judge::{End, Reason};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How far the clock of the replica that has made a grant may be ahead, in milliseconds.
const AHEAD_MS_MAX: u64 = 60_000;

/// Which life of a session a grant was made in: a session can end and come back, and its people can log in again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The end that the session had come back after; 0 if it never had ended.
    pub returned_ms: u64,
    /// The newest `auth_time` of its tokens; 0 without any.
    pub authenticated_ms: u64,
}

/// Why a grant ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its time was over.
    Expired,
    /// Somebody revoked it.
    Revoked,
    /// Its session was revoked.
    SessionRevoked,
    /// Its session ended, or somebody logged in again, and its rule does not let it survive that.
    SessionEnded,
    /// Its rule is no longer configured.
    RuleGone,
}

impl Why {
    /// Its name at the admin API and in the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::SessionRevoked => "session_revoked",
            Self::SessionEnded => "session_ended",
            Self::RuleGone => "rule_gone",
        }
    }
}

/// The end of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at_ms: u64,
    /// Why.
    pub why: Why,
    /// Who revoked it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What that one says; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// The request that a grant for one request was used by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// When.
    pub at_ms: u64,
    /// On which route.
    pub route: String,
}

/// A grant. Its scopes and its session are those of its request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its public id.
    pub id: String,
    /// Since when.
    pub from_ms: u64,
    /// The first instant at which it no longer holds; `None`: it holds as long as its session.
    pub until_ms: Option<u64>,
    /// The life of the session that it was made in.
    pub instance: Instance,
    /// It outlives a later login.
    pub survives_login: bool,
    /// It is for one request: the first one that is released because of it. Until its end, that request may go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
    /// Set once that request has come. It is on disk before the request is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
    /// Set once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

impl Grant {
    /// Whether the next request can be released because of it, as far as its time is not over.
    pub const fn is_open(&self) -> bool {
        self.ended.is_none() && self.used.is_none()
    }

    /// Why it no longer holds for a session in this life, which came back after `returned`; `None`: it holds.
    pub fn over(&self, now: Instance, returned: Option<End>, now_ms: u64) -> Option<Why> {
        if let Some(ended) = &self.ended {
            return Some(ended.why);
        }
        // One of the future was made by a clock that was wrong, and would last for too long.
        let is_early = now_ms.saturating_add(AHEAD_MS_MAX) < self.from_ms;
        if is_early || self.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return Some(Why::Expired);
        }
        if now.returned_ms != self.instance.returned_ms {
            if returned.is_some_and(|end| end.reason == Reason::Revoked) {
                return Some(Why::SessionRevoked);
            }
            return (!self.survives_login || self.until_ms.is_none()).then_some(Why::SessionEnded);
        }
        let has_login = now.authenticated_ms > self.instance.authenticated_ms;
        (has_login && !self.survives_login).then_some(Why::SessionEnded)
    }
}

/// The grants of one session that have not ended, each with its scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(Option<Arc<[(ScopeSet, Grant)]>>);

impl Grants {
    /// These.
    pub fn new(grants: Vec<(ScopeSet, Grant)>) -> Self {
        Self((!grants.is_empty()).then(|| grants.into()))
    }

    /// Whether there are none.
    pub const fn are_none(&self) -> bool {
        self.0.is_none()
    }

    /// Those that hold.
    pub fn live(&self, now: Instance, returned: Option<End>, now_ms: u64) -> impl Iterator<Item = &(ScopeSet, Grant)> {
        let all = self.0.iter().flat_map(|grants| grants.iter());
        all.filter(move |(_, grant)| grant.over(now, returned, now_ms).is_none())
    }
}
