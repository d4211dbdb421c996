//! Which keys can be combined, and which are required.

use schemars::Schema;
use serde_json::{Value, json};

fn set(schema: &mut Schema, keys: Value) {
    if let Value::Object(keys) = keys {
        keys.into_iter().for_each(|(key, value)| drop(schema.insert(key, value)));
    }
}

/// The condition that a key has this value.
fn given(key: &str, value: impl Into<Value>) -> Value {
    json!({"properties": {key: {"const": value.into()}}, "required": [key]})
}

pub(in crate::policy) fn policy(schema: &mut Schema) {
    set(
        schema,
        json!({
            "required": ["routes"],
            "if": {"properties": {"routes": {"contains": {"type": "object", "not": given("public", true)}}}},
            "then": {"required": ["issuers", "session"], "properties": {"issuers": {"minItems": 1}}},
            "dependentSchemas": {"token_from": {
                "if": {"properties": {"token_from": {"contains": {"type": "object", "required": ["session_cookie"]}}}},
                "then": {"required": ["oauth"]},
            }},
        }),
    );
}

pub(in crate::policy) fn session(schema: &mut Schema) {
    set(
        schema,
        json!({
            "required": ["cluster"],
            "if": given("protocol", "introspection"),
            "then": {
                "required": ["path"],
                "not": {"required": ["credential", "client"]},
                "properties": {"attributes": false, "place": false},
            },
            "else": {"properties": {"path": false, "authority": false, "client": false}},
        }),
    );
}

pub(in crate::policy) fn oauth(schema: &mut Schema) {
    set(schema, json!({"required": ["cluster"]}));
}

pub(in crate::policy) fn credential(schema: &mut Schema) {
    set(schema, json!({"required": ["env"]}));
}

pub(in crate::policy) fn device(schema: &mut Schema) {
    set(schema, json!({"required": ["from"]}));
}

pub(in crate::policy) fn client(schema: &mut Schema) {
    set(schema, json!({"required": ["id", "secret"]}));
}

pub(in crate::policy) fn issuer(schema: &mut Schema) {
    let about_verification = ["algorithms", "keys", "token_types", "session_claims"];
    let none: Value = about_verification.iter().map(|key| ((*key).to_owned(), Value::Bool(false))).collect();
    set(
        schema,
        json!({
            "required": ["issuer"],
            "anyOf": [{"required": ["audiences"]}, {"required": ["clients"]}],
            "if": given("opaque", true),
            "then": {"properties": none},
            "else": {"required": ["algorithms", "keys"]},
        }),
    );
}

pub(in crate::policy) fn keys(schema: &mut Schema) {
    set(
        schema,
        json!({
            "if": {"required": ["inline"]},
            "then": {"properties": {"jwks_url": false, "cluster": false, "refresh": false}},
            "else": {"required": ["jwks_url", "cluster"]},
        }),
    );
}

pub(in crate::policy) fn route(schema: &mut Schema) {
    set(
        schema,
        json!({
            "required": ["name", "match"],
            "oneOf": [
                given("public", true),
                {"properties": {"authenticated": {"enum": [true, "optional"]}}, "required": ["authenticated"]},
                {"required": ["require"]},
            ],
            "if": given("public", true),
            "then": {"properties": {"session": false, "acr": false}},
        }),
    );
}

pub(in crate::policy) fn matched(schema: &mut Schema) {
    set(schema, json!({"required": ["path"]}));
}

pub(in crate::policy) fn require(schema: &mut Schema) {
    let some = |key: &str| json!({"properties": {key: {"minItems": 1}}, "required": [key]});
    set(schema, json!({"anyOf": [some("all_of"), some("any_of")]}));
}
