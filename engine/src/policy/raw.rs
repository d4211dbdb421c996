//! The keys of a policy and the types of their values; `validate` checks what they mean.

mod dpop;
mod facts;
mod freshness;
mod oauth;
mod upstream_token;

use super::deserialize::Given;
#[cfg(feature = "schema")]
use super::schema;
pub(super) use dpop::{RawDpop, RawNonce};
pub(super) use facts::{RawAttributes, RawDevice, RawDeviceSource, RawPlace};
pub(super) use freshness::RawFreshness;
pub(super) use oauth::RawOAuth;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::fmt;
pub(super) use upstream_token::RawUpstreamToken;

/// A list of texts.
pub(super) type Texts = Given<Vec<Given<String>>>;

/// The policy of a Portcullis filter: which requests are allowed, and for whom.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Policy", transform = schema::policy))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPolicy {
    /// `enforce` carries out refusals. `shadow` decides, counts and logs every request, but refuses none.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Mode", extend("default" = "enforce")))]
    pub(super) mode: Given<String>,
    /// Which of the headers `x-portcullis-…` identify the caller to the upstream, percent-encoded; `[]` sets none.
    /// Clients' own values are always removed.
    #[cfg_attr(feature = "schema", schemars(with = "schema::IdentityHeaders", extend("default" = ["subject", "client", "scopes", "session"])))]
    pub(super) identity_headers: Texts,
    /// Whether the token is forwarded to the upstream. One in a websocket subprotocol never is. By default it is, except where
    /// there is an `upstream_token`.
    #[cfg_attr(feature = "schema", schemars(extend("default" = true)))]
    pub(super) forward_token: Given<bool>,
    /// A token of the session service's own for the upstream of every route that is not public.
    pub(super) upstream_token: Given<RawUpstreamToken>,
    /// The name of the proxy in tokens for upstreams (`req_wl`); defaults to Envoy's node id.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Workload"))]
    pub(super) workload: Given<String>,
    /// Where a request can carry its token; exactly one place may carry one.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<RawTokenPlace>", extend("default" = ["authorization"])))]
    pub(super) token_from: Given<Vec<Given<RawTokenPlace>>>,
    /// The session service's token endpoint on the hosts of this policy, where browsers get their cookies.
    pub(super) oauth: Given<RawOAuth>,
    /// Origins whose pages can use a token in a cookie, besides those of the request's own host.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<schema::Origin>"))]
    pub(super) allowed_origins: Texts,
    /// The `realm` in `WWW-Authenticate`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Quotable", extend("default" = "portcullis")))]
    pub(super) realm: Given<String>,
    /// `allow` releases CORS preflights without a token, for requests that a route matches. By default they are treated
    /// like any other request.
    #[cfg_attr(feature = "schema", schemars(with = "schema::CorsPreflight"))]
    pub(super) cors_preflight: Given<String>,
    /// Whether routes match paths without case; for upstreams that ignore it.
    #[cfg_attr(feature = "schema", schemars(extend("default" = false)))]
    pub(super) ignore_case: Given<bool>,
    /// How large tokens, their cache and key sets can be.
    pub(super) limits: Given<RawSizes>,
    /// Names in verified certificates (URI or DNS SAN): headers count on the connections of these proxies, whatever filter
    /// vouches for them.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Hop>", extend("maxItems" = 100)))]
    pub(super) trusted_hops: Texts,
    /// Which proofs of possession are accepted, for issuers with `bound_tokens: verify`.
    pub(super) dpop: Given<RawDpop>,
    /// Scheme and host of the URLs that clients use, where they are not those of the requests that Envoy receives. Proofs of
    /// possession are compared with them.
    #[cfg_attr(feature = "schema", schemars(with = "schema::ExternalUrl"))]
    pub(super) external_url: Given<String>,
    /// What names the device of a session, for the session service's conditions and attributes.
    pub(super) device: Given<RawDevice>,
    /// The session service. Optional only if every route is public.
    pub(super) session: Given<RawSession>,
    // These lists can be long, so each of their entries is read on its own.
    /// The issuers whose tokens are accepted. Optional only if every route is public.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<RawIssuer>"))]
    #[serde(rename = "issuers")]
    _issuers: IgnoredKey,
    /// The scope registry: every scope that a route requires, and who owns it.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Scopes"))]
    #[serde(rename = "scopes")]
    _scopes: IgnoredKey,
    /// Named sets of scopes. A route requires a set as `@` followed by its name.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Sets"))]
    #[serde(rename = "sets")]
    _sets: IgnoredKey,
    /// Which requests are allowed, and for whom. The most specific matching route decides; a request without a match is
    /// refused.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<RawRoute>"))]
    #[serde(rename = "routes")]
    _routes: IgnoredKey,
}

