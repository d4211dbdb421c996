//! Codes for what ends a session or refuses a request in it. The filter puts them in its answers, the session service
//! in its introspection responses.

use crate::wire::Outcome;

/// The token cannot be accepted, whatever its session.
pub const INVALID_TOKEN: &str = "invalid_token";
/// The session was inactive for too long.
pub const SESSION_IDLE_TIMEOUT: &str = "session_idle_timeout";
/// The session is past its absolute limit.
pub const SESSION_LIFETIME_EXCEEDED: &str = "session_lifetime_exceeded";
/// The session was revoked.
pub const SESSION_REVOKED: &str = "session_revoked";
/// The token belongs to no known session and cannot open one.
pub const SESSION_UNKNOWN: &str = "session_unknown";
/// The token has scopes that its session was never granted.
pub const SCOPE_ESCALATION: &str = "scope_escalation";
/// The token's subject, client or session claim is blocked.
pub const BLOCKED: &str = "blocked";
/// The login is too old for the route.
pub const STEP_UP_REQUIRED: &str = "step_up_required";
/// The route requires a scope that the session has no live grant of.
pub const APPROVAL_REQUIRED: &str = "approval_required";
/// A condition of the service refused the request.
pub const CONDITION_FAILED: &str = "condition_failed";
/// The proof of possession is not one for this request, or was used before.
pub const INVALID_DPOP_PROOF: &str = "invalid_dpop_proof";

/// The code for an outcome; `None` if the outcome is not a refusal.
pub const fn of(outcome: Outcome) -> Option<&'static str> {
    Some(match outcome {
        Outcome::Unspecified | Outcome::Active | Outcome::Unavailable => return None,
        Outcome::IdleTimeout => SESSION_IDLE_TIMEOUT,
        Outcome::LifetimeExceeded => SESSION_LIFETIME_EXCEEDED,
        Outcome::Revoked => SESSION_REVOKED,
        Outcome::UnknownSession => SESSION_UNKNOWN,
        Outcome::ScopeEscalation => SCOPE_ESCALATION,
        Outcome::StepUpRequired => STEP_UP_REQUIRED,
        Outcome::Undated => INVALID_TOKEN,
        Outcome::Blocked => BLOCKED,
        Outcome::ApprovalRequired => APPROVAL_REQUIRED,
        Outcome::ConditionFailed => CONDITION_FAILED,
        Outcome::ProofUsed => INVALID_DPOP_PROOF,
    })
}
