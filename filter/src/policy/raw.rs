//! The keys of a policy and the types of their values; what they mean is checked elsewhere.

use super::shape::Given;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::fmt;

/// A list of texts.
pub(super) type Texts = Given<Vec<Given<String>>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPolicy {
    pub(super) mode: Given<String>,
    pub(super) identity_headers: Texts,
    pub(super) forward_token: Given<bool>,
    pub(super) realm: Given<String>,
    pub(super) cors_preflight: Given<String>,
    pub(super) session: Given<RawSession>,
    // These may be long, so each of their entries is read on its own.
    #[serde(rename = "issuers")]
    _issuers: IgnoredKey,
    #[serde(rename = "scopes")]
    _scopes: IgnoredKey,
    #[serde(rename = "sets")]
    _sets: IgnoredKey,
    #[serde(rename = "routes")]
    _routes: IgnoredKey,
}

type IgnoredKey = Given<IgnoredAny>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSession {
    pub(super) cluster: Given<String>,
    pub(super) protocol: Given<String>,
    pub(super) timeout: Given<String>,
    pub(super) credential: Given<RawCredential>,
    pub(super) path: Given<String>,
    pub(super) authority: Given<String>,
    pub(super) client: Given<RawClient>,
    pub(super) on_outage: Given<RawOutage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCredential {
    pub(super) env: Given<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawClient {
    pub(super) id: Given<String>,
    pub(super) secret: Given<RawCredential>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawIssuer {
    pub(super) issuer: Given<String>,
    pub(super) opaque: Given<bool>,
    pub(super) audiences: Texts,
    pub(super) algorithms: Texts,
    pub(super) keys: Given<RawKeys>,
    pub(super) clock_skew: Given<String>,
    pub(super) token_types: Texts,
    pub(super) scope_claims: Texts,
    pub(super) session_claims: Texts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawKeys {
    pub(super) jwks_url: Given<String>,
    pub(super) cluster: Given<String>,
    pub(super) refresh: Given<String>,
    /// A JWK Set; its members are not ours to know (RFC 7517, section 5).
    pub(super) inline: Given<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawScope {
    pub(super) owner: Given<String>,
    pub(super) review_by: Given<String>,
    pub(super) description: Given<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRoute {
    pub(super) name: Given<String>,
    pub(super) r#match: Given<RawMatch>,
    pub(super) public: Given<bool>,
    pub(super) require: Given<RawRequire>,
    pub(super) authenticated: Given<bool>,
    pub(super) session: Given<RawLimits>,
    pub(super) acr: Texts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMatch {
    pub(super) hosts: Texts,
    pub(super) methods: Texts,
    pub(super) path: Given<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRequire {
    pub(super) all_of: Texts,
    pub(super) any_of: Texts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) max_age: Given<String>,
    pub(super) max_idle: Given<String>,
    pub(super) touch: Given<bool>,
    pub(super) outlive_token: Given<bool>,
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
