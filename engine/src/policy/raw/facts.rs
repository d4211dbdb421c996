//! The keys that name facts for the conditions of a session service.

use super::Texts;
#[cfg(feature = "schema")]
use crate::policy::schema;
use crate::policy::{CLIENT_CERTIFICATE, deserialize::Given};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::fmt;

/// What names the device of a session.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Device", transform = schema::device))]
#[serde(deny_unknown_fields, default)]
pub(in crate::policy) struct RawDevice {
    /// The first of these that is there names it.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<RawDeviceSource>", extend("maxItems" = 8)))]
    pub(in crate::policy) from: Given<Vec<Given<RawDeviceSource>>>,
}

/// What a question carries for the conditions of the session service. What is not there, or has more than 256 bytes, is absent.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Attributes"))]
#[serde(deny_unknown_fields, default)]
pub(in crate::policy) struct RawAttributes {
    /// Request headers. One only counts if an earlier filter vouches for it or it comes from a trusted hop, and it never reaches
    /// the upstream.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::FactHeader>", extend("maxItems" = 16)))]
    pub(in crate::policy) headers: Texts,
    /// The SHA-256 of the client's verified certificate, in lower-case hex, as `client_certificate`.
    #[cfg_attr(feature = "schema", schemars(extend("default" = false)))]
    pub(in crate::policy) client_certificate: Given<bool>,
    /// Claims of the token, as text.
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::FactClaim>", extend("maxItems" = 32)))]
    pub(in crate::policy) claims: Texts,
    /// The claim that contains the groups of a person. A JSON Pointer (RFC 6901) such as `/realm_access/roles` reaches inside a
    /// claim.
    #[cfg_attr(feature = "schema", schemars(with = "schema::ScopeClaim"))]
    pub(in crate::policy) groups: Given<String>,
}

/// Headers that say where a request comes from. They count, and are removed, as those of `attributes`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Place", extend("minProperties" = 1)))]
#[serde(deny_unknown_fields, default)]
pub(in crate::policy) struct RawPlace {
    /// The country: two letters (ISO 3166-1 alpha-2).
    #[cfg_attr(feature = "schema", schemars(with = "schema::FactHeader"))]
    pub(in crate::policy) country: Given<String>,
    /// The number of the autonomous system, with or without `AS`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::FactHeader"))]
    pub(in crate::policy) asn: Given<String>,
    /// Whether the address is an anonymizing proxy's: `true` or `false`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::FactHeader"))]
    pub(in crate::policy) proxy: Given<String>,
}

/// `client_certificate`, or an object with `claim`.
#[derive(Debug, Clone)]
pub(in crate::policy) enum RawDeviceSource {
    ClientCertificate,
    Claim(Given<String>),
}

impl<'de> Deserialize<'de> for RawDeviceSource {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(DeviceSourceVisitor)
    }
}

struct DeviceSourceVisitor;

impl<'de> Visitor<'de> for DeviceSourceVisitor {
    type Value = RawDeviceSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`client_certificate` or `{claim: NAME}`")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawDeviceSource, E> {
        match word {
            CLIENT_CERTIFICATE => Ok(RawDeviceSource::ClientCertificate),
            _ => Err(E::custom(format_args!(
                "expected `client_certificate` or `{{claim: NAME}}`, found {}",
                crate::policy::text::quoted(word)
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawDeviceSource, A::Error> {
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct RawClaim {
            claim: Given<String>,
        }
        RawClaim::deserialize(MapAccessDeserializer::new(map)).map(|RawClaim { claim }| RawDeviceSource::Claim(claim))
    }
}
