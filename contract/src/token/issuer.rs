//! An issuer whose access tokens are accepted, and the conditions they must meet.

use super::{ClaimValues, FactClaims, ScopeClaim, json::Object, scopes};
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};

/// An index into the issuers of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IssuerId(pub usize);

/// The claim of a token that was minted in place of another issuer's: the `iss` of that one.
pub const ORIGINAL_ISSUER: &str = "orig_iss";

/// An issuer and the conditions its tokens must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// `iss`, compared exactly.
    pub issuer: Arc<str>,
    /// `aud` must contain one of these. Empty only if `clients` is not: then `aud` is not asked about.
    pub audiences: Vec<String>,
    /// The token's client must be one of these; empty: any client, or none.
    pub clients: Vec<String>,
    /// Every one of these claims must have one of its values.
    pub claims: Vec<ClaimValues>,
    /// What becomes of tokens that are bound to a key.
    pub bound_tokens: BoundTokens,
    /// It mints tokens of its own in place of those of this issuer, which `orig_iss` must name: sessions, revocations and blocks
    /// are those of that one.
    pub minted_for: Option<Arc<str>>,
    /// The algorithms that may sign a token. Empty only for an opaque issuer, so that no signed token is accepted.
    pub algorithms: Vec<Algorithm>,
    /// Where the verification keys come from.
    pub keys: KeySource,
    /// Tolerance for `exp`, `nbf` and `iat`; at most 60 s.
    pub clock_skew: Duration,
    /// Accepted `typ` header values, lower-case, without `application/`. Empty only for an opaque issuer.
    pub token_types: Vec<String>,
    /// The names of the claims that differ between issuers.
    pub claim_names: ClaimNames,
}

/// What becomes of tokens that are bound to a key of the client (`cnf`; RFC 9449, RFC 8705).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BoundTokens {
    /// They are refused: whoever has stolen one could use it here, where the proof is not checked.
    #[default]
    Refuse,
    /// They are accepted with what they are bound to: a proof by the key, the certificate, or both.
    Verify,
    /// They are accepted as bearer tokens.
    Bearer,
}

/// How the claims that differ between issuers are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// Claims that contain scopes; never empty.
    pub scopes: Vec<ScopeClaim>,
    /// Claims that identify the session; the first one present counts. Never empty.
    pub session: Vec<String>,
    /// Claims that identify the client; the first one present counts. Never empty.
    pub client: Vec<String>,
    /// A token that meets all of these, if there are any, is a machine client's.
    pub machine: Vec<ClaimValues>,
    /// Claims that conditions need: the same for all issuers of a policy.
    pub facts: Arc<FactClaims>,
}

impl Default for ClaimNames {
    /// `scope` (RFC 9068, section 2.2.3), `scp` of older servers, `sid` (OpenID Connect Front-Channel Logout, section 3),
    /// `client_id` (RFC 9068, section 2.2), and `azp` of OpenID Connect.
    fn default() -> Self {
        Self {
            scopes: Self::SCOPES.map(ScopeClaim::named).to_vec(),
            session: vec!["sid".to_owned()],
            client: Self::CLIENT.map(str::to_owned).to_vec(),
            machine: Vec::new(),
            facts: Arc::default(),
        }
    }
}

/// The maximum number of claims of one kind: those that contain scopes, for example.
pub const CLAIMS_MAX: usize = 100;

impl ClaimNames {
    /// The usual claims that contain scopes.
    pub const SCOPES: [&str; 2] = ["scope", "scp"];
    /// The usual claims that identify the client.
    pub const CLIENT: [&str; 2] = ["client_id", "azp"];

    /// The scopes that new values of claims state, read as in a token; `None` where no scope claim, nor what one is inside of,
    /// is among them.
    pub fn scopes_stated(&self, claims: &Map<String, Value>) -> Option<Vec<String>> {
        let claims = Object::of(claims.clone());
        let is_named =
            |claim: &ScopeClaim| claim.path().first().is_some_and(|outermost| claims.get(outermost).is_some());
        let is_stated = self.scopes.iter().any(is_named);
        is_stated.then(|| scopes::read(&claims, &self.scopes))
    }

    pub(super) fn mark_machine(&self, claims: &Object) -> bool {
        !self.machine.is_empty() && self.machine.iter().all(|values| values.are_met(claims))
    }
}

impl Issuer {
    /// The issuer whose sessions its tokens belong to.
    pub fn of_sessions(&self) -> &Arc<str> {
        self.minted_for.as_ref().unwrap_or(&self.issuer)
    }

    /// Whether its tokens are only introspected and never verified here.
    pub fn is_opaque(&self) -> bool {
        self.keys == KeySource::Opaque
    }
}

/// Where an issuer's verification keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A JWK Set that is fetched, and regularly refetched, through an Envoy cluster.
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
    /// A JWK Set in the policy itself, as JSON; it contains at least one usable key.
    Inline(String),
    /// No keys: the filter cannot read its tokens, so the session service is asked about them.
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
    ES512,
    /// `EdDSA` with the curve Ed25519. Its fully specified name `Ed25519` is equivalent.
    EdDSA,
}

impl Algorithm {
    /// The algorithm with that name. Names are case-sensitive (RFC 7515, section 4.1.1). `none` and the symmetric algorithms
    /// have no entry, so no configuration can enable them.
    pub fn named(alg: &str) -> Option<Self> {
        Some(match alg {
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "ES512" => Self::ES512,
            "EdDSA" | "Ed25519" => Self::EdDSA,
            _ => return None,
        })
    }
}
