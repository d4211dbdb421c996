//! Deserializes the JSON tree into raw types, and reports all unknown keys and all values of the wrong type.
//!
//! serde stops at the first error. Therefore each error is reported with its path, its cause is removed from the tree,
//! and the tree is read again until it succeeds.

use super::{
    fault::{About, FAULTS_MAX, Faults, Wrong},
    json::Json,
    json_path::At,
    text::{backticked, nearest},
};
use serde::de::{
    self, Deserialize, DeserializeOwned, Expected, IntoDeserializer, Unexpected, Visitor,
    value::{BorrowedStrDeserializer, MapDeserializer, SeqDeserializer},
};
use serde_path_to_error::{Path, Segment};
use std::fmt;

/// The outcome of reading a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Given<T> {
    /// The key is absent.
    #[default]
    Absent,
    /// The key is present but invalid; the fault has been reported.
    Faulty,
    /// The key is present and valid.
    Value(T),
}

impl<T> Given<T> {
    /// The value, or `None` after reporting a fault about the missing key.
    pub fn required(self, at: &At<'_>, faults: &mut Faults) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Faulty => None,
            Self::Absent => {
                faults.add(at, Wrong::from("this key is required").about(About::MissingKey));
                None
            }
        }
    }

    /// The value after further reading, or the default if the key is absent; `None` if there is a fault.
    pub fn or<U>(self, default: U, read: impl FnOnce(T) -> Option<U>) -> Option<U> {
        match self {
            Self::Value(value) => read(value),
            Self::Faulty => None,
            Self::Absent => Some(default),
        }
    }

    /// The value, if it is present and valid.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Faulty | Self::Absent => None,
        }
    }

    /// A reference to the value, if it is present and valid.
    #[cfg(feature = "source")]
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Faulty | Self::Absent => None,
        }
    }

    /// Whether the key is absent.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether the value's fault has been reported.
    pub fn is_faulty(&self) -> bool {
        matches!(self, Self::Faulty)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: de::Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Option::deserialize(source).map(|value| value.map_or(Self::Faulty, Self::Value))
    }
}

/// Reads a node of the tree, and reports everything in it that does not fit.
pub(super) fn shaped<T: DeserializeOwned>(mut json: Json<'_>, at: &At<'_>, faults: &mut Faults) -> Given<T> {
    for _ in 0..=FAULTS_MAX {
        let error = match serde_path_to_error::deserialize(Node(&json)) {
            Ok(read) => return read,
            Err(error) => error,
        };
        report(error.path(), error.inner(), at, faults);
        let is_unknown_key = matches!(error.inner(), Misfit::UnknownKey { .. });
        mend(&mut json, error.path(), is_unknown_key);
    }
    Given::Faulty
}

fn report(path: &Path, misfit: &Misfit, at: &At<'_>, faults: &mut Faults) {
    // The path is a list and `At` a chain of borrows: recursion makes one of the other.
    fn walk(mut steps: serde_path_to_error::Segments<'_>, misfit: &Misfit, at: &At<'_>, faults: &mut Faults) {
        match steps.next() {
            Some(Segment::Seq { index }) => walk(steps, misfit, &at.item(*index), faults),
            Some(Segment::Map { key } | Segment::Enum { variant: key }) => walk(steps, misfit, &at.key(key), faults),
            Some(Segment::Unknown) | None => match misfit {
                Misfit::UnknownKey { key, known } => {
                    faults.add(at, Wrong::from(misfit).about(About::UnknownKey).meant(nearest(key, known)));
                }
                Misfit::Value(message) => faults.add(at, message),
            },
        }
    }
    walk(path.iter(), misfit, at, faults);
}

/// Removes what did not fit. A list keeps a hole in its place, so that the indexes of its neighbours do not change.
fn mend(json: &mut Json<'_>, path: &Path, is_unknown_key: bool) {
    let mut steps: Vec<&Segment> = path.iter().collect();
    let unknown = if is_unknown_key { steps.pop() } else { None };
    let mut node = Some(&mut *json);
    for step in steps {
        node = node.and_then(|node| match step {
            Segment::Seq { index } => node.item_mut(*index),
            Segment::Map { key } | Segment::Enum { variant: key } => node.get_mut(key),
            Segment::Unknown => None,
        });
    }
    let mended = match (node, unknown) {
        (Some(node), Some(Segment::Map { key })) => node.remove(key),
        (Some(node), None) => {
            *node = Json::Null;
            true
        }
        _ => false,
    };
    if !mended {
        *json = Json::Null;
    }
}

/// What serde expects of a number of bytes.
const WHOLE_NUMBER: &str = "u64";

/// Why a value did not fit, in terms an operator knows.
#[derive(Debug)]
enum Misfit {
    UnknownKey { key: String, known: &'static [&'static str] },
    Value(String),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(message) => f.write_str(message),
            Self::UnknownKey { key, known } => {
                f.write_str("unknown key; ")?;
                match nearest(key, known) {
                    Some(near) => write!(f, "did you mean `{near}`?"),
                    None => write!(f, "expected one of {}", backticked(known)),
                }
            }
        }
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let is_whole = expected.to_string() == WHOLE_NUMBER;
        let found = match found {
            Unexpected::Signed(_) if is_whole => "a negative number",
            Unexpected::Float(_) if is_whole => "a fraction",
            Unexpected::Bool(_) => "a boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Str(_) => "text",
            Unexpected::Seq => "a list",
            Unexpected::Map => "an object",
            _ => "something else",
        };
        let expected = match expected.to_string() {
            words if words == "a string" => "text".to_owned(),
            words if words == "a boolean" => "`true` or `false`".to_owned(),
            words if words == "a sequence" => "a list".to_owned(),
            words if words == WHOLE_NUMBER => "a whole number".to_owned(),
            words if words == "a map" || words.starts_with("struct ") => "an object".to_owned(),
            words => words,
        };
        Self::Value(format!("expected {expected}, found {found}"))
    }

    /// A number that its type cannot hold.
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownKey { key: key.to_owned(), known }
    }
}

/// A node of the tree as serde's input.
#[derive(Clone, Copy)]
struct Node<'t>(&'t Json<'t>);

impl<'t> IntoDeserializer<'t, Misfit> for Node<'t> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'t> de::Deserializer<'t> for Node<'t> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(*value),
            Json::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::Text(text) => visitor.visit_borrowed_str(text),
            Json::List(list) => visitor.visit_seq(SeqDeserializer::new(list.iter().map(Node))),
            Json::Object(object) => {
                let pairs = object.iter().map(|(key, value)| (BorrowedStrDeserializer::new(key), Node(value)));
                visitor.visit_map(MapDeserializer::new(pairs))
            }
        }
    }

    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Json::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A list is not an object, although serde would accept it as an object's values in order.
    fn deserialize_struct<V: Visitor<'t>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0 {
            Json::List(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        <W: Visitor<'t>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
