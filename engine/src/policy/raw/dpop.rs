//! The keys for proofs of possession.

use super::Texts;
use crate::policy::deserialize::Given;
#[cfg(feature = "schema")]
use crate::policy::schema;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use std::fmt;

/// Which proofs of possession are accepted (RFC 9449), for issuers with `bound_tokens: verify`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Dpop"))]
#[serde(deny_unknown_fields, default)]
pub(in crate::policy) struct RawDpop {
    /// How far the time of a proof (`iat`) may be from now, on either side; from `1s` to `5m`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Limit", extend("default" = "60s")))]
    pub(in crate::policy) window: Given<String>,
    /// `required`: a proof must contain a nonce that was handed out lately.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Nonce", extend("default" = "off")))]
    pub(in crate::policy) nonce: Given<RawNonce>,
    /// The algorithms that may sign a proof.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Algorithm>", extend("default" = ["ES256", "EdDSA"])))]
    pub(in crate::policy) algorithms: Texts,
}

/// `off` or `required`. Some readers of YAML, Envoy's among them, take a plain `off` for a boolean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum RawNonce {
    Off,
    Required,
}

impl<'de> Deserialize<'de> for RawNonce {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(NonceVisitor)
    }
}

struct NonceVisitor;

impl Visitor<'_> for NonceVisitor {
    type Value = RawNonce;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`off` or `required`")
    }

    fn visit_bool<E: Error>(self, is_on: bool) -> Result<RawNonce, E> {
        match is_on {
            false => Ok(RawNonce::Off),
            true => Err(E::custom("expected `off` or `required`, found a boolean")),
        }
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawNonce, E> {
        match word {
            "off" => Ok(RawNonce::Off),
            "required" => Ok(RawNonce::Required),
            _ => Err(E::custom(format_args!(
                "expected `off` or `required`, found {}",
                crate::policy::text::quoted(word)
            ))),
        }
    }
}
