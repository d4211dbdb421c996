//! The judge: (session, question, now) to a judgement. Stream questions, follows and introspection all go through it,
//! and it knows every reason to refuse. Pure: no clock, no store, no lock.
//!
//! A limit is over at its exact instant, not one millisecond later. The session's own limits end the session; what a route,
//! a token or a condition adds only refuses this question.

use serde::{Deserialize, Serialize};

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There was no activity for as long as its access type allows.
    IdleTimeout,
    /// It was as old as its access type allows.
    LifetimeExceeded,
    /// It was revoked, by itself or with all of its subject, client or issuer.
    Revoked,
}

impl Reason {
    /// The reason as the admin API and the audit line show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle_timeout",
            Self::LifetimeExceeded => "lifetime_exceeded",
            Self::Revoked => "revoked",
        }
    }
}

/// The end of a session: why, and when (milliseconds since the epoch).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Why.
    pub reason: Reason,
    /// For an expiry, the instant of the limit, not of its detection. For a revocation, the instant before which
    /// everything is revoked; it lies a little ahead of the call, see `leads.rs`.
    pub at_ms: u64,
}

impl End {
    /// Merges two ends of one session: a revocation takes precedence over a limit, and the later instant counts.
    /// Neither the order nor the number of merges matters.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let reason = match (self.reason, other.reason) {
            (Reason::Revoked, _) | (_, Reason::Revoked) => Reason::Revoked,
            // A tie is the lifetime's.
            (one, two) => (self.at_ms, one).max((other.at_ms, two)).1,
        };
        Self { reason, at_ms: self.at_ms.max(other.at_ms) }
    }
}

/// The limits of an access type, in milliseconds; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// From the last login.
    pub absolute_ms: Option<u64>,
    /// From the last activity.
    pub idle_ms: Option<u64>,
}

/// What is known of the session that a token names.
#[derive(Debug, Clone, Copy)]
pub enum Known {
    /// There is none, and the token may not open one.
    Nothing,
    /// There is none in memory, and the token is blocked.
    Blocked,
    /// There is none, and a revocation stands against the token.
    Revoked,
    /// Nothing tells the logins of the token apart, and such tokens are refused.
    Undated,
    /// It is over, and no longer in memory.
    Over(End),
    /// It is in memory.
    Session(Facts),
}

/// What is known of a session in memory, and of the token that was presented for it.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Set once the session has ended.
    pub ended: Option<End>,
    /// Set when the session came back after this end and the token is from before.
    pub outlived: Option<End>,
    /// The session's last login; without any, its start.
    pub login_at_ms: u64,
    /// The last activity.
    pub last_seen_ms: u64,
    /// Of the session's access type.
    pub limits: Limits,
    /// The token is blocked.
    pub is_blocked: bool,
    /// A revocation stands against the token.
    pub is_revoked: bool,
    /// The token has scopes that the session was never granted.
    pub escalates: bool,
    /// The caller has verified the token.
    pub is_verified: bool,
    /// The token has the subject and the client of the session.
    pub is_same_party: bool,
    /// The token has another subject than the session.
    pub is_other_subject: bool,
    /// The session's scopes cover what the route requires.
    pub is_covered: bool,
    /// The login counts as an authentication context that the route does not accept.
    pub is_too_weak: bool,
    /// The session's scopes cover what the route requires only with such that somebody has yet to approve.
    pub is_unapproved: bool,
}

/// What the route of a question adds. Its limits can only narrow: the session's own are judged as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The oldest login that the route accepts.
    pub max_age_ms: Option<u64>,
    /// The longest inactivity that the route accepts.
    pub max_idle_ms: Option<u64>,
    /// Requests of this route are not activity.
    pub background: bool,
}

/// A refusal of one question that leaves the session as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The token names no session that it could use.
    UnknownSession,
    /// The token is blocked.
    Blocked,
    /// A revocation stands against the token.
    Revoked,
    /// Nothing tells the logins of the token apart, and such tokens are refused.
    Undated,
    /// The token is from before an end that its session came back after.
    Outlived(Reason),
    /// The token has scopes that the session was never granted.
    ScopeEscalation,
    /// The route requires a scope that the session has no live grant of.
    ApprovalRequired,
    /// The session's last login is older than the route accepts, or counts as weaker.
    StepUpRequired,
    /// The session was inactive for longer than the route accepts.
    RouteIdle,
    /// A condition of the route is not met.
    ConditionFailed,
}

/// The judge's decision about one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The session is good.
    Active {
        /// Until the nearest absolute limit.
        remaining_ms: Option<u64>,
        /// Until the nearest idle limit, counted after this question.
        idle_ms: Option<u64>,
        /// The question is activity: the last activity is now.
        touches: bool,
    },
    /// The session is over, already or as of now.
    Ended(End),
    /// The session is not what this question needs.
    Refused(Refusal),
}

