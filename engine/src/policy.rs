//! The policy: the operator's configuration, checked. Every [`Policy`] value is valid.

mod deserialize;
mod digest;
pub mod document;
mod duration;
mod envoy_config;
mod facts;
mod fault;
mod freshness;
mod hello;
mod json;
mod json_path;
mod oauth;
mod origin;
mod possession;
mod raw;
mod rule;
#[cfg(feature = "schema")]
mod schema;
mod session;
mod sizes;
#[cfg(feature = "source")]
mod source;
mod text;
mod token_place;
mod upstream_token;
mod validate;

pub use facts::{CLIENT_CERTIFICATE, DeviceSource, FactSources, PlaceHeaders};
pub use fault::{About, Fault, Faults, Wrong};
pub use freshness::Freshness;
pub use json_path::At;
pub use oauth::{LOGOUT_ENDPOINT, OAuth, TOKEN_ENDPOINT};
pub use origin::Origin;
pub use portcullis_contract::token::{Algorithm, BoundTokens, ClaimNames, ClaimValues, Issuer, KeySource, ScopeClaim};
pub use possession::Possession;
pub use rule::{Access, Limits, Rule, Words};
#[cfg(feature = "schema")]
pub use schema::schema;
pub use session::{Client, Introspection, Protocol, SessionService};
pub use sizes::Sizes;
#[cfg(feature = "source")]
pub use source::{RouteSource, Source};
pub use text::nearest;
pub use token_place::TokenPlace;
pub use upstream_token::{RequestContext, TOKEN_HEADER, TokenScopes, UpstreamToken, WithoutToken};
pub use validate::{ROUTES_MAX, SCOPES_MAX, SETS_MAX, route_name, scope_name};

use crate::{
    route::{RouteTable, RuleId},
    scope::ScopeRegistry,
};
use std::time::Duration;

/// A valid policy.
#[derive(Debug)]
pub struct Policy {
    /// Whether refusals are carried out, except on rules with a mode of their own.
    pub mode: Mode,
    /// Which identity headers are set for the upstream.
    pub identity_headers: IdentityHeaders,
    /// Whether the token reaches the upstream, except on rules that say otherwise.
    pub forward_token: bool,
    /// The headers in which some rule's token for the upstream is sent; lower case, each once.
    pub upstream_headers: Vec<String>,
    /// The name of the proxy in tokens for upstreams, if the policy specifies one.
    pub workload: Option<String>,
    /// Where a request can carry its token; exactly one of these.
    pub token_from: Vec<TokenPlace>,
    /// The token endpoint on its hosts, if there is one.
    pub oauth: Option<OAuth>,
    /// The origins, besides a request's own host, whose pages can use a token in a cookie.
    pub allowed_origins: Vec<Origin>,
    /// The `realm` of `WWW-Authenticate`; needs no escaping.
    pub realm: String,
    /// Whether a CORS preflight is released without a token.
    pub cors_preflight: bool,
    /// How large tokens, their cache and key sets can be.
    pub limits: Sizes,
    /// The issuers whose tokens are accepted, without duplicates.
    pub issuers: Vec<Issuer>,
    /// How bound tokens are verified; `None` if no issuer's are.
    pub possession: Option<Possession>,
    /// What it names for the conditions of the session service.
    pub facts: FactSources,
    /// The session service; `None` only when every rule is public.
    pub session: Option<SessionService>,
    /// Every scope that a rule can require.
    pub register: ScopeRegistry,
    /// The rules, in the order of the policy. A `RuleId` is an index into this list.
    pub rules: Vec<Rule>,
    /// Finds the rule for a request.
    pub routes: RouteTable,
    /// SHA-256 of its content, in lower-case hex: the same in YAML, in a `Struct` and in JSON, however that is formatted.
    pub digest: String,
    /// What the document contains beyond this, for tools.
    #[cfg(feature = "source")]
    pub source: Source,
}

impl Policy {
    /// Reads a policy from the filter's configuration, and reports all faults at once.
    pub fn parse(configuration: &[u8]) -> Result<Self, Faults> {
        validate::policy(&envoy_config::as_json(configuration))
    }

    /// The digest of a policy in JSON, also of one with faults; `None` if it is not JSON.
    pub fn digest_of(policy: &[u8]) -> Option<String> {
        json::read(policy, &mut Faults::default()).map(|json| digest::of(&json))
    }

    /// Whether a refusal on this rule, or of a request without a rule, is carried out.
    pub fn mode_on(&self, rule: Option<RuleId>) -> Mode {
        rule.and_then(|id| self.rule(id)).map_or(self.mode, |rule| rule.mode)
    }

    /// Whether the token of a request that this rule matched reaches the upstream.
    pub fn forwards_token(&self, rule: Option<RuleId>) -> bool {
        rule.and_then(|id| self.rule(id)).map_or(self.forward_token, |rule| rule.forward_token)
    }

    /// The cookie in which browsers hold handles, if there is one.
    pub fn session_cookie(&self) -> Option<&str> {
        self.token_from.iter().find_map(|place| match place {
            TokenPlace::SessionCookie(name) => Some(name.as_str()),
            TokenPlace::Authorization | TokenPlace::Cookie(_) | TokenPlace::WebsocketProtocol(_) => None,
        })
    }

    /// The rule with this id.
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.0)
    }
}

/// Whether refusals are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Refuse.
    #[default]
    Enforce,
    /// Decide, count and log, but refuse nothing.
    Shadow,
}

/// Which of the `x-portcullis-…` headers are set for the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// `x-portcullis-subject`
    pub subject: bool,
    /// `x-portcullis-client`
    pub client: bool,
    /// `x-portcullis-issuer`
    pub issuer: bool,
    /// `x-portcullis-scopes`
    pub scopes: bool,
    /// `x-portcullis-session`
    pub session: bool,
}

/// What happens to a request when there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Outage {
    /// 503.
    #[default]
    Deny,
    /// GET, HEAD and OPTIONS pass; everything else is answered with 503.
    ReadOnly,
    /// A request passes if the same token was released on the same route at most this long ago.
    Grace(Duration),
}

#[cfg(test)]
mod tests;
