//! Values of attributes: text, numbers and booleans, as people write and read them.

use crate::{
    admin::plain::{clipped, plain},
    error::Error,
};
use serde::de::IgnoredAny;
use serde_json::{Number, Value};

/// A value as it was written: `true` and `false` are booleans, numbers of JSON are numbers, and all else is text.
pub(super) fn read(text: &str) -> Result<Value, Error> {
    match text {
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        text if is_number(text) => number(text).map(Value::Number).ok_or_else(|| {
            Error::invalid(format_args!(
                "the number `{}` cannot be sent without changing it; use `--text` to set it as text",
                plain(text)
            ))
        }),
        text => Ok(text.into()),
    }
}

/// Whether it is a number in JSON. This asks for the form only, not whether a number of the machine can have that value.
fn is_number(text: &str) -> bool {
    // JSON may have white space around a value.
    let is_plain =
        text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_graphic());
    is_plain && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The number, unless it is too large, or a whole number that would be rounded: it may be an id.
fn number(text: &str) -> Option<Number> {
    let number: Number = serde_json::from_str(text).ok()?;
    let is_whole = !text.contains(['.', 'e', 'E']);
    (!(is_whole && number.is_f64())).then_some(number)
}

/// A value in words, cut off after `chars_max` characters. Text that would be read as something else is in quotation marks.
pub(super) fn shown(value: &Value, chars_max: usize) -> String {
    match value {
        Value::String(text) if text.is_empty() || is_number(text) || ["true", "false"].contains(&text.as_str()) => {
            format!("\"{}\"", clipped(text, chars_max))
        }
        Value::String(text) => clipped(text, chars_max),
        other => clipped(&other.to_string(), chars_max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn booleans_and_numbers_are_no_text() {
        for (text, expected) in [
            ("true", json!(true)),
            ("false", json!(false)),
            ("7", json!(7)),
            ("-7", json!(-7)),
            ("18446744073709551615", json!(u64::MAX)),
            ("0.25", json!(0.25)),
            ("1e3", json!(1e3)),
            ("high", json!("high")),
            ("", json!("")),
            ("True", json!("True")),
            ("007", json!("007")),
            ("+7", json!("+7")),
            ("7 ", json!("7 ")),
            (" 7", json!(" 7")),
            ("1.", json!("1.")),
            ("-", json!("-")),
            ("0x7", json!("0x7")),
            ("NaN", json!("NaN")),
            ("null", json!("null")),
            ("\"7\"", json!("\"7\"")),
            ("[7]", json!("[7]")),
            ("2026-11-26", json!("2026-11-26")),
        ] {
            assert_eq!(read(text).expect("a value"), expected, "{text:?}");
        }
    }

    #[test]
    fn a_number_that_would_be_another_one_is_refused() {
        for text in ["18446744073709551616", "-9223372036854775809", "1e999", "-0"] {
            assert!(matches!(read(text), Err(Error::Invalid(why)) if why.contains("--text")), "{text}");
        }
    }

    #[test]
    fn what_is_shown_tells_text_from_other_values() {
        for (value, expected) in [
            (json!("high\u{1b}"), "high\\u{1b}"),
            (json!("true"), "\"true\""),
            (json!(true), "true"),
            (json!("7"), "\"7\""),
            (json!(7), "7"),
            (json!(0.5), "0.5"),
            (json!(""), "\"\""),
            (json!("abcdefghijk"), "abcdefghij…"),
        ] {
            assert_eq!(shown(&value, 10), expected);
        }
    }
}
