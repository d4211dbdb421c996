//! The token endpoint of the session service on the hosts of the policy.

/// The `oauth` of a policy: browsers get, and give up, their cookies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// The path under which the endpoints are, without a final `/`.
    pub path: String,
    /// The Envoy cluster to which Envoy must route them.
    pub cluster: String,
}

/// The part of an endpoint's path behind that of the policy.
pub const TOKEN_ENDPOINT: &str = "/token";
/// The same for the endpoint that ends a session.
pub const LOGOUT_ENDPOINT: &str = "/logout";
