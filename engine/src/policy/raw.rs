//! The keys of a policy and the types of their values; what they mean is checked elsewhere.

use super::deserialize::Given;
#[cfg(feature = "schema")]
use super::schema;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::fmt;

/// A list of texts.
pub(super) type Texts = Given<Vec<Given<String>>>;

/// Who may do what: the policy of a Portcullis filter.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Policy", transform = schema::policy))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPolicy {
    /// `enforce`: refusals are carried out. `shadow`: every request is decided, counted and logged, and none is refused.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Mode", extend("default" = "enforce")))]
    pub(super) mode: Given<String>,
    /// Which of the headers `x-portcullis-…` tell the upstream who calls; `[]`: none. What clients send in them is always removed.
    #[cfg_attr(feature = "schema", schemars(with = "schema::IdentityHeaders", extend("default" = ["subject", "client", "scopes", "session"])))]
    pub(super) identity_headers: Texts,
    /// Whether `Authorization` reaches the upstream.
    #[cfg_attr(feature = "schema", schemars(extend("default" = true)))]
    pub(super) forward_token: Given<bool>,
    /// The `realm` in `WWW-Authenticate`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Quotable", extend("default" = "portcullis")))]
    pub(super) realm: Given<String>,
    /// `allow`: a CORS preflight is released without a token. Else it is treated as any request.
    #[cfg_attr(feature = "schema", schemars(with = "schema::CorsPreflight"))]
    pub(super) cors_preflight: Given<String>,
    /// The session service. May be left out only if every route is public.
    pub(super) session: Given<RawSession>,
    // These may be long, so each of their entries is read on its own.
    /// Whose tokens are accepted. May be left out only if every route is public.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<RawIssuer>"))]
    #[serde(rename = "issuers")]
    _issuers: IgnoredKey,
    /// The register: every scope that a route asks for, and who answers for it.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Scopes"))]
    #[serde(rename = "scopes")]
    _scopes: IgnoredKey,
    /// Sets of scopes by name; a route asks for one with `@` and its name.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Sets"))]
    #[serde(rename = "sets")]
    _sets: IgnoredKey,
    /// Which requests are answered, and for whom. The most specific route that fits answers; what fits none is refused.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<RawRoute>"))]
    #[serde(rename = "routes")]
    _routes: IgnoredKey,
}

type IgnoredKey = Given<IgnoredAny>;

/// Where the session service is, and how it is asked.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Session", transform = schema::session))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSession {
    /// The Envoy cluster of the session service.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Cluster"))]
    pub(super) cluster: Given<String>,
    /// `stream`: Portcullis's own session service. `introspection`: any OAuth server (RFC 7662).
    #[cfg_attr(feature = "schema", schemars(with = "schema::Protocol", extend("default" = "stream")))]
    pub(super) protocol: Given<String>,
    /// How long a request may wait for its verdict; at most `60s`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Limit", extend("default" = "200ms")))]
    pub(super) timeout: Given<String>,
    /// How long open requests go on without a word from the session service where `on_outage` is `deny`; at most `60s`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Limit", extend("default" = "2s")))]
    pub(super) stream_lease: Given<String>,
    /// The bearer credential that the filter presents.
    pub(super) credential: Given<RawCredential>,
    /// The path of the introspection endpoint.
    #[cfg_attr(feature = "schema", schemars(with = "schema::RequestPath"))]
    pub(super) path: Given<String>,
    /// The host of the introspection endpoint; else the name of the cluster.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Authority"))]
    pub(super) authority: Given<String>,
    /// The OAuth client that the filter is at the introspection endpoint.
    pub(super) client: Given<RawClient>,
    /// What happens when there is no verdict in time.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "deny")))]
    pub(super) on_outage: Given<RawOutage>,
}

/// A secret, by the environment variable that holds it.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Credential", transform = schema::credential))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCredential {
    /// The variable of the VM's environment.
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

