//! The part of the policy that the session service needs to know.

use super::millis;
use crate::{
    policy::{Access, Policy, Protocol},
    wire,
};

/// The route table in the form that the service needs. A question refers to its route by the rule's index.
pub(super) fn hello(policy: &Policy) -> wire::Hello {
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    let routes = policy.rules.iter().map(|rule| {
        let requirement = match &rule.access {
            Access::Scopes(requirement) => Some(requirement),
            Access::Public | Access::Authenticated => None,
        };
        let any_of = requirement.into_iter().flat_map(|requirement| requirement.any_of(&policy.register));
        wire::Route {
            name: rule.name.clone(),
            all_of: requirement.map(|all| owned(all.all_of(&policy.register).collect())).unwrap_or_default(),
            any_of: any_of.map(|scopes| wire::Scopes { scopes: owned(scopes) }).collect(),
            max_age_ms: rule.limits.max_age.map(millis),
            max_idle_ms: rule.limits.max_idle.map(millis),
            background: !rule.limits.touch,
        }
    });
    let issuers = policy.issuers.iter().map(|issuer| wire::Issuer {
        name: issuer.issuer.clone(),
        scope_claims: issuer.claim_names.scopes.clone(),
        session_claims: issuer.claim_names.session.clone(),
    });
    wire::Hello {
        filter_version: env!("CARGO_PKG_VERSION").to_owned(),
        policy_digest: policy.digest.clone(),
        routes: routes.collect(),
        issuers: issuers.collect(),
        capabilities: vec![wire::BEAT.to_owned()],
        stream_lease_ms: match policy.session.as_ref().map(|session| &session.protocol) {
            Some(Protocol::Stream { lease }) => millis(*lease),
            Some(Protocol::Introspection(_)) | None => 0,
        },
    }
}
