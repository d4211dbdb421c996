//! The tree of a JSON or YAML file from elsewhere, without the parts that are not needed.

use crate::{document, error::Error, input};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::{collections::HashSet, fmt, path::Path};

/// The largest file, in bytes. The largest public OpenAPI document that we know has 47 million.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A value; objects keep the order of the file, and no object has a key twice.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::policy) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The member of an object.
    pub(in crate::policy) fn get(&self, key: &str) -> Option<&Value> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// A member that is text.
    pub(in crate::policy) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    pub(in crate::policy) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The members of an object; empty for other values.
    pub(in crate::policy) fn entries(&self) -> &[(String, Value)] {
        match self {
            Self::Object(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; empty for other values.
    pub(in crate::policy) fn items(&self) -> &[Value] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Its type, as text.
    pub(in crate::policy) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Which parts of a value are kept, depending on what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Shape {
    /// Everything.
    All,
    /// An OpenAPI document.
    Root,
    Components,
    Paths,
    PathItem,
    Operations,
    Operation,
    Parameters,
    Parameter,
    Schema,
}

impl Shape {
    /// What a member is; `None` if it is not needed.
    fn member(self, key: &str) -> Option<Self> {
        match (self, key) {
            (Self::All, _) | (Self::Root, "openapi" | "swagger" | "info" | "servers" | "security") => Some(Self::All),
            (Self::Root, "paths") | (Self::Components, "pathItems") => Some(Self::Paths),
            (Self::Root, "components") => Some(Self::Components),
            (Self::Components, "securitySchemes") => Some(Self::All),
            (Self::Components | Self::PathItem | Self::Operation, "parameters") => Some(Self::Parameters),
            (Self::Paths, _) if !key.starts_with("x-") => Some(Self::PathItem),
            (Self::PathItem, "$ref" | "servers") => Some(Self::All),
            (Self::PathItem, "additionalOperations") => Some(Self::Operations),
            (Self::PathItem, method) if super::read::METHODS.contains(&method) => Some(Self::Operation),
            (Self::Operations, _) => Some(Self::Operation),
            (Self::Operation, "operationId" | "summary" | "security" | "servers") => Some(Self::All),
            (Self::Parameters, _) => Some(Self::Parameter),
            (Self::Parameter, "$ref" | "name" | "in" | "style" | "description" | "example" | "examples")
            | (Self::Schema, "default" | "example" | "examples") => Some(Self::All),
            (Self::Parameter, "schema") => Some(Self::Schema),
            _ => None,
        }
    }

    fn item(self) -> Self {
        if self == Self::Parameters { Self::Parameter } else { Self::All }
    }
}

impl<'de> DeserializeSeed<'de> for Shape {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "no number here is compared or counted with")]
        Ok(Value::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "no number here is compared or counted with")]
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self.item())? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            match self.member(&key) {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(shape) => {
                    // Readers disagree on which of the two values counts.
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format_args!("the key `{}` is given twice", key.escape_debug())));
                    }
                    let value = map.next_value_seed(shape)?;
                    entries.push((key, value));
                }
            }
        }
        Ok(Value::Object(entries))
    }
}

/// Reads a file, or standard input for `-`.
pub(in crate::policy) fn load(path: &Path, shape: Shape) -> Result<Value, Error> {
    let (name, text) = input::text_within(path, FILE_BYTES_MAX)?;
    parse(&text, shape).map_err(|message| Error::invalid(format_args!("`{name}`: {message}")))
}

/// Parses a text: as JSON if it begins like JSON, otherwise as YAML.
pub(in crate::policy) fn parse(text: &str, shape: Shape) -> Result<Value, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        // A YAML flow mapping also begins with `{`. For invalid JSON, report the error of the JSON parser.
        return from_json(text, shape).or_else(|error| {
            let json = document::foreign_yaml_as_json(text).map_err(|_| error)?;
            from_json(&json, shape)
        });
    }
    from_json(&document::foreign_yaml_as_json(text)?, shape)
}

fn from_json(text: &str, shape: Shape) -> Result<Value, String> {
    let mut source = serde_json::Deserializer::from_str(text);
    let value = shape.deserialize(&mut source).and_then(|value| source.end().map(|()| value));
    value.map_err(|error| error.to_string())
}
