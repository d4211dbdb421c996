//! The text types of a policy, each with its pattern or its possible values.

use crate::{
    policy::validate::{
        IDENTITY_HEADERS, MODES,
        issuers::{ALGORITHMS, BOUND_TOKENS},
    },
    route::method::{COMMON, EVERY},
    token::CLAIMS_MAX,
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

/// A literal segment of a path.
const LITERAL: &str = r#"[!"$-)+-.0-9=@-Z_`a-z~][!"$-)+-.0-:=@-Z_`a-z~]*"#;
const SUFFIX: &str = r#":[!"$-)+-.0-:=@-Z_`a-z~]+"#;
const PARAMETER: &str = r"\{[A-Za-z_][A-Za-z0-9_]*\}";
const REST: &str = r"\{\*[A-Za-z_][A-Za-z0-9_]*\}";

/// A case-insensitive pattern of words: JSON Schema patterns have no flags.
fn in_any_case(words: &[&str]) -> String {
    let letter = |letter: char| format!("[{}{}]", letter.to_ascii_uppercase(), letter.to_ascii_lowercase());
    let words: Vec<String> = words.iter().map(|word| word.chars().map(letter).collect()).collect();
    format!("^({})$", words.join("|"))
}

texts! {
    /// Non-empty text.
    Text = {"type": "string", "minLength": 1, "maxLength": 1024};
    /// Text that can be put into a quoted header parameter.
    Quotable = {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": r#"^[ !#-\[\]-~]+$"#};
    /// A duration, possibly zero.
    Duration = {"type": "string", "pattern": "^(0|[1-9][0-9]*)(ms|s|m|h|d)$", "examples": ["200ms", "30s", "15m", "8h"]};
    /// A duration greater than zero.
    Limit = {"type": "string", "pattern": "^[1-9][0-9]*(ms|s|m|h|d)$", "examples": ["200ms", "30s", "15m", "8h"]};
    /// A date.
    Day = {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"};
    /// The name of an environment variable.
    Variable = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"};
    /// The name of an Envoy cluster.
    Cluster = {"type": "string", "maxLength": 125, "pattern": "^[!-~]+$"};
    /// The name of a scope or a set in its declaration.
    ScopeName = {"type": "string", "maxLength": 256, "pattern": r#"^[!#-)+-?A-\[\]-~][!#-)+-\[\]-~]*$"#};
    /// A scope, or `@` and the name of a set.
    ScopeOrSet = {"type": "string", "maxLength": 257, "pattern": r#"^@?[!#-)+-?A-\[\]-~][!#-)+-\[\]-~]*$"#};
    /// A token type.
    TokenType = {
        "type": "string",
        "pattern": r#"^([Aa][Pp][Pp][Ll][Ii][Cc][Aa][Tt][Ii][Oo][Nn]/)?[A-Za-z0-9!#$&^_.+-]+$"#,
        "examples": ["at+jwt"],
    };
    /// An HTTP URL.
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
    /// The name of a cookie or of a websocket subprotocol.
    HeaderToken = {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"};
    /// The name of a header that becomes a fact.
    FactHeader = {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", "examples": ["x-device-id"]};
    /// What becomes the scope of a token for the upstream.
    TokenScopes = {"enum": ["route", "token"]};
    /// What a token for the upstream says of the request.
    RequestContext = {"enum": ["route", "address"]};
    /// What happens where no token can be minted.
    OmitToken = {"const": "omit"};
    /// The type of a token for the upstream.
    UpstreamTyp = {"type": "string", "maxLength": 64, "pattern": "^[A-Za-z0-9!#$&^_.+-]+$"};
    /// The name of a proxy.
    Workload = {"type": "string", "minLength": 1, "maxLength": 256};
    /// The name of a claim that becomes a fact.
    FactClaim = {"type": "string", "minLength": 1, "maxLength": 128};
    /// A class or a tag of a route.
    Keyword = {"type": "string", "maxLength": 64, "pattern": "^[A-Za-z0-9_.:/-]+$"};
    /// A name in a certificate: a URI or a DNS name.
    Hop = {"type": "string", "maxLength": 1024, "pattern": "^[!-~]+$", "examples": ["spiffe://example.com/edge", "edge.example.com"]};
    /// The origin of a page.
    Origin = {"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[0-9A-Za-z_.:\\[\\]-]+$", "examples": ["https://app.example.com"]};
    /// A path with parameters.
    Template = {
        "type": "string",
        "pattern": (format!(r"^/(({PARAMETER}({SUFFIX})?|{LITERAL})/)*({PARAMETER}({SUFFIX})?|{LITERAL}|{REST})?$")),
        "examples": ["/orders", "/orders/{id}", "/orders/{id}:suspend", "/admin/{*rest}"],
    };
    /// The protocol of the session service.
    Protocol = {"enum": ["stream", "introspection"]};
    /// Where an encoded slash is let through.
    EncodedSlash = {"const": "segment"};
    /// Whether somebody has to approve a scope.
    Approval = {"const": "required"};
    /// How CORS preflights are handled.
    CorsPreflight = {"const": "allow"};
    /// Whether refusals are carried out.
    Mode = {"enum": (MODES.map(|(word, _)| word))};
    /// Which identity headers are set.
    IdentityHeaders = {"type": "array", "items": {"enum": IDENTITY_HEADERS}};
    /// A claim's name, or a JSON Pointer.
    ScopeClaim = {
        "type": "string",
        "minLength": 1,
        "maxLength": 1024,
        "pattern": "^([^/].*|(/([^/~]|~[01])*)+)$",
        "examples": ["scope", "/realm_access/roles"],
    };
    /// Claims with the values that they must have.
    ClaimValues = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": CLAIMS_MAX,
        "propertyNames": {"minLength": 1, "maxLength": 1024},
        "additionalProperties": {
            "anyOf": [
                {"type": ["string", "number", "boolean"]},
                {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean"]}},
            ],
        },
    };
    /// Whether proofs of possession must contain a nonce.
    Nonce = {"enum": ["off", "required", false]};
    /// Scheme and host.
    ExternalUrl = {
        "type": "string",
        "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[0-9A-Za-z_.~:\\[\\]-]+/?$",
        "examples": ["https://api.example.com"],
    };
    /// What becomes of bound tokens.
    BoundTokens = {"enum": (BOUND_TOKENS.map(|(word, _)| word))};
    /// A signature algorithm.
    Algorithm = {"enum": (ALGORITHMS.map(|(word, _)| word))};
    /// A method; editors suggest the common ones.
    Method = {
        "anyOf": [
            {"enum": COMMON},
            {
                "type": "string",
                "maxLength": 64,
                "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
                "not": {"pattern": (in_any_case(&[&COMMON[..], &EVERY].concat()))},
            },
        ],
    };
    /// A JWK Set with at least one key.
    JwkSet = {
        "type": "object",
        "required": ["keys"],
        "properties": {"keys": {"type": "array", "minItems": 1, "items": {"type": "object"}}},
    };
}
