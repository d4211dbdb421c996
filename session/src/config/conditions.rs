//! Conditions: `conditions`.

use crate::conditions::{ConditionSettings, Mode};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `cedar`, and with `mode` or `attributes`")]
#[cfg_attr(not(feature = "conditions"), expect(dead_code, reason = "whatever it says is refused"))]
pub(super) struct RawConditions {
    cedar: String,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// A build without conditions must not run as if there were none.
#[cfg(not(feature = "conditions"))]
pub(super) fn read(raw: Option<RawConditions>, faults: &mut Vec<String>) -> Option<ConditionSettings> {
    if raw.is_some() {
        faults.push(
            "conditions: this build cannot judge by conditions: use one that was built with the feature `conditions`"
                .to_owned(),
        );
    }
    None
}

#[cfg(feature = "conditions")]
pub(super) use load::read;

#[cfg(feature = "conditions")]
mod load {
    use super::{ConditionSettings, RawConditions};
    use crate::attributes::is_name;
    use portcullis_conditions::{Declared, Kind};
    use std::path::Path;

    /// Attributes that can be declared.
    const ATTRIBUTES_MAX: usize = 64;

    /// Reads where the conditions are, and the conditions.
    pub(in super::super) fn read(raw: Option<RawConditions>, faults: &mut Vec<String>) -> Option<ConditionSettings> {
        let RawConditions { cedar, mode, attributes } = raw?;
        let before = faults.len();
        if attributes.len() > ATTRIBUTES_MAX {
            faults.push(format!("conditions.attributes: has more than {ATTRIBUTES_MAX} entries"));
        }
        let mut declared = Declared::default();
        for (name, kind) in attributes {
            if !is_name(&name) {
                faults.push(format!(
                    "conditions.attributes: `{name}` cannot be an attribute's name: use a lower-case letter and up to 63 \
                     lower-case letters, digits, `_`, `.` and `-`"
                ));
            }
            match kind.as_str() {
                "String" => drop(declared.0.insert(name, Kind::String)),
                "Long" => drop(declared.0.insert(name, Kind::Long)),
                "Boolean" | "Bool" => drop(declared.0.insert(name, Kind::Bool)),
                _ => faults.push(format!(
                    "conditions.attributes.{name}: `{kind}` is not a type: use `String`, `Long` or `Boolean`"
                )),
            }
        }
        // A policy that names an attribute with a fault would have another one.
        if faults.len() > before {
            return None;
        }
        match ConditionSettings::load(Path::new(&cedar), mode, declared) {
            Ok(settings) => Some(settings),
            Err(found) => {
                faults.extend(found.into_iter().map(|fault| format!("conditions.cedar: {fault}")));
                None
            }
        }
    }
}
