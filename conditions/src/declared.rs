//! The schema: what is shipped, and the attributes that `session.yaml` declares.

use std::{collections::BTreeMap, fmt::Write};

/// The shipped schema, without declared attributes.
const SCHEMA: &str = include_str!("../schema/portcullis.cedarschema");

/// The one policy that permits. It is shipped: conditions of operators can only forbid.
pub const BASELINE: &str = include_str!("../schema/baseline.cedar");

/// The longest name of an attribute, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The type of a declared attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Text.
    String,
    /// A whole number of 64 bits.
    Long,
    /// `true` or `false`.
    Bool,
}

impl Kind {
    /// Reads its name, as `session.yaml` has it.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "String" => Some(Self::String),
            "Long" => Some(Self::Long),
            "Bool" | "Boolean" => Some(Self::Bool),
            _ => None,
        }
    }

    /// Its name in Cedar.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::Long => "Long",
            Self::Bool => "Bool",
        }
    }
}

/// The value of a declared attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed<'a> {
    /// Text.
    String(&'a str),
    /// A whole number.
    Long(i64),
    /// `true` or `false`.
    Bool(bool),
}

/// `attributes` of `session.yaml`: which attributes policies can see, and their types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared(pub BTreeMap<String, Kind>);

impl Declared {
    /// Whether a text can be the name of a declared attribute: that of an attribute of the API, or of a header.
    pub fn is_name(text: &str) -> bool {
        let is_inner =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-');
        text.len() <= NAME_BYTES_MAX
            && text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
            && text.bytes().all(is_inner)
    }

    /// The value of an attribute as policies see it. What is not declared is not shown, and neither is what does not have the
    /// declared type: to a policy, it is absent.
    pub fn typed<'a>(&self, name: &str, text: &'a str) -> Option<Typed<'a>> {
        match self.0.get(name)? {
            Kind::String => Some(Typed::String(text)),
            Kind::Long => text.parse().ok().map(Typed::Long),
            Kind::Bool => text.parse().ok().map(Typed::Bool),
        }
    }

    /// The members of `context.session` and `context.subject`.
    fn members(&self) -> String {
        let mut members = String::new();
        for (name, kind) in self.0.iter().filter(|(name, _)| Self::is_name(name)) {
            // Writing to a text cannot fail.
            let _ = write!(members, "\n      \"{name}\"?: {},", kind.name());
        }
        members
    }
}

/// The schema with the declared attributes, as `portcullis conditions schema` shows it.
pub fn schema(declared: &Declared) -> String {
    let members = declared.members();
    let mut text = SCHEMA.to_owned();
    for holder in ["session", "subject"] {
        text = text.replace(&format!("    {holder}: {{"), &format!("    {holder}: {{{members}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> Declared {
        let kinds = [("score", Kind::Long), ("x-device-id", Kind::String), ("staff", Kind::Bool)];
        Declared(kinds.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect())
    }

    #[test]
    fn the_schema_has_each_declared_attribute_of_session_and_subject() {
        let text = schema(&declared());
        for line in ["      \"score\"?: Long,\n", "      \"x-device-id\"?: String,\n", "      \"staff\"?: Bool,\n"] {
            assert_eq!(text.matches(line).count(), 2, "{line}: {text}");
        }
        assert_eq!(schema(&Declared::default()), SCHEMA);
    }

    #[test]
    fn a_value_without_its_declared_type_is_absent() {
        let declared = declared();
        assert_eq!(declared.typed("score", "-7"), Some(Typed::Long(-7)));
        assert_eq!(declared.typed("staff", "true"), Some(Typed::Bool(true)));
        for (name, text) in
            [("score", "7.5"), ("score", "9223372036854775808"), ("score", ""), ("staff", "TRUE"), ("other", "x")]
        {
            assert_eq!(declared.typed(name, text), None, "{name} {text}");
        }
    }

    #[test]
    fn a_name_that_could_end_its_quotes_is_not_shown() {
        let declared = Declared([("a\": String, \"b".to_owned(), Kind::String)].into());
        assert_eq!(schema(&declared), SCHEMA);
    }
}
