//! An issuer whose access tokens are accepted, and on what terms.

use std::time::Duration;

/// An index into the issuers of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IssuerId(pub usize);

/// An issuer and what its tokens must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// `iss`, compared exactly.
    pub issuer: String,
    /// `aud` must hold one of these; never empty.
    pub audiences: Vec<String>,
    /// The algorithms that a token may be signed with; empty for an opaque issuer alone, so that none is admitted.
    pub algorithms: Vec<Algorithm>,
    /// Where the verification keys come from.
    pub keys: KeySource,
    /// Tolerance for `exp`, `nbf` and `iat`; at most 60 s.
    pub clock_skew: Duration,
    /// Accepted `typ` header values, lower-case, without `application/`; empty for an opaque issuer alone.
    pub token_types: Vec<String>,
    /// Where its tokens say what.
    pub claim_names: ClaimNames,
}

/// Which claims of an issuer's tokens hold what, where issuers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// Claims that hold scopes; never empty.
    pub scopes: Vec<String>,
    /// Claims that name the session, first match wins; never empty.
    pub session: Vec<String>,
}

impl Default for ClaimNames {
    /// `scope` (RFC 9068, section 2.2.3), `scp` of older servers, and `sid` (OpenID Connect Front-Channel Logout, section 3).
    fn default() -> Self {
        Self { scopes: vec!["scope".to_owned(), "scp".to_owned()], session: vec!["sid".to_owned()] }
    }
}

impl Issuer {
    /// Whether its tokens are known by introspection alone: none of them is ever verified here.
    pub fn is_opaque(&self) -> bool {
        self.keys == KeySource::Opaque
    }
}

/// Where an issuer's verification keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A JWK Set that is fetched, and fetched again, through an Envoy cluster.
    Remote {
        /// `:authority` of the request.
        authority: String,
        /// `:path` of the request, with its query.
        path: String,
        /// Whether the URL's scheme is `https`.
        https: bool,
        /// The Envoy cluster to ask.
        cluster: String,
        /// How long a fetched set is used before it is fetched again.
        refresh: Duration,
    },
    /// A JWK Set that stands in the policy, as JSON; known to hold at least one usable key.
    Inline(String),
    /// Nowhere: its tokens say nothing to the filter, and the session service is asked what they mean.
    Opaque,
}

/// A JWS algorithm (RFC 7518, section 3.1; RFC 8037; RFC 9864 for `Ed25519`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the registered ones")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    /// `EdDSA` with the curve Ed25519; its fully specified name `Ed25519` means the same.
    EdDSA,
}
