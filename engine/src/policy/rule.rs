//! A rule: who may use a route, and within what limits.

use super::Outage;
use crate::scope::Requirement;
use std::time::Duration;

/// A route's rule.
#[derive(Debug)]
pub struct Rule {
    /// Unique within the policy; goes into logs and counters.
    pub name: String,
    /// Who may use it.
    pub access: Access,
    /// Limits of the session on this route.
    pub limits: Limits,
    /// The token's `acr` must be one of these; empty: any.
    pub acr: Vec<String>,
}

/// Who may use a route.
#[derive(Debug)]
pub enum Access {
    /// Everyone, without a token.
    Public,
    /// Everyone with a valid token and a live session.
    Authenticated,
    /// Those whose token and session hold the required scopes.
    Scopes(Requirement),
}

/// What a route adds to the limits of the session service; it narrows, never widens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The oldest login that is good enough here.
    pub max_age: Option<Duration>,
    /// The longest idle time that is good enough here.
    pub max_idle: Option<Duration>,
    /// Whether requests count as activity.
    pub touch: bool,
    /// Whether an open request goes on when its token expires, as long as its session does.
    pub outlive_token: bool,
    /// What happens when there is no verdict: the route's own word, else the policy's.
    pub on_outage: Outage,
}
