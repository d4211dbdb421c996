//! Where the scopes of a token are: in a claim, or inside one, where a JSON Pointer (RFC 6901) leads.

use super::json::Object;
use serde_json::Value;
use std::fmt;

/// A claim that contains scopes: its name or, if the text starts with `/`, a JSON Pointer into the claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeClaim {
    text: String,
    /// The names on the way, unescaped; only one for a claim's name.
    path: Vec<String>,
}

/// In a JSON Pointer, a `~` is not followed by `0` or `1` (RFC 6901, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedPointer;

impl fmt::Display for MalformedPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("in a JSON Pointer, `~` is only used in `~0` (for `~`) and `~1` (for `/`)")
    }
}

impl std::error::Error for MalformedPointer {}

impl ScopeClaim {
    /// Reads a name or a pointer.
    ///
    /// # Errors
    /// It starts with `/`, and is not a JSON Pointer.
    pub fn parse(text: &str) -> Result<Self, MalformedPointer> {
        let Some(names) = text.strip_prefix('/') else { return Ok(Self::named(text)) };
        let path = names.split('/').map(unescaped).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), path })
    }

    /// A claim by its name, which does not start with `/`.
    pub fn named(name: &str) -> Self {
        Self { text: name.to_owned(), path: vec![name.to_owned()] }
    }

    /// As the policy has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names that lead to the value, from the outside in; only one for a claim's name.
    pub fn path(&self) -> &[String] {
        &self.path
    }

    pub(super) fn find<'a>(&self, claims: &'a Object) -> Option<&'a Value> {
        let mut names = self.path.iter();
        let outermost = claims.get(names.next()?)?;
        names.try_fold(outermost, |value, name| match value {
            Value::Object(members) => members.get(name),
            Value::Array(items) => items.get(index(name)?),
            _ => None,
        })
    }
}

fn unescaped(name: &str) -> Result<String, MalformedPointer> {
    let mut parts = name.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            (None, None) => return Err(MalformedPointer),
        };
        text.push(character);
        text.push_str(rest);
    }
    Ok(text)
}

/// The index of a list's item: decimal digits without leading zeros (RFC 6901, section 4).
fn index(name: &str) -> Option<usize> {
    let is_index = name == "0" || !name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit());
    is_index.then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found<'a>(text: &str, claims: &'a Object) -> Option<&'a Value> {
        ScopeClaim::parse(text).unwrap().find(claims)
    }

    #[test]
    fn a_pointer_leads_where_rfc_6901_says() {
        // The document of RFC 6901, section 5, and what its pointers evaluate to.
        let json = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,"o":{"p":{"q":[{"r":9}]}}}"#;
        let claims = Object::parse(json.as_bytes()).unwrap();
        for (pointer, expected) in [
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", "\"bar\""),
            ("/foo/1", "\"baz\""),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
            ("/o/p/q/0/r", "9"),
            ("foo", r#"["bar","baz"]"#),
            ("a/b", "1"),
            ("m~n", "8"),
        ] {
            assert_eq!(found(pointer, &claims).map(Value::to_string).as_deref(), Some(expected), "{pointer}");
        }
        for pointer in [
            "/foo/2", "/foo/00", "/foo/-", "/foo/+1", "/foo/ 1", "/foo/0/x", "/o/p/x", "/m~01n", "/foo/", "foo/0",
            "o.p",
        ] {
            assert_eq!(found(pointer, &claims), None, "{pointer}");
        }
    }

    #[test]
    fn a_pointer_with_another_escape_is_malformed_and_a_name_is_never() {
        for text in ["/~", "/a~", "/a~2", "/a~/b", "/~~0", "/a/b~x"] {
            assert_eq!(ScopeClaim::parse(text), Err(MalformedPointer), "{text}");
        }
        for text in ["a~", "https://example.com/roles", "~", "a.b"] {
            let claim = ScopeClaim::parse(text).unwrap();
            assert_eq!((claim.as_str(), claim.path()), (text, &[text.to_owned()][..]));
        }
    }

    proptest! {
        #[test]
        fn a_path_that_is_written_as_a_pointer_is_read_back(path in proptest::collection::vec("[~/01a.é-]{0,4}", 1..5)) {
            let escaped = path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")));
            let pointer: String = escaped.collect();
            let claim = ScopeClaim::parse(&pointer).unwrap();
            prop_assert_eq!(claim.path(), &path[..]);
        }

        /// serde_json has an implementation of its own.
        #[test]
        fn a_pointer_leads_where_serde_json_says(pointer in "/[ab01~/]{0,8}", json in value(4)) {
            let Ok(claim) = ScopeClaim::parse(&pointer) else { return Ok(()) };
            let claims = Object::from_value(json.clone()).unwrap();
            prop_assert_eq!(claim.find(&claims), json.pointer(&pointer));
        }
    }

    /// An object whose names and depth are those of the pointers above.
    fn value(depth: u32) -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), Just(Value::from("x")), any::<u8>().prop_map(Value::from)];
        let name = prop_oneof!["[ab01]{0,2}", Just("~".to_owned()), Just("/".to_owned())];
        let object = move |inner| proptest::collection::btree_map(name.clone(), inner, 0..5);
        let members = |members: std::collections::BTreeMap<String, Value>| Value::Object(members.into_iter().collect());
        let inner = leaf.prop_recursive(depth, 32, 4, {
            let object = object.clone();
            move |inner| {
                let list = proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from);
                prop_oneof![object(inner.boxed()).prop_map(members), list]
            }
        });
        object(inner.boxed()).prop_map(members)
    }
}
