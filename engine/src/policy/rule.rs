//! A rule: who can use a route, and within what limits.

use super::{Freshness, Mode, Outage, UpstreamToken};
use crate::scope::Requirement;
use std::{sync::Arc, time::Duration};

/// The rule of a route.
#[derive(Debug)]
pub struct Rule {
    /// Unique within the policy; used in logs and counters.
    pub name: String,
    /// Whether its refusals are carried out; defaults to the policy's setting.
    pub mode: Mode,
    /// Who can use it.
    pub access: Access,
    /// Limits of the session on this route.
    pub limits: Limits,
    /// The accepted values of the token's `acr`; empty accepts any.
    pub acr: Vec<String>,
    /// Words for conditions.
    pub words: Words,
    /// The token for its upstream, if there is one.
    pub upstream_token: Option<Arc<UpstreamToken>>,
    /// Whether the client's token reaches the upstream.
    pub forward_token: bool,
}

impl Rule {
    /// For how long the filter can decide a token's requests by itself; `None` if each is asked about. Public routes ask
    /// about none.
    pub fn lease(&self) -> Option<Duration> {
        self.limits.freshness.lease().filter(|_| !matches!(self.access, Access::Public))
    }
}

/// What conditions can tell routes by, besides their names and scopes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// What kind of route it is.
    pub class: Option<String>,
    /// Further words.
    pub tags: Vec<String>,
    /// The sets that its requirement names.
    pub sets: Vec<String>,
}

/// Who can use a route.
#[derive(Debug)]
pub enum Access {
    /// Everyone, without a token.
    Public,
    /// Everyone without a token, and everyone with a valid one and an active session.
    Optional,
    /// Everyone with a valid token and an active session.
    Authenticated,
    /// Those whose token and session hold the required scopes.
    Scopes(Requirement),
}

/// Limits that a route adds to those of the session service; they narrow them and never widen them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The maximum age of the login.
    pub max_age: Option<Duration>,
    /// The maximum inactivity of the session.
    pub max_idle: Option<Duration>,
    /// Whether requests count as activity.
    pub touch: bool,
    /// Whether an open request continues after its token expires, for as long as its session is active.
    pub outlive_token: bool,
    /// What happens when there is no verdict; defaults to the policy's setting.
    pub on_outage: Outage,
    /// Whether the session service is asked about each request; defaults to the policy's setting.
    pub freshness: Freshness,
}