type IgnoredKey = Given<IgnoredAny>;

/// How large tokens, their cache and key sets can be, in bytes.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Sizes"))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSizes {
    /// The longest token that is accepted; at most 61440. Envoy's own limit for all headers of a request is 60 KiB.
    #[cfg_attr(feature = "schema", schemars(extend("default" = 16_384, "minimum" = 1_024, "maximum" = 61_440)))]
    pub(super) token_bytes: Given<u64>,
    /// The memory in which each Envoy worker keeps verified tokens.
    #[cfg_attr(feature = "schema", schemars(extend("default" = 33_554_432, "minimum" = 1_048_576, "maximum" = 1_073_741_824)))]
    pub(super) token_cache_bytes: Given<u64>,
    /// The largest key set that is accepted from an issuer.
    #[cfg_attr(feature = "schema", schemars(extend("default" = 1_048_576, "minimum" = 1_024, "maximum" = 16_777_216)))]
    pub(super) key_set_bytes: Given<u64>,
}

/// The address and protocol of the session service.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Session", transform = schema::session))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSession {
    /// The Envoy cluster of the session service.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Cluster"))]
    pub(super) cluster: Given<String>,
    /// `stream` for Portcullis's own session service, `introspection` for any OAuth server (RFC 7662).
    #[cfg_attr(feature = "schema", schemars(with = "schema::Protocol", extend("default" = "stream")))]
    pub(super) protocol: Given<String>,
    /// How long a request can wait for its verdict; at most `60s`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Limit", extend("default" = "200ms")))]
    pub(super) timeout: Given<String>,
    /// How long open requests continue while the session service is silent, if `on_outage` is `deny`; at most `60s`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Limit", extend("default" = "2s")))]
    pub(super) stream_lease: Given<String>,
    /// The filter's bearer credential for the session service.
    pub(super) credential: Given<RawCredential>,
    /// The path of the introspection endpoint.
    #[cfg_attr(feature = "schema", schemars(with = "schema::RequestPath"))]
    pub(super) path: Given<String>,
    /// The host of the introspection endpoint; defaults to the name of the cluster.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Authority"))]
    pub(super) authority: Given<String>,
    /// The filter's own OAuth client at the introspection endpoint.
    pub(super) client: Given<RawClient>,
    /// What happens when there is no verdict in time.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "deny")))]
    pub(super) on_outage: Given<RawOutage>,
    /// Whether the service is asked about each request, or gives leases.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "each_request")))]
    pub(super) freshness: Given<RawFreshness>,
    /// What a question carries for the conditions of the session service.
    pub(super) attributes: Given<RawAttributes>,
    /// Headers that say where a request comes from, for conditions.
    pub(super) place: Given<RawPlace>,
}

/// A secret, referenced by the environment variable that contains it.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Credential", transform = schema::credential))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCredential {
    /// The environment variable of the VM.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Variable"))]
    pub(super) env: Given<String>,
}

/// An OAuth client (RFC 6749, section 2.3.1).
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Client", transform = schema::client))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawClient {
    /// `client_id`
    #[cfg_attr(feature = "schema", schemars(with = "schema::Text"))]
    pub(super) id: Given<String>,
    /// `client_secret`
    pub(super) secret: Given<RawCredential>,
}

