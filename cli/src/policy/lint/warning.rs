//! The warnings of `policy check`: their names, and what `--help` says about them.

/// A kind of warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(in crate::policy) enum Warning {
    /// A scope is past its `review_by` date
    ScopeReviewOverdue,
    /// A declared scope is not required by any rule
    ScopeUnused,
    /// A rule that names a scope with `approval: required` can be met without it
    ApprovalAvoidable,
    /// A set is not used by any rule
    SetUnused,
    /// One scope alone grants access to more routes than the limit
    ScopeTooCoarse,
    /// A more specific rule answers some of the requests that a rule matches, and is more permissive
    RouteShadowed,
    /// Methods that a rule does not list are answered by a less specific rule that is more permissive
    MethodFallsThrough,
    /// A rule for everything under a path does not match the path itself, which a more permissive rule answers
    PrefixFallsThrough,
    /// A public rule covers everything under a path, now and in the future
    PublicSubtree,
    /// A rule releases requests without a token, and so without an identity
    TokenOptional,
    /// An upstream that decodes `%2F` treats a path as one that a stricter rule protects
    EncodedSlashDecoded,
    /// An upstream that ignores case treats a path as one that a stricter rule protects
    CaseMatters,
    /// A rule's session limit is longer than NIST SP 800-63B-4 recommends for AAL2
    SessionLimitLoose,
    /// Requests can pass while the session service is unavailable
    OutageNotDenied,
    /// A worker decides requests by itself for longer than a second, so a revocation can take as long to be answered
    LeaseLong,
    /// A worker decides requests by itself on a rule that names a scope with `approval: required`
    LeaseOfApproval,
    /// The policy is in shadow mode: no request is refused
    ShadowMode,
    /// A scope contains a comma: it is one scope, not two
    ScopeComma,
    /// A name in `scope_claims` has a dot, and is probably meant as a JSON Pointer
    ScopeClaimDotted,
    /// Accepts the tokens of clients for any audience, including ID tokens
    AudienceOpen,
    /// Accepts tokens that are bound to a key without checking the proof of possession
    BoundTokensBearer,
    /// Accepts tokens of type `JWT`, which may not be access tokens (an ID token, for example)
    TokenTypeJwt,
    /// Several issuers are accepted, and the upstream is not told which one a subject belongs to
    IssuerNotSent,
    /// Upstreams with a token of their own get the client's token as well
    ClientTokenForwarded,
    /// The name of a `session_cookie` does not begin with `__Host-`, so a sibling domain can set it
    CookieUnprefixed,
    /// A route is for a path of the token endpoint (`oauth`), which no route ever decides about
    RouteOfOauth,
    /// In an Envoy configuration, no route leads to the cluster of the token endpoint (`oauth`)
    OauthNotRouted,
    /// In an Envoy configuration, `cors` or `grpc_web` is behind the filter
    FilterOrder,
    /// In an Envoy configuration, paths are changed before the filter sees them
    PathNormalized,
    /// In an Envoy configuration, a filter behind this one or a route can change the path after the decision
    PathChangedBehind,
    /// In an Envoy configuration, a stream over HTTP/1.1 stays open for a while after it is cut
    DelayedClose,
    /// In an Envoy configuration, there is no cluster with a name that the policy uses
    ClusterUnknown,
    /// In an Envoy configuration, keys at an `https` URL are fetched without TLS
    KeysWithoutTls,
    /// In an Envoy configuration, the session service's cluster does not use HTTP/2
    SessionClusterHttp1,
    /// In an Envoy configuration, calls about opaque tokens can use up the circuit breaker of the endpoint's cluster
    CircuitBreakerLow,
    /// An Istio manifest uses a cluster name that is not one of Istio's
    IstioClusterName,
    /// The variable of a credential is not passed to the filter
    CredentialNotPassed,
}

impl Warning {
    /// Its stable name.
    pub(in crate::policy) fn code(self) -> &'static str {
        match self {
            Self::ScopeReviewOverdue => "scope_review_overdue",
            Self::ScopeUnused => "scope_unused",
            Self::ApprovalAvoidable => "approval_avoidable",
            Self::SetUnused => "set_unused",
            Self::ScopeTooCoarse => "scope_too_coarse",
            Self::RouteShadowed => "route_shadowed",
            Self::MethodFallsThrough => "method_falls_through",
            Self::PrefixFallsThrough => "prefix_falls_through",
            Self::PublicSubtree => "public_subtree",
            Self::TokenOptional => "token_optional",
            Self::EncodedSlashDecoded => "encoded_slash_decoded",
            Self::CaseMatters => "case_matters",
            Self::SessionLimitLoose => "session_limit_loose",
            Self::OutageNotDenied => "outage_not_denied",
            Self::LeaseLong => "lease_long",
            Self::LeaseOfApproval => "lease_of_approval",
            Self::ShadowMode => "shadow_mode",
            Self::ScopeComma => "scope_comma",
            Self::ScopeClaimDotted => "scope_claim_dotted",
            Self::AudienceOpen => "audience_open",
            Self::BoundTokensBearer => "bound_tokens_bearer",
            Self::TokenTypeJwt => "token_type_jwt",
            Self::IssuerNotSent => "issuer_not_sent",
            Self::ClientTokenForwarded => "client_token_forwarded",
            Self::CookieUnprefixed => "cookie_unprefixed",
            Self::RouteOfOauth => "route_of_oauth",
            Self::OauthNotRouted => "oauth_not_routed",
            Self::FilterOrder => "filter_order",
            Self::PathNormalized => "path_normalized",
            Self::PathChangedBehind => "path_changed_behind",
            Self::DelayedClose => "delayed_close",
            Self::ClusterUnknown => "cluster_unknown",
            Self::KeysWithoutTls => "keys_without_tls",
            Self::SessionClusterHttp1 => "session_cluster_http1",
            Self::CircuitBreakerLow => "circuit_breaker_low",
            Self::IstioClusterName => "istio_cluster_name",
            Self::CredentialNotPassed => "credential_not_passed",
        }
    }
}
