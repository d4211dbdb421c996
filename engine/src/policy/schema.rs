//! The JSON Schema (2020-12) of the policy, generated from the raw types, for completion and checks in editors.
//!
//! It accepts every policy that the filter accepts. The filter also checks relations between keys in different places.

mod keys;
mod texts;

pub(super) use keys::{client, credential, device, issuer, keys, matched, oauth, policy, require, route, session};
pub(super) use texts::*;

use super::{
    deserialize::Given,
    raw::{RawAuthenticated, RawDeviceSource, RawFreshness, RawOutage, RawPolicy, RawScope, RawTokenPlace},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::Value;
use std::{borrow::Cow, marker::PhantomData};

/// The schema of a policy.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<RawPolicy>();
    schema.insert("title".to_owned(), "Portcullis policy".into());
    schema.to_value()
}

impl<T: JsonSchema> JsonSchema for Given<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A list with at least one item.
pub(super) struct NotEmpty<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for NotEmpty<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("NotEmpty{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "minItems": 1, "items": generator.subschema_for::<T>()})
    }
}

/// The scope registry.
pub(super) struct Scopes;

impl JsonSchema for Scopes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Scopes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": generator.subschema_for::<ScopeName>(),
            "additionalProperties": generator.subschema_for::<RawScope>(),
        })
    }
}

/// The sets of scopes.
pub(super) struct Sets;

impl JsonSchema for Sets {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Sets".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": generator.subschema_for::<ScopeName>(),
            "additionalProperties": generator.subschema_for::<NotEmpty<ScopeName>>(),
        })
    }
}

impl JsonSchema for RawTokenPlace {
    fn schema_name() -> Cow<'static, str> {
        "TokenPlace".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut named = |key: &str| {
            serde_json::json!({
                "type": "object",
                "properties": {key: generator.subschema_for::<HeaderToken>()},
                "required": [key],
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": "Where a request can carry its token. `authorization`: `Authorization: Bearer TOKEN`. `{cookie: NAME}`: the value of a cookie. `{session_cookie: NAME}`: the value of a cookie is a handle, for which the session service has the token. `{websocket_protocol: NAME}`: `Sec-WebSocket-Protocol: NAME, TOKEN`.",
            "anyOf": [{"const": "authorization"}, named("cookie"), named("session_cookie"), named("websocket_protocol")],
        })
    }
}

impl JsonSchema for RawDeviceSource {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DeviceSource".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"const": super::CLIENT_CERTIFICATE},
                {
                    "type": "object",
                    "properties": {"claim": generator.subschema_for::<FactClaim>()},
                    "required": ["claim"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl JsonSchema for RawAuthenticated {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Authenticated".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": [true, false, "optional"]})
    }
}

impl JsonSchema for RawOutage {
    fn schema_name() -> Cow<'static, str> {
        "Outage".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What happens when there is no verdict. `deny`: 503. `read_only`: GET, HEAD and OPTIONS pass. `{grace: 30s}`: a request passes if the same token was released on the same route at most this long ago.",
            "anyOf": [
                {"enum": ["deny", "read_only"]},
                {
                    "type": "object",
                    "properties": {"grace": generator.subschema_for::<Limit>()},
                    "required": ["grace"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl JsonSchema for RawFreshness {
    fn schema_name() -> Cow<'static, str> {
        "Freshness".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Whether the session service is asked about each request. `{lease: 500ms}`: it gives each worker leases of at most this time, from `100ms` to `5s`, in which the worker decides a token's requests on a route by itself. The service takes leases back before it answers a revocation.",
            "anyOf": [
                {"const": "each_request"},
                {
                    "type": "object",
                    "properties": {"lease": generator.subschema_for::<Limit>()},
                    "required": ["lease"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
