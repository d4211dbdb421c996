//! The configuration as a tree: JSON without duplicate keys and without `null`.

use super::{
    fault::{About, Faults, Wrong},
    json_path::At,
};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::{borrow::Cow, collections::HashSet, fmt};

/// A JSON value. Objects are lists of pairs: smaller than maps, and in the operator's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Json<'a> {
    /// In a tree that was read: a value whose fault has been reported.
    #[default]
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Reads JSON. Invalid JSON is a single fault; each duplicate key and each `null` is a fault with its own place.
pub(super) fn read<'a>(text: &'a [u8], faults: &mut Faults) -> Option<Json<'a>> {
    if text.trim_ascii().is_empty() {
        faults.add(&At::ROOT, "the policy is empty");
        return None;
    }
    let mut found = Faults::default();
    let mut source = serde_json::Deserializer::from_slice(text);
    let reader = Reader { at: At::ROOT, faults: &mut found };
    match reader.deserialize(&mut source).and_then(|json| source.end().map(|()| json)) {
        Ok(json) => {
            *faults = found;
            Some(json)
        }
        Err(error) => {
            faults.add(&At::ROOT, format_args!("not valid JSON: {error}"));
            None
        }
    }
}

struct Reader<'p, 'f> {
    at: At<'p>,
    faults: &'f mut Faults,
}

impl<'a> DeserializeSeed<'a> for Reader<'_, '_> {
    type Value = Json<'a>;

    fn deserialize<D: Deserializer<'a>>(self, source: D) -> Result<Json<'a>, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Reader<'_, '_> {
    type Value = Json<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'a>, E> {
        self.faults.add(&self.at, "`null` is not allowed; set a value or omit the key");
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'a>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'a>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'a>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'a>, E> {
        let number = serde_json::Number::from_f64(value);
        number.map(Json::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Json<'a>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'a>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut source: A) -> Result<Json<'a>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) =
            source.next_element_seed(Reader { at: self.at.item(list.len()), faults: &mut *self.faults })?
        {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut source: A) -> Result<Json<'a>, A::Error> {
        let mut object = Vec::new();
        let mut keys = HashSet::new();
        while let Some(key) = source.next_key_seed(Key)? {
            let at = self.at.key(&key);
            let value = source.next_value_seed(Reader { at, faults: &mut *self.faults })?;
            if keys.insert(key.clone()) {
                object.push((key, value));
            } else {
                self.faults.add(&at, Wrong::from("this key appears twice").about(About::RepeatedKey));
            }
        }
        Ok(Json::Object(object))
    }
}

struct Key;

impl<'a> DeserializeSeed<'a> for Key {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, source: D) -> Result<Cow<'a, str>, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

impl Json<'_> {
    /// The kind of the value, in terms an operator knows. Never its content, which can be a secret.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "`null`",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The value of a key.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Self::Object(object) = self else {
            return None;
        };
        object.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The item of a list.
    pub(super) fn item_mut(&mut self, index: usize) -> Option<&mut Self> {
        let Self::List(list) = self else { return None };
        list.get_mut(index)
    }

    /// Removes a key; returns whether it was present.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let Self::Object(object) = self else {
            return false;
        };
        let before = object.len();
        object.retain(|(name, _)| name != key);
        object.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &[u8]) -> Vec<String> {
        let mut faults = Faults::default();
        let read = read(text, &mut faults);
        assert!(read.is_some() || !faults.is_empty());
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_no_json_is_one_fault_with_its_line() {
        assert_eq!(faults(b""), ["$: the policy is empty"]);
        assert_eq!(faults(b" \n"), ["$: the policy is empty"]);
        assert_eq!(faults(b"{\"a\": null,\n x}"), ["$: not valid JSON: key must be a string at line 2 column 2"]);
        assert_eq!(faults(b"{} {}"), ["$: not valid JSON: trailing characters at line 1 column 4"]);
        assert_eq!(faults(b"\"\xff\""), ["$: not valid JSON: invalid unicode code point at line 1 column 2"]);
        assert!(faults("[".repeat(10_000).as_bytes())[0].contains("recursion limit exceeded"));
    }

    #[test]
    fn a_key_that_is_given_twice_is_a_fault_at_every_level() {
        assert_eq!(
            faults(br#"{"a": {"b": 1, "c": [{"d": 1, "\u0064": 2}], "b": 2}, "a": 3}"#),
            ["$.a.c[0].d: this key appears twice", "$.a.b: this key appears twice", "$.a: this key appears twice"]
        );
    }

    #[test]
    fn null_is_a_fault_where_it_stands() {
        assert_eq!(faults(br#"{"a": [1, null]}"#), ["$.a[1]: `null` is not allowed; set a value or omit the key"]);
    }

    #[test]
    fn objects_keep_their_order_and_the_first_of_two_values() {
        let json = read(br#"{"b": -1, "a": 1.5, "b": "x"}"#, &mut Faults::default()).unwrap();
        let Json::Object(object) = json else { panic!() };
        let number = |text: &str| Json::Number(text.parse().unwrap());
        assert_eq!(object, [("b".into(), number("-1")), ("a".into(), number("1.5"))]);
    }
}
