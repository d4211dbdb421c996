//! The part of a policy that the session service needs to know.

use super::{Access, ClaimValues, Policy, Protocol, RequestContext, TokenScopes, UpstreamToken};
use crate::wire::{self, UPSTREAM_TOKEN_TYP};
use portcullis_contract::bounds::{self, Exceeded};
use prost::Message;
use std::time::Duration;

impl Policy {
    /// The first message of a check stream. A question refers to its route by the rule's index.
    pub(crate) fn hello(&self) -> wire::Hello {
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let routes = self.rules.iter().map(|rule| {
            let requirement = match &rule.access {
                Access::Scopes(requirement) => Some(requirement),
                Access::Public | Access::Optional | Access::Authenticated => None,
            };
            let any_of = requirement.into_iter().flat_map(|requirement| requirement.any_of(&self.register));
            wire::Route {
                name: rule.name.clone(),
                all_of: requirement.map(|all| owned(all.all_of(&self.register).collect())).unwrap_or_default(),
                any_of: any_of.map(|scopes| wire::Scopes { scopes: owned(scopes) }).collect(),
                max_age_ms: rule.limits.max_age.map(millis),
                max_idle_ms: rule.limits.max_idle.map(millis),
                background: !rule.limits.touch,
                acr: rule.acr.clone(),
                class: rule.words.class.clone().unwrap_or_default(),
                tags: rule.words.tags.clone(),
                sets: rule.words.sets.clone(),
                upstream_token: rule.upstream_token.as_deref().map(UpstreamToken::to_wire),
                lease_ms: rule.lease().map(millis).unwrap_or_default(),
            }
        });
        // What is minted has the usual claims. The issuer that it is minted for is described where it is listed itself.
        let described = self.issuers.iter().filter(|issuer| issuer.minted_for.is_none());
        let issuers = described.map(|issuer| wire::Issuer {
            name: issuer.issuer.to_string(),
            scope_claims: issuer.claim_names.scopes.iter().map(|claim| claim.as_str().to_owned()).collect(),
            session_claims: issuer.claim_names.session.clone(),
            client_claims: issuer.claim_names.client.clone(),
            machine: issuer.claim_names.machine.iter().map(ClaimValues::to_wire).collect(),
        });
        wire::Hello {
            filter_version: env!("CARGO_PKG_VERSION").to_owned(),
            policy_digest: self.digest.clone(),
            routes: routes.collect(),
            issuers: issuers.collect(),
            // The last one says as well that the service must have it.
            capabilities: [wire::BEAT, wire::USAGE]
                .into_iter()
                .chain(self.rules.iter().any(|rule| rule.lease().is_some()).then_some(wire::LEASES))
                .chain(self.possession.is_some().then_some(wire::PROOFS))
                .map(str::to_owned)
                .collect(),
            stream_lease_ms: match self.session.as_ref().map(|session| &session.protocol) {
                Some(Protocol::Stream { lease }) => millis(*lease),
                Some(Protocol::Introspection(_)) | None => 0,
            },
            approvals: self.register.approvals().map(str::to_owned).collect(),
            workload: self.workload.clone().unwrap_or_default(),
        }
    }

    /// Whether a session service would read the hello. A policy that never opens a check stream has none.
    pub(super) fn hello_fits(&self) -> Result<(), Exceeded> {
        match self.session.as_ref().map(|session| &session.protocol) {
            Some(Protocol::Introspection(_)) | None => Ok(()),
            Some(Protocol::Stream { .. }) => {
                let message = wire::FilterMessage { hello: Some(self.hello()), ..Default::default() };
                bounds::check(&message.encode_to_vec())
            }
        }
    }
}

impl UpstreamToken {
    fn to_wire(&self) -> wire::UpstreamToken {
        wire::UpstreamToken {
            audience: self.audience.clone(),
            ttl_ms: millis(self.ttl),
            held_scopes: self.scopes == TokenScopes::Token,
            typ: if self.typ == UPSTREAM_TOKEN_TYP { String::new() } else { self.typ.clone() },
            address: self.rctx == RequestContext::Address,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
