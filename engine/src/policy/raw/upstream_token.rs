//! The keys of a token for the upstream.

use crate::policy::deserialize::Given;
#[cfg(feature = "schema")]
use crate::policy::schema;
use serde::Deserialize;

/// A short-lived token for the upstream, which the session service mints in place of the client's
/// (draft-ietf-oauth-transaction-tokens). A route's own keys take precedence over the policy's.
#[derive(Debug, Default, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "UpstreamToken"))]
#[serde(deny_unknown_fields, default)]
pub(in crate::policy) struct RawUpstreamToken {
    /// `aud`: the name by which the upstream knows itself, or that of the whole trust domain. Required, here or in the policy's
    /// `upstream_token`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Text"))]
    pub(in crate::policy) audience: Given<String>,
    /// How long a token lives, from `2s` to `1h`. Behind the proxy, a revocation takes effect after this time at the latest.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Limit", extend("default" = "30s")))]
    pub(in crate::policy) ttl: Given<String>,
    /// `route`: `scope` is what the route requires, as far as the session holds it. `token`: all that the session holds of the
    /// client's token.
    #[cfg_attr(feature = "schema", schemars(with = "schema::TokenScopes", extend("default" = "route")))]
    pub(in crate::policy) scopes: Given<String>,
    /// The request header that holds it. Clients' own are always removed, on every route.
    #[cfg_attr(feature = "schema", schemars(with = "schema::FactHeader", extend("default" = "txn-token")))]
    pub(in crate::policy) header: Given<String>,
    /// `typ` of the token's own header.
    #[cfg_attr(feature = "schema", schemars(with = "schema::UpstreamTyp", extend("default" = "txntoken+jwt")))]
    pub(in crate::policy) typ: Given<String>,
    /// What `rctx` says: the `route`, or with `address` also the client's address; a token is then for that address only.
    #[cfg_attr(feature = "schema", schemars(with = "schema::RequestContext", extend("default" = "route")))]
    pub(in crate::policy) rctx: Given<String>,
    /// `omit`: a request for which no token can be minted reaches the upstream without one. By default it is answered with 503.
    #[cfg_attr(feature = "schema", schemars(with = "schema::OmitToken"))]
    pub(in crate::policy) on_outage: Given<String>,
}