/// An issuer of access tokens, and what its tokens must look like.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Issuer", transform = schema::issuer))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawIssuer {
    /// `iss`, compared exactly.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Text"))]
    pub(super) issuer: Given<String>,
    /// Its tokens are not read by the filter, but introspected.
    #[cfg_attr(feature = "schema", schemars(extend("default" = false)))]
    pub(super) opaque: Given<bool>,
    /// `aud` must hold one of these.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Text>"))]
    pub(super) audiences: Texts,
    /// The algorithms that a token may be signed with.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Algorithm>"))]
    pub(super) algorithms: Texts,
    /// Where the keys come from.
    pub(super) keys: Given<RawKeys>,
    /// Tolerance for `exp`, `nbf` and `iat`; at most `60s`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Duration", extend("default" = "30s")))]
    pub(super) clock_skew: Given<String>,
    /// The values of the header `typ` that are accepted.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::TokenType>", extend("default" = ["at+jwt"])))]
    pub(super) token_types: Texts,
    /// The claims that hold scopes: each a list, or a text with spaces.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Text>", extend("default" = ["scope", "scp"])))]
    pub(super) scope_claims: Texts,
    /// The claims that name the session; the first that a token has.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Text>", extend("default" = ["sid"])))]
    pub(super) session_claims: Texts,
}

/// A key set (RFC 7517): where to fetch it, or itself.
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
    /// A JWK Set; its members are not ours to know (RFC 7517, section 5).
    #[cfg_attr(feature = "schema", schemars(with = "schema::JwkSet"))]
    pub(super) inline: Given<serde_json::Value>,
}

/// What the register says about a scope.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Scope"))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawScope {
    /// Who answers for it.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Text"))]
    pub(super) owner: Given<String>,
    /// The day by which somebody should ask whether it is still needed.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Day"))]
    pub(super) review_by: Given<String>,
    /// What it allows, for people.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Text"))]
    pub(super) description: Given<String>,
}

/// Which requests are answered, and for whom: exactly one of `public`, `authenticated` and `require`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Route", transform = schema::route))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRoute {
    /// Unique; goes into logs and counters.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Name"))]
    pub(super) name: Given<String>,
    /// Which requests it answers.
    pub(super) r#match: Given<RawMatch>,
    /// Everyone, without a token.
    pub(super) public: Given<bool>,
    /// Those whose token and session hold these scopes.
    pub(super) require: Given<RawRequire>,
    /// Everyone with a valid token and a live session, whatever its scopes.
    pub(super) authenticated: Given<bool>,
    /// What the route adds to the limits of the session service; it narrows, never widens.
    pub(super) session: Given<RawLimits>,
    /// The token's `acr` must be one of these (RFC 9470).
    #[cfg_attr(feature = "schema", schemars(with = "Vec<schema::Acr>"))]
    pub(super) acr: Texts,
}

/// Which requests a route answers.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Match", transform = schema::matched))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMatch {
    /// Hosts, or `*.example.com` for those under it; left out: all.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Host>"))]
    pub(super) hosts: Texts,
    /// Methods; left out: all.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Method>"))]
    pub(super) methods: Texts,
    /// The path; `{name}` stands for one segment, a final `{*name}` for one or more.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Template"))]
    pub(super) path: Given<String>,
}

/// What a token must hold.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Require", transform = schema::require))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRequire {
    /// All of these.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<schema::ScopeOrSet>"))]
    pub(super) all_of: Texts,
    /// One of these; of a set, all its scopes.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<schema::ScopeOrSet>"))]
    pub(super) any_of: Texts,
}

/// Limits of a session on a route.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Limits"))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    /// The oldest login that is good enough here.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Limit"))]
    pub(super) max_age: Given<String>,
    /// The longest idle time that is good enough here.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Limit"))]
    pub(super) max_idle: Given<String>,
    /// Whether requests keep the session alive; `false` for polling and the like.
    #[cfg_attr(feature = "schema", schemars(extend("default" = true)))]
    pub(super) touch: Given<bool>,
    /// Whether an open request goes on when its token expires, as long as its session does.
    #[cfg_attr(feature = "schema", schemars(extend("default" = false)))]
    pub(super) outlive_token: Given<bool>,
    /// What happens when there is no verdict in time; else what the policy says.
    pub(super) on_outage: Given<RawOutage>,
}

/// `deny`, `read_only`, or an object with `grace`.
#[derive(Debug, Clone)]
pub(super) enum RawOutage {
    Deny,
    ReadOnly,
    Grace(Given<String>),
}

/// Written by hand, for a derived one would have no better words than serde's.
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