/// The end of the session by its own limits at `now`: the earliest one.
pub fn expiry(login_at_ms: u64, last_seen_ms: u64, limits: Limits, now_ms: u64) -> Option<End> {
    let over = |from: u64, limit: Option<u64>, reason| {
        let at_ms = from.saturating_add(limit?);
        (at_ms <= now_ms).then_some(End { reason, at_ms })
    };
    let lifetime = over(login_at_ms, limits.absolute_ms, Reason::LifetimeExceeded);
    let idle = over(last_seen_ms, limits.idle_ms, Reason::IdleTimeout);
    match (lifetime, idle) {
        // Both are over when there was no question for long: the session ended by the one that came first.
        (Some(lifetime), Some(idle)) if idle.at_ms < lifetime.at_ms => Some(idle),
        (Some(lifetime), _) => Some(lifetime),
        (None, idle) => idle,
    }
}

/// Judges one question on which there are no conditions.
pub fn judge(known: &Known, asked: Asked, now_ms: u64) -> Judgement {
    judge_on(known, asked, || None, now_ms)
}

/// Judges one question. The conditions of its route decide once nothing else refuses it: they release nothing, and what they
/// refuse is not activity.
pub fn judge_on(known: &Known, asked: Asked, conditions: impl FnOnce() -> Option<Refusal>, now_ms: u64) -> Judgement {
    let facts = match known {
        Known::Nothing => return Judgement::Refused(Refusal::UnknownSession),
        Known::Blocked => return Judgement::Refused(Refusal::Blocked),
        Known::Revoked => return Judgement::Refused(Refusal::Revoked),
        Known::Undated => return Judgement::Refused(Refusal::Undated),
        Known::Over(end) => return Judgement::Ended(*end),
        Known::Session(facts) => facts,
    };
    // A block answers first: whatever else is wrong, its party learns that it is blocked, and nothing ends meanwhile.
    if facts.is_blocked && facts.is_verified {
        return Judgement::Refused(Refusal::Blocked);
    }
    if facts.is_other_subject {
        return Judgement::Refused(Refusal::UnknownSession);
    }
    // An unverified token learns nothing but that the session of its own subject and client is live.
    if !facts.is_verified && (!facts.is_same_party || facts.ended.is_some()) {
        return Judgement::Refused(Refusal::UnknownSession);
    }
    if facts.is_blocked {
        return Judgement::Refused(Refusal::Blocked);
    }
    if let Some(end) = facts.ended {
        return Judgement::Ended(end);
    }
    if facts.is_revoked {
        return Judgement::Refused(Refusal::Revoked);
    }
    if let Some(end) = facts.outlived {
        return Judgement::Refused(Refusal::Outlived(end.reason));
    }
    if let Some(end) = expiry(facts.login_at_ms, facts.last_seen_ms, facts.limits, now_ms) {
        return Judgement::Ended(end);
    }
    if facts.escalates {
        return Judgement::Refused(Refusal::ScopeEscalation);
    }
    within(facts, asked, conditions, now_ms)
}

/// Judges the limits and the conditions of the route for a session that is good in itself.
fn within(facts: &Facts, asked: Asked, conditions: impl FnOnce() -> Option<Refusal>, now_ms: u64) -> Judgement {
    // Before a login is asked for that would be of no use.
    if facts.is_unapproved {
        return Judgement::Refused(Refusal::ApprovalRequired);
    }
    if facts.is_too_weak {
        return Judgement::Refused(Refusal::StepUpRequired);
    }
    let Some(remaining_ms) = left(facts.login_at_ms, nearest(facts.limits.absolute_ms, asked.max_age_ms), now_ms)
    else {
        return Judgement::Refused(Refusal::StepUpRequired);
    };
    let limit = nearest(facts.limits.idle_ms, asked.max_idle_ms);
    let Some(before) = left(facts.last_seen_ms, limit, now_ms) else {
        return Judgement::Refused(Refusal::RouteIdle);
    };
    // Of what the session's scopes do not cover, the filter says what is missing: conditions are not asked.
    if facts.is_covered
        && let Some(refusal) = conditions()
    {
        return Judgement::Refused(refusal);
    }
    // The filter refuses what the session's scopes no longer cover, and a refused question is not activity. Nor is a
    // token that anybody could have made up.
    let touches = !asked.background && facts.is_covered && facts.is_verified;
    Judgement::Active { remaining_ms, idle_ms: if touches { limit } else { before }, touches }
}

/// The nearer of two limits.
fn nearest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What is left of a limit that runs from an instant: `None` once it is over, `Some(None)` when there is no limit.
/// A clock that went back reads as no time gone by, never as more than the whole limit.
fn left(from_ms: u64, limit_ms: Option<u64>, now_ms: u64) -> Option<Option<u64>> {
    let Some(limit) = limit_ms else {
        return Some(None);
    };
    match limit.saturating_sub(now_ms.saturating_sub(from_ms)) {
        0 => None,
        left => Some(Some(left)),
    }
}

#[cfg(test)]
mod tests;
