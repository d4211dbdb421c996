//! The configuration as Envoy passes it: JSON text, or the bytes of a `google.protobuf.Struct`.
//!
//! A `StringValue` and Istio's `pluginConfig` arrive as JSON. A `Struct`, the natural way to write a policy in Envoy's
//! own YAML, arrives in protobuf encoding (observed with Envoy 1.36 and 1.40, although their documentation says JSON).

use prost::Message;
use prost_types::{Struct, Value as Proto, value::Kind};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// The tag of a `Struct`'s first field, with which any non-empty one starts. It is also a line feed, so JSON can start
/// with it.
const FIELDS_TAG: u8 = 0x0a;

/// The policy as JSON text.
pub(super) fn as_json(configuration: &[u8]) -> Cow<'_, [u8]> {
    match configuration.first() {
        Some(&FIELDS_TAG) => match Struct::decode(configuration) {
            Ok(given) => Cow::Owned(object(given).to_string().into_bytes()),
            Err(_) => Cow::Borrowed(configuration),
        },
        _ => Cow::Borrowed(configuration),
    }
}

fn object(given: Struct) -> Value {
    Value::Object(given.fields.into_iter().map(|(name, given)| (name, value(given))).collect::<Map<_, _>>())
}

fn value(given: Proto) -> Value {
    match given.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(given)) => Value::Bool(given),
        Some(Kind::StringValue(given)) => Value::String(given),
        Some(Kind::NumberValue(given)) => number(given),
        Some(Kind::StructValue(given)) => object(given),
        Some(Kind::ListValue(given)) => Value::Array(given.values.into_iter().map(value).collect()),
    }
}

/// All numbers in a `Struct` are doubles; whole ones are written without a fraction, as in the operator's document.
pub(super) fn number(given: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked by the comparison")]
    let whole = given as i64;
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "a whole number comes back exactly")]
    let is_whole = whole as f64 == given;
    if is_whole { Value::from(whole) } else { Number::from_f64(given).map_or(Value::Null, Value::Number) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn proto(json: &Value) -> Proto {
        let kind = match json {
            Value::Null => Kind::NullValue(0),
            Value::Bool(given) => Kind::BoolValue(*given),
            Value::Number(given) => Kind::NumberValue(given.as_f64().expect("a double")),
            Value::String(given) => Kind::StringValue(given.clone()),
            Value::Array(given) => {
                Kind::ListValue(prost_types::ListValue { values: given.iter().map(proto).collect() })
            }
            Value::Object(given) => Kind::StructValue(fields(given)),
        };
        Proto { kind: Some(kind) }
    }

    fn fields(given: &Map<String, Value>) -> Struct {
        Struct { fields: given.iter().map(|(name, value)| (name.clone(), proto(value))).collect() }
    }

    #[test]
    fn a_struct_is_the_json_that_it_was_written_as() {
        let json = json!({"a": [1, 2.5, true, null, {"b": "ü"}], "c": {}, "d": -3, "long": "x".repeat(123)});
        let bytes = fields(json.as_object().expect("an object")).encode_to_vec();
        let text = as_json(&bytes);
        assert_eq!(serde_json::from_slice::<Value>(&text).expect("json"), json);
    }

    #[test]
    fn json_stays_as_it_is_even_behind_a_line_feed() {
        let long = format!("\n{{\"a\":\"{}\"}}", "x".repeat(200));
        for text in ["", "{}", "\n{}", "\n\n{\"a\": 1}", "null", long.as_str()] {
            assert_eq!(as_json(text.as_bytes()), text.as_bytes(), "{text}");
        }
    }
}