/// An issuer of access tokens, and the conditions its tokens must meet.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Issuer", transform = schema::issuer))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawIssuer {
    /// `iss`, compared exactly.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Text"))]
    pub(super) issuer: Given<String>,
    /// Tokens of this issuer are introspected instead of being read by the filter.
    #[cfg_attr(feature = "schema", schemars(extend("default" = false)))]
    pub(super) opaque: Given<bool>,
    /// `aud` must contain one of these. Optional only where `clients` is given: then `aud` is not asked about.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Text>"))]
    pub(super) audiences: Texts,
    /// The token's client must be one of these; by default it can be any client, or none.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Text>"))]
    pub(super) clients: Texts,
    /// Claims that every token must have, each with its value or a list of possible values.
    #[cfg_attr(feature = "schema", schemars(with = "schema::ClaimValues"))]
    pub(super) claims: Given<serde_json::Map<String, serde_json::Value>>,
    /// Tokens that are bound to a key or a certificate (`cnf`): `refuse` refuses them, `verify` accepts them with a proof of
    /// possession (DPoP) and on a connection with that certificate, and `bearer` accepts them as bearer tokens.
    #[cfg_attr(feature = "schema", schemars(with = "schema::BoundTokens", extend("default" = "refuse")))]
    pub(super) bound_tokens: Given<String>,
    /// It mints tokens in place of those of this issuer: its tokens name it as `orig_iss`, and belong to the sessions of that
    /// issuer. For the short-lived tokens of the session service (`tokens.issue`).
    #[cfg_attr(feature = "schema", schemars(with = "schema::Text"))]
    pub(super) minted_for: Given<String>,
    /// The algorithms that may sign a token.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Algorithm>"))]
    pub(super) algorithms: Texts,
    /// Where the keys come from.
    pub(super) keys: Given<RawKeys>,
    /// Tolerance for `exp`, `nbf` and `iat`; at most `60s`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Duration", extend("default" = "30s")))]
    pub(super) clock_skew: Given<String>,
    /// The accepted values of the header `typ`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::TokenType>", extend("default" = ["at+jwt"])))]
    pub(super) token_types: Texts,
    /// The claims that contain scopes, each a list, a space-separated text, or an object whose names are the scopes. A JSON
    /// Pointer (RFC 6901) such as `/realm_access/roles` reaches inside a claim.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::ScopeClaim>", extend("default" = ["scope", "scp"])))]
    pub(super) scope_claims: Texts,
    /// The claims that identify the session; the first one present in a token counts.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Text>", extend("default" = ["sid"])))]
    pub(super) session_claims: Texts,
    /// The claims that identify the client; the first one present in a token counts.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Text>", extend("default" = ["client_id", "azp"])))]
    pub(super) client_claims: Texts,
    /// Claims that mark a machine client's token if it has all of them, each with its value or a list of possible values. A
    /// token is a machine client's as well if its subject is its client, or its grant is `client_credentials`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::ClaimValues"))]
    pub(super) machine: Given<serde_json::Map<String, serde_json::Value>>,
}

/// A key set (RFC 7517): either where to fetch it, or its content.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Keys", transform = schema::keys))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawKeys {
    /// The URL of the key set.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Url"))]
    pub(super) jwks_url: Given<String>,
    /// The Envoy cluster through which it is fetched.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Cluster"))]
    pub(super) cluster: Given<String>,
    /// How long a fetched set is used before it is fetched again.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Limit", extend("default" = "10m")))]
    pub(super) refresh: Given<String>,
    /// A JWK Set. Its members are not checked here (RFC 7517, section 5).
    #[cfg_attr(feature = "schema", schemars(with = "schema::JwkSet"))]
    pub(super) inline: Given<serde_json::Value>,
}

/// The registry entry of a scope.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Scope"))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawScope {
    /// The owner of the scope.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Text"))]
    pub(super) owner: Given<String>,
    /// The date by which someone should check whether the scope is still needed.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Day"))]
    pub(super) review_by: Given<String>,
    /// A human-readable description of what it allows.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Text"))]
    pub(super) description: Given<String>,
    /// `required`: a token's word is not enough. Somebody has to approve it for the session, for a time.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Approval"))]
    pub(super) approval: Given<String>,
}

/// Which requests a route matches and who can use it: exactly one of `public`, `authenticated` and `require`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Route", transform = schema::route))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRoute {
    /// Unique; used in logs and counters.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Name"))]
    pub(super) name: Given<String>,
    /// Whether refusals on this route are carried out; defaults to the policy's setting.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Mode"))]
    pub(super) mode: Given<String>,
    /// Which requests it matches.
    pub(super) r#match: Given<RawMatch>,
    /// Everyone can use it, without a token.
    pub(super) public: Given<bool>,
    /// Tokens must hold these scopes, and so must their sessions.
    pub(super) require: Given<RawRequire>,
    /// `true`: everyone with a valid token and an active session can use it, whatever its scopes. `optional`: everyone
    /// without a token as well.
    pub(super) authenticated: Given<RawAuthenticated>,
    /// Limits that the route adds to those of the session service; they narrow them and never widen them.
    pub(super) session: Given<RawLimits>,
    /// The token's `acr` must be one of these (RFC 9470).
    #[cfg_attr(feature = "schema", schemars(with = "Vec<schema::Acr>"))]
    pub(super) acr: Texts,
    /// What kind of route it is, for the session service's conditions.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Keyword"))]
    pub(super) class: Given<String>,
    /// Further words for it, for the session service's conditions.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<schema::Keyword>", extend("maxItems" = 16)))]
    pub(super) tags: Texts,
    /// The token for its upstream. What it leaves out is taken from the policy's.
    pub(super) upstream_token: Given<RawUpstreamToken>,
}

