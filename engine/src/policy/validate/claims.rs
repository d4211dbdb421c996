//! Conditions on claims: which values a claim must have.

use super::LIST_ITEMS_MAX;
use crate::policy::{
    deserialize::Given,
    fault::{About, Faults, Wrong},
    json_path::At,
    text::plain,
};
use crate::token::{CLAIMS_MAX, ClaimValues, Scalar};
use serde_json::{Map, Value};

/// Reads the claims of an object; without the key, there are none.
pub(super) fn claims(raw: Given<Map<String, Value>>, at: &At<'_>, faults: &mut Faults) -> Option<Vec<ClaimValues>> {
    raw.or(Vec::new(), |raw| {
        if raw.is_empty() {
            faults.add(at, "must not be empty; omit the key to make no condition");
            return None;
        }
        if raw.len() > CLAIMS_MAX {
            faults.add(at, format_args!("has {} claims; at most {CLAIMS_MAX} are allowed", raw.len()));
            return None;
        }
        let read: Vec<_> = raw.into_iter().map(|(name, value)| claim(&name, value, &at.key(&name), faults)).collect();
        read.into_iter().collect()
    })
}

fn claim(name: &str, value: Value, at: &At<'_>, faults: &mut Faults) -> Option<ClaimValues> {
    let name = faults.check(at, plain(name).map_err(|message| Wrong::from(message).about(About::Key)));
    let values = match value {
        Value::Array(list) if list.is_empty() => {
            faults.add(at, "must not be empty: no token would be accepted");
            None
        }
        Value::Array(list) if list.len() > LIST_ITEMS_MAX => {
            faults.add(at, format_args!("has {} items; at most {LIST_ITEMS_MAX} are allowed", list.len()));
            None
        }
        Value::Array(list) => {
            let values = list.into_iter().enumerate();
            let values: Vec<_> = values.map(|(index, value)| scalar(value, "", &at.item(index), faults)).collect();
            values.into_iter().collect()
        }
        value => scalar(value, ", or a list of these", at, faults).map(|value| vec![value]),
    };
    Some(ClaimValues { claim: name?, values: values? })
}

/// A value to compare with. `null` was reported when the policy was read.
fn scalar(value: Value, or: &str, at: &At<'_>, faults: &mut Faults) -> Option<Scalar> {
    let found = match &value {
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::Null => return None,
        Value::String(_) | Value::Number(_) | Value::Bool(_) => return Scalar::of(value),
    };
    faults.add(at, format_args!("expected text, a number, `true` or `false`{or}, found {found}"));
    None
}
