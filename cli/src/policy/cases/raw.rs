//! The keys of a file of cases and the types of their values. Their meaning is checked in `read`.

use super::words::{STATES, words};
use portcullis_engine::policy::document::{Given, quoted};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCases {
    pub(super) host: Given<String>,
    pub(super) cases: Given<Vec<Given<RawCase>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCase {
    pub(super) name: Given<String>,
    pub(super) request: Given<String>,
    pub(super) client: Given<String>,
    pub(super) headers: Given<BTreeMap<String, Given<RawTexts>>>,
    pub(super) token: Given<String>,
    pub(super) token_in: Given<RawPlace>,
    pub(super) issuer: Given<String>,
    pub(super) scopes: Given<RawTexts>,
    pub(super) claims: Given<Map<String, Value>>,
    pub(super) without: Given<RawTexts>,
    pub(super) session: Given<RawSession>,
    pub(super) attributes: Given<RawAttributes>,
    pub(super) context: Given<RawContext>,
    pub(super) expect: Given<String>,
    pub(super) status: Given<u16>,
    pub(super) rule: Given<String>,
    pub(super) then: Given<RawThen>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawThen {
    pub(super) session: Given<RawSession>,
    pub(super) attributes: Given<RawAttributes>,
    pub(super) context: Given<RawContext>,
    pub(super) expect: Given<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAttributes {
    pub(super) session: Given<Map<String, Value>>,
    pub(super) subject: Given<Map<String, Value>>,
    pub(super) device: Given<Map<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawContext {
    pub(super) now: Given<String>,
    pub(super) ip: Given<String>,
    pub(super) place: Given<RawPlaceFacts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPlaceFacts {
    pub(super) country: Given<String>,
    pub(super) asn: Given<u32>,
    pub(super) proxy: Given<bool>,
}

/// `authorization`, or an object with `cookie`, `session_cookie` or `websocket_protocol`: an entry of the policy's `token_from`.
#[derive(Debug)]
pub(super) enum RawPlace {
    Word(String),
    Named(RawNamed),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawNamed {
    pub(super) cookie: Given<String>,
    pub(super) session_cookie: Given<String>,
    pub(super) websocket_protocol: Given<String>,
}

impl<'de> Deserialize<'de> for RawPlace {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(PlaceVisitor)
    }
}

/// What can be written there.
pub(super) const PLACES: &str =
    "`authorization`, `{cookie: NAME}`, `{session_cookie: NAME}` or `{websocket_protocol: NAME}`";

struct PlaceVisitor;

impl<'de> Visitor<'de> for PlaceVisitor {
    type Value = RawPlace;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PLACES)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawPlace, E> {
        Ok(RawPlace::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawPlace, A::Error> {
        RawNamed::deserialize(MapAccessDeserializer::new(map)).map(RawPlace::Named)
    }
}

/// A text or a list of texts.
#[derive(Debug, Clone)]
pub(super) enum RawTexts {
    One(String),
    List(Vec<String>),
}

impl<'de> Deserialize<'de> for RawTexts {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = RawTexts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a list of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawTexts, E> {
        Ok(RawTexts::One(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawTexts, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(RawTexts::List(texts))
    }
}

/// The name of a state, or the details of a session.
#[derive(Debug)]
pub(super) enum RawSession {
    Word(String),
    Known(RawKnown),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawKnown {
    pub(super) scopes: Given<RawTexts>,
    pub(super) grants: Given<RawTexts>,
    pub(super) age: Given<String>,
    pub(super) idle: Given<String>,
    pub(super) access: Given<String>,
}

impl<'de> Deserialize<'de> for RawSession {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(SessionVisitor)
    }
}

struct SessionVisitor;

impl<'de> Visitor<'de> for SessionVisitor {
    type Value = RawSession;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}, or an object with `scopes`, `grants`, `age`, `idle` or `access`", words(&STATES))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawSession, E> {
        let known = STATES.iter().any(|(known, _)| *known == word);
        let unknown = || E::custom(format_args!("unknown state {}; expected {}", quoted(word), Expected(&self)));
        if known { Ok(RawSession::Word(word.to_owned())) } else { Err(unknown()) }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawSession, A::Error> {
        RawKnown::deserialize(MapAccessDeserializer::new(map)).map(RawSession::Known)
    }
}

struct Expected<'v>(&'v SessionVisitor);

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}
