//! `each_request`, or an object with `lease`.

use super::super::{deserialize::Given, text::quoted};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::fmt;

/// Whether the session service is asked about each request.
#[derive(Debug, Clone)]
pub(in crate::policy) enum RawFreshness {
    EachRequest,
    Lease(Given<String>),
}

/// Written by hand because a derived implementation would only have serde's error messages.
impl<'de> Deserialize<'de> for RawFreshness {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(FreshnessVisitor)
    }
}

struct FreshnessVisitor;

impl<'de> Visitor<'de> for FreshnessVisitor {
    type Value = RawFreshness;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`each_request` or `{lease: 500ms}`")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawFreshness, E> {
        match word {
            "each_request" => Ok(RawFreshness::EachRequest),
            _ => Err(E::custom(format_args!("expected `each_request` or `{{lease: 500ms}}`, found {}", quoted(word)))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawFreshness, A::Error> {
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct RawLease {
            lease: Given<String>,
        }
        RawLease::deserialize(MapAccessDeserializer::new(map)).map(|RawLease { lease }| RawFreshness::Lease(lease))
    }
}
