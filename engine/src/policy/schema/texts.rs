//! The texts of a policy, each kind with its pattern or its words.

use crate::{
    policy::validate::{IDENTITY_HEADERS, MODES, issuers::ALGORITHMS},
    route::method::COMMON,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $schema:tt;)*) => {$(
        $(#[$doc])*
        pub(in crate::policy) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

/// A segment of a path that stands for itself.
const LITERAL: &str = r#"[!"$-.0-:<->@-\[\]-z|~]+"#;
const PARAMETER: &str = r"\{[A-Za-z_][A-Za-z0-9_]*\}";
const REST: &str = r"\{\*[A-Za-z_][A-Za-z0-9_]*\}";

/// A pattern of words whatever their case: patterns of JSON Schema have no flags.
fn in_any_case(words: &[&str]) -> String {
    let letter = |letter: char| format!("[{}{}]", letter.to_ascii_uppercase(), letter.to_ascii_lowercase());
    let words: Vec<String> = words.iter().map(|word| word.chars().map(letter).collect()).collect();
    format!("^({})$", words.join("|"))
}

texts! {
    /// Text that says something.
    Text = {"type": "string", "minLength": 1, "maxLength": 1024};
    /// Text that can stand in a quoted header parameter.
    Quotable = {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": r#"^[ !#-\[\]-~]+$"#};
    /// A duration, perhaps none.
    Duration = {"type": "string", "pattern": "^(0|[1-9][0-9]*)(ms|s|m|h)$", "examples": ["200ms", "30s", "15m", "8h"]};
    /// A duration that is not zero.
    Limit = {"type": "string", "pattern": "^[1-9][0-9]*(ms|s|m|h)$", "examples": ["200ms", "30s", "15m", "8h"]};
    /// A day.
    Day = {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"};
    /// The name of an environment variable.
    Variable = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"};
    /// The name of an Envoy cluster.
    Cluster = {"type": "string", "maxLength": 125, "pattern": "^[!-~]+$"};
    /// A scope or a set as it is declared.
    ScopeName = {"type": "string", "maxLength": 256, "pattern": r#"^[!#-)+-?A-\[\]-~][!#-)+-\[\]-~]*$"#};
    /// A scope, or `@` and the name of a set.
    ScopeOrSet = {"type": "string", "maxLength": 257, "pattern": r#"^@?[!#-)+-?A-\[\]-~][!#-)+-\[\]-~]*$"#};
    /// A type of tokens.
    TokenType = {
        "type": "string",
        "pattern": r#"^([Aa][Pp][Pp][Ll][Ii][Cc][Aa][Tt][Ii][Oo][Nn]/)?[A-Za-z0-9!#$&^_.+-]+$"#,
        "examples": ["at+jwt"],
    };
    /// A URL of HTTP.
    Url = {"type": "string", "pattern": "^https?://[!-~]+$"};
    /// `:path` of a request, with its query.
    RequestPath = {"type": "string", "pattern": r##"^/[!"$-~]*$"##};
    /// `:authority` of a request.
    Authority = {"type": "string", "pattern": r#"^[A-Za-z0-9_.:\[\]-]+$"#};
    /// The name of a route.
    Name = {"type": "string", "maxLength": 128, "pattern": r##"^[ !#-\[\]-~]+$"##};
    /// An `acr` value.
    Acr = {"type": "string", "maxLength": 1024, "pattern": r##"^[!#-\[\]-~]+$"##};
    /// A host, or the hosts under one.
    Host = {"type": "string", "pattern": r#"^(\*\.)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?)$"#};
    /// A path with parameters.
    Template = {
        "type": "string",
        "pattern": (format!(r"^/(({PARAMETER}|{LITERAL})/)*({PARAMETER}|{LITERAL}|{REST})?$")),
        "examples": ["/orders", "/orders/{id}", "/admin/{*rest}"],
    };
    /// How the session service is asked.
    Protocol = {"enum": ["stream", "introspection"]};
    /// What becomes of a CORS preflight.
    CorsPreflight = {"const": "allow"};
    /// Whether refusals are carried out.
    Mode = {"enum": (MODES.map(|(word, _)| word))};
    /// Which identity headers are set.
    IdentityHeaders = {"type": "array", "items": {"enum": IDENTITY_HEADERS}};
    /// An algorithm of signatures.
    Algorithm = {"enum": (ALGORITHMS.map(|(word, _)| word))};
    /// A method; the common ones to choose from.
    Method = {
        "anyOf": [
            {"enum": COMMON},
            {
                "type": "string",
                "maxLength": 64,
                "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
                "not": {"pattern": (in_any_case(&COMMON))},
            },
        ],
    };
    /// A JWK Set with a key.
    JwkSet = {
        "type": "object",
        "required": ["keys"],
        "properties": {"keys": {"type": "array", "minItems": 1, "items": {"type": "object"}}},
    };
}
