//! Everything that can be decided without asking the session service: edge, route, token, scopes.

use super::{
    bearer::CredentialError,
    head::Head,
    principal::Principal,
    request::{Arrival, Denial, Local, Question},
};
use crate::{
    answer::Code,
    policy::{Access, Policy, Rule},
    route::{Host, Path, RuleId},
};
use std::rc::Rc;

/// How far a request comes before its token has to be looked at.
#[derive(Debug)]
pub enum Routed {
    /// Decided.
    Done(Local),
    /// The rule wants a token.
    Guarded(RuleId),
}

/// Finds the rule, and decides all that needs no token.
pub fn route(head: &Head<'_>, policy: &Policy) -> Routed {
    if head.several_authorizations {
        return Routed::Done(refuse(Code::MalformedCredentials, None, None));
    }
    let Ok(path) = Path::parse(head.path) else {
        return Routed::Done(refuse(Code::AmbiguousPath, None, None));
    };
    // A host that can't be read is no host that a rule without hosts would match: the upstream may well read it.
    let Some(host) = Host::parse(head.authority) else {
        return Routed::Done(refuse(Code::NoRoute, None, None));
    };
    if head.preflight && policy.cors_preflight {
        return Routed::Done(Local::Public(None));
    }
    let Some(id) = policy.routes.find(&host, head.method, &path) else {
        return Routed::Done(refuse(Code::NoRoute, None, None));
    };
    match policy.rules.get(id.0).map(|rule| &rule.access) {
        Some(Access::Public) => Routed::Done(Local::Public(Some(id))),
        Some(Access::Authenticated | Access::Scopes(_)) => Routed::Guarded(id),
        None => Routed::Done(refuse(Code::NoRoute, None, None)),
    }
}

/// The refusal of a request without a usable bearer token.
pub fn no_token(error: CredentialError, rule: RuleId) -> Local {
    let code = match error {
        CredentialError::NoCredentials => Code::NoCredentials,
        CredentialError::Malformed => Code::MalformedCredentials,
    };
    refuse(code, Some(rule), None)
}

/// Compares a verified token with what the rule requires.
pub fn compare(principal: &Rc<Principal>, arrival: &Arrival, policy: &Policy, now_ms: u64) -> Local {
    let id = arrival.rule;
    let Some(rule) = policy.rules.get(id.0) else {
        return refuse(Code::NoRoute, None, None);
    };
    if let Access::Scopes(requirement) = &rule.access
        && !requirement.met_by(&principal.held)
    {
        return refuse(Code::InsufficientScope, Some(id), Some(principal));
    }
    if needs_step_up(principal, rule, now_ms) {
        return refuse(Code::StepUpRequired, Some(id), Some(principal));
    }
    Local::Ask(Question { rule: id, principal: Rc::clone(principal), attributes: Rc::clone(&arrival.attributes) })
}

/// RFC 9470: too weak (`acr`) or too old (`auth_time`) a login. A token without `auth_time` is left to the session service,
/// which knows when the session began.
fn needs_step_up(principal: &Principal, rule: &Rule, now_ms: u64) -> bool {
    let acr = principal.facts.acr.as_ref();
    let too_weak = !rule.acr.is_empty() && !acr.is_some_and(|acr| rule.acr.contains(acr));
    let too_old = match (rule.limits.max_age, principal.facts.authenticated_at_ms) {
        (Some(max_age), Some(at_ms)) => u128::from(now_ms.saturating_sub(at_ms)) >= max_age.as_millis(),
        _ => false,
    };
    too_weak || too_old
}

pub(super) fn refuse(code: Code, rule: Option<RuleId>, principal: Option<&Rc<Principal>>) -> Local {
    Local::Refuse(Denial { code, rule, principal: principal.cloned() })
}