/// Which requests a route matches.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Match", transform = schema::matched))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMatch {
    /// Hosts, or `*.example.com` for all hosts under it; all hosts by default.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Host>"))]
    pub(super) hosts: Texts,
    /// Methods; all methods by default.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Method>"))]
    pub(super) methods: Texts,
    /// The path; `{name}` matches one segment, `{name}:literal` one that ends so, a final `{*name}` one or more.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Template"))]
    pub(super) path: Given<String>,
    /// `segment` lets an encoded `/` (`%2F`) through inside the segments that `{name}` matches. By default it is refused.
    #[cfg_attr(feature = "schema", schemars(with = "schema::EncodedSlash"))]
    pub(super) encoded_slash: Given<String>,
}

/// The scopes that a token must hold.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Require", transform = schema::require))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRequire {
    /// All of these.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<schema::ScopeOrSet>"))]
    pub(super) all_of: Texts,
    /// One of these; for a set, all of its scopes.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<schema::ScopeOrSet>"))]
    pub(super) any_of: Texts,
}

/// Limits of a session on a route.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Limits"))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    /// The maximum age of the login.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Limit"))]
    pub(super) max_age: Given<String>,
    /// The maximum inactivity of the session.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Limit"))]
    pub(super) max_idle: Given<String>,
    /// Whether requests keep the session alive; use `false` for polling and other background traffic.
    #[cfg_attr(feature = "schema", schemars(extend("default" = true)))]
    pub(super) touch: Given<bool>,
    /// Whether an open request continues after its token expires, for as long as its session is active.
    #[cfg_attr(feature = "schema", schemars(extend("default" = false)))]
    pub(super) outlive_token: Given<bool>,
    /// What happens when there is no verdict in time; defaults to the policy's setting.
    pub(super) on_outage: Given<RawOutage>,
    /// Whether the session service is asked about each request, or gives leases; defaults to the policy's setting.
    pub(super) freshness: Given<RawFreshness>,
}

/// `authorization`, or an object with `cookie`, `session_cookie` or `websocket_protocol`.
#[derive(Debug, Clone)]
pub(super) enum RawTokenPlace {
    Authorization,
    Named(RawNamedPlace),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawNamedPlace {
    pub(super) cookie: Given<String>,
    pub(super) session_cookie: Given<String>,
    pub(super) websocket_protocol: Given<String>,
}

const PLACES: &str = "`authorization`, `{cookie: NAME}`, `{session_cookie: NAME}` or `{websocket_protocol: NAME}`";

impl<'de> Deserialize<'de> for RawTokenPlace {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(TokenPlaceVisitor)
    }
}

struct TokenPlaceVisitor;

impl<'de> Visitor<'de> for TokenPlaceVisitor {
    type Value = RawTokenPlace;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PLACES)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawTokenPlace, E> {
        match word {
            "authorization" => Ok(RawTokenPlace::Authorization),
            _ => Err(E::custom(format_args!("expected {PLACES}, found {}", super::text::quoted(word)))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawTokenPlace, A::Error> {
        RawNamedPlace::deserialize(MapAccessDeserializer::new(map)).map(RawTokenPlace::Named)
    }
}

/// A boolean or `optional`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RawAuthenticated {
    No,
    Yes,
    Optional,
}

impl<'de> Deserialize<'de> for RawAuthenticated {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(AuthenticatedVisitor)
    }
}

struct AuthenticatedVisitor;

impl Visitor<'_> for AuthenticatedVisitor {
    type Value = RawAuthenticated;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or `optional`")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<RawAuthenticated, E> {
        Ok(if value { RawAuthenticated::Yes } else { RawAuthenticated::No })
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawAuthenticated, E> {
        match word {
            "optional" => Ok(RawAuthenticated::Optional),
            _ => Err(E::custom(format_args!(
                "expected `true`, `false` or `optional`, found {}",
                super::text::quoted(word)
            ))),
        }
    }
}

/// `deny`, `read_only`, or an object with `grace`.
#[derive(Debug, Clone)]
pub(super) enum RawOutage {
    Deny,
    ReadOnly,
    Grace(Given<String>),
}

/// Written by hand because a derived implementation would only have serde's error messages.
impl<'de> Deserialize<'de> for RawOutage {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(OutageVisitor)
    }
}

struct OutageVisitor;

impl<'de> Visitor<'de> for OutageVisitor {
    type Value = RawOutage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`deny`, `read_only` or `{grace: 30s}`")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawOutage, E> {
        match word {
            "deny" => Ok(RawOutage::Deny),
            "read_only" => Ok(RawOutage::ReadOnly),
            _ => Err(E::custom(format_args!(
                "expected `deny`, `read_only` or `{{grace: 30s}}`, found {}",
                super::text::quoted(word)
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawOutage, A::Error> {
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct RawGrace {
            grace: Given<String>,
        }
        RawGrace::deserialize(MapAccessDeserializer::new(map)).map(|RawGrace { grace }| RawOutage::Grace(grace))
    }
}
