//! The token that the upstream of a route expects, which the session service mints.

use std::time::Duration;

/// The header in which a token reaches the upstream unless the policy names another one.
pub const TOKEN_HEADER: &str = "txn-token";

/// A token for the upstream (draft-ietf-oauth-transaction-tokens).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamToken {
    /// `aud`
    pub audience: String,
    /// From minting to `exp`, at most.
    pub ttl: Duration,
    /// What becomes its `scope`.
    pub scopes: TokenScopes,
    /// The request header that holds it; lower case.
    pub header: String,
    /// `typ` of its own header.
    pub typ: String,
    /// What its `rctx` says.
    pub rctx: RequestContext,
    /// What happens to a request for which no token can be minted.
    pub without: WithoutToken,
}

/// What becomes the `scope` of a token for the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TokenScopes {
    /// What the route requires, as far as the session holds it.
    #[default]
    Route,
    /// All that the session holds of the client's token.
    Token,
}

/// What the `rctx` of a token for the upstream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RequestContext {
    /// The route.
    #[default]
    Route,
    /// The route and the client's address: then a token is for that address only.
    Address,
}

/// What happens to a request for which no token can be minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WithoutToken {
    /// 503.
    #[default]
    Refuse,
    /// It reaches the upstream without one.
    Omit,
}
