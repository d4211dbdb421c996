//! Strict JSON: an object in which no name occurs twice, at any depth. Parsers disagree on which of two members counts
//! (RFC 8259, section 4), so a token or key with duplicates could mean one thing here and another elsewhere.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Why bytes are not a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAnObject {
    /// They are not a single JSON text in UTF-8, or it is nested too deeply.
    Syntax,
    /// A name occurs twice in one object.
    DuplicateMember,
    /// They are JSON, but not an object.
    OtherType,
}

impl fmt::Display for NotAnObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "is not JSON",
            Self::DuplicateMember => "has a duplicate member",
            Self::OtherType => "is not a JSON object",
        })
    }
}

/// A member does not have the required type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IllTyped(pub(super) &'static str);

/// A JSON object without duplicate members.
#[derive(Debug)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    pub(super) fn parse(json: &[u8]) -> Result<Self, NotAnObject> {
        match serde_json::from_slice(json) {
            Ok(Unique(Value::Object(members))) => Ok(Self(members)),
            Ok(_) => Err(NotAnObject::OtherType),
            // The only error of the data, not of its syntax, is the one raised below.
            Err(error) if error.is_data() => Err(NotAnObject::DuplicateMember),
            Err(_) => Err(NotAnObject::Syntax),
        }
    }

    /// A value inside an object that was read strictly.
    pub(super) fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Self(members)),
            _ => None,
        }
    }

    /// Members of an object that was read strictly.
    pub(super) const fn of(members: Map<String, Value>) -> Self {
        Self(members)
    }

    pub(super) fn into_member(mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    pub(super) fn into_members(self) -> Map<String, Value> {
        self.0
    }

    /// Sets a member.
    pub(super) fn insert(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A string, if the member is present; `null` is not a string.
    pub(super) fn string(&self, name: &'static str) -> Result<Option<&str>, IllTyped> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(_) => Err(IllTyped(name)),
        }
    }
}

/// Any JSON value, read without duplicate members. serde_json bounds the depth for `deserialize_any`.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Unique, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = array.next_element()? {
            values.push(value);
        }
        Ok(Unique(values.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Unique, A::Error> {
        let mut members = Map::new();
        while let Some((name, Unique(value))) = object.next_entry::<String, Unique>()? {
            // Names are compared after unescaping: `\u0061lg` is `alg`.
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Unique(members.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::{NotAnObject::*, *};

    fn fault(json: &str) -> Option<NotAnObject> {
        Object::parse(json.as_bytes()).err()
    }

    #[test]
    fn a_member_may_not_stand_twice_at_any_depth_or_escaped() {
        assert_eq!(fault(r#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}"#), None);
        for json in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"b":{"a":1,"a":2}}"#, r#"{"b":[{"a":1,"a":null}]}"#]
        {
            assert_eq!(fault(json), Some(DuplicateMember), "{json}");
        }
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for json in ["[]", "1", "\"a\"", "null", "true"] {
            assert_eq!(fault(json), Some(OtherType), "{json}");
        }
        for json in [
            "",
            " ",
            "{",
            "{}{}",
            "{} x",
            "{\"a\":1,}",
            "{'a':1}",
            "{a:1}",
            "\u{feff}{}",
            "{\"a\":NaN}",
            "{\"a\":1e999}",
            "{\"a\":01}",
            "{\"a\":\"\\ud800\"}",
            "{/**/}",
            "{\"a\":\"\n\"}",
        ] {
            assert_eq!(fault(json), Some(Syntax), "{json:?}");
        }
        assert_eq!(Object::parse(b"{\"a\":\"\xff\"}").err(), Some(Syntax));
    }

    #[test]
    fn deep_nesting_is_refused_without_deep_recursion() {
        let json = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(fault(&json), Some(Syntax));
        let json = "{\"a\":".repeat(100_000);
        assert_eq!(fault(&json), Some(Syntax));
    }
}
