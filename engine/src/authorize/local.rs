//! The decisions that need no answer from outside: edge, route, token, scopes.

use super::{
    bearer::CredentialError,
    head::Head,
    principal::Principal,
    question::{Arrival, Question},
    redemptions::TokenText,
    request::permit::{Denial, Permit, StepUp},
    token_place::{self, Found},
    upstream_token,
};
use crate::{
    answer::Code,
    policy::{Access, Policy, Rule},
    route::{Host, Path, RuleId},
};
use std::rc::Rc;

/// The maximum length of a method. Registered methods have at most 17 bytes (RFC 9110, section 16.1.1), and every
/// question contains the method.
const METHOD_BYTES_MAX: usize = 64;

/// Where a request belongs.
#[derive(Debug)]
pub enum Routed {
    /// A rule that requires nothing of this request.
    Public(Permit),
    /// The token endpoint.
    OAuth(Permit),
    /// A rule that requires a token.
    Guarded(RuleId),
}

/// Reads host and path, and finds the rule.
///
/// # Errors
/// The request can be read in more than one way, or no rule matches it.
pub fn route(head: &Head<'_>, policy: &Policy) -> Result<Routed, Denial> {
    if head.method.len() > METHOD_BYTES_MAX {
        return Err(Denial::new(Code::NoRoute, None));
    }
    if head.several_authorizations || head.drops_identity || upstream_token::are_dropped(head.headers, policy) {
        return Err(Denial::new(Code::MalformedCredentials, None));
    }
    let path = Path::parse(head.path).map_err(|_| Denial::new(Code::AmbiguousPath, None))?;
    // An unparsable host must not fall through to rules that match every host: the upstream may parse it differently.
    let host = Host::parse(head.authority).ok_or(Denial::new(Code::NoRoute, None))?;
    if let Some(permit) = Permit::oauth(head, &host, &path, policy) {
        return permit.map(Routed::OAuth);
    }
    if let Some(permit) = Permit::preflight(head, &host, &path, policy) {
        return Ok(Routed::Public(permit));
    }
    // Where no rule lets an encoded slash through, the path is as ambiguous as with any other encoded delimiter.
    let code = if path.has_encoded_slash() { Code::AmbiguousPath } else { Code::NoRoute };
    let id = policy.routes.find(&host, head.method, &path).ok_or(Denial::new(code, None))?;
    Ok(match Permit::public(id, policy).or_else(|| Permit::anonymous(id, head, policy)) {
        Some(permit) => Routed::Public(permit),
        None => Routed::Guarded(id),
    })
}

/// The only token of a request that `rule` matched.
///
/// # Errors
/// There is no token, or more than one, or a page of another site may have made the request.
pub fn token<'a>(head: &Head<'a>, policy: &Policy, rule: RuleId) -> Result<Found<'a>, Denial> {
    let code = match token_place::find(head, policy) {
        Ok(found) if found.is_cross_origin(head, policy) => Code::CrossOrigin,
        Ok(found) => return Ok(found),
        Err(CredentialError::NoCredentials) => Code::NoCredentials,
        Err(CredentialError::Malformed) => Code::MalformedCredentials,
    };
    Err(Denial::new(code, Some(rule)))
}

/// Compares a token's claims with the rule's requirements. The only remaining question is whether its session is valid.
///
/// # Errors
/// A scope is missing, or the login is too weak or too old.
pub fn question(
    principal: &Rc<Principal>,
    arrival: &Arrival,
    policy: &Policy,
    now_ms: u64,
) -> Result<Question, Denial> {
    let rule = policy.rule(arrival.rule).ok_or(Denial::new(Code::NoRoute, None))?;
    if let Access::Scopes(requirement) = &rule.access
        && !requirement.met_by(&principal.held)
    {
        return Err(Denial::of(principal, Code::InsufficientScope, arrival.rule));
    }
    if let Some(step_up) = needs_step_up(principal, rule, now_ms) {
        return Err(Denial::of_login(principal, step_up, arrival.rule));
    }
    let attributes = Rc::clone(&arrival.attributes);
    let redeemed = arrival.behind.map(|_| TokenText(Rc::clone(&arrival.token)));
    Ok(Question { rule: arrival.rule, principal: Rc::clone(principal), attributes, proof: None, redeemed })
}

/// The same for an opaque token. What its endpoint said is all that is known about the login, so one of unknown age is too
/// old.
///
/// # Errors
/// A scope is missing, or the login is too weak, too old or of unknown age.
pub fn opaque_question(
    principal: &Rc<Principal>,
    arrival: &Arrival,
    policy: &Policy,
    now_ms: u64,
) -> Result<Question, Denial> {
    let question = question(principal, arrival, policy, now_ms)?;
    match policy.rule(arrival.rule) {
        Some(rule) if !opaque_needs_step_up(principal, rule, now_ms) => Ok(question),
        // Its `acr` was judged before.
        _ => Err(Denial::of_login(principal, StepUp::MaxAge, arrival.rule)),
    }
}

/// What the login does not meet: it is too weak (`acr`) or too old (`auth_time`) (RFC 9470). If a verified token has no `auth_time`, the
/// session service decides: it may know when the person logged in. One that cannot be read says that it may not be asked.
fn needs_step_up(principal: &Principal, rule: &Rule, now_ms: u64) -> Option<StepUp> {
    let acr = principal.facts.acr.as_ref();
    let too_weak = !rule.acr.is_empty() && !acr.is_some_and(|acr| rule.acr.contains(acr));
    // The service would take the session's start for the login, as it does where there is no `auth_time`.
    let unreadable = principal.facts.is_login_unreadable && rule.limits.max_age.is_some();
    let login_ms = principal.facts.authenticated_at_ms;
    let too_old = unreadable || (login_ms.is_some() && is_too_old(login_ms, rule, now_ms));
    match (too_weak, too_old) {
        (true, _) => Some(StepUp::Acr),
        (false, true) => Some(StepUp::MaxAge),
        (false, false) => None,
    }
}

/// The same for an opaque token, whose login is too old as well if its age is unknown.
pub(super) fn opaque_needs_step_up(principal: &Principal, rule: &Rule, now_ms: u64) -> bool {
    needs_step_up(principal, rule, now_ms).is_some() || is_too_old(principal.facts.authenticated_at_ms, rule, now_ms)
}

/// Whether a login at this time is too old for a rule; an unknown one is.
pub(super) fn is_too_old(login_ms: Option<u64>, rule: &Rule, now_ms: u64) -> bool {
    let Some(max_age) = rule.limits.max_age else { return false };
    login_ms.is_none_or(|login_ms| u128::from(now_ms.saturating_sub(login_ms)) >= max_age.as_millis())
}
