//! Conditions: `conditions`, the engines that decide.

use super::pdp::{self, RawPdp};
use crate::conditions::{Classes, ConditionSettings, Mode};
use crate::pdp::PdpSettings;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// An engine, or a list of them.
pub(super) enum RawConditions {
    One(Box<RawEngine>),
    Several(Vec<RawEngine>),
}

/// By hand, as for credentials.
impl<'de> Deserialize<'de> for RawConditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = RawConditions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`{cedar: …}`, `{authzen: …}` or a list of these")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawConditions, A::Error> {
        RawEngine::deserialize(MapAccessDeserializer::new(map)).map(|engine| RawConditions::One(Box::new(engine)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawConditions, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(RawConditions::Several)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `cedar` or `authzen`")]
pub(super) struct RawEngine {
    cedar: Option<String>,
    mode: Option<Mode>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    authzen: Option<RawPdp>,
    #[serde(default)]
    classes: Vec<String>,
}

/// Policies, as they are configured.
#[cfg_attr(not(feature = "conditions"), expect(dead_code, reason = "whatever it says is refused"))]
struct RawCedar {
    directory: String,
    mode: Mode,
    attributes: BTreeMap<String, String>,
    classes: Classes,
}

/// The engines.
pub(super) fn read(
    raw: Option<RawConditions>,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> (Option<ConditionSettings>, Option<PdpSettings>) {
    let (engines, is_list) = match raw {
        None => return (None, None),
        Some(RawConditions::One(engine)) => (vec![*engine], false),
        Some(RawConditions::Several(engines)) => (engines, true),
    };
    if engines.is_empty() {
        faults.push("conditions: is an empty list: add an engine or leave it out".to_owned());
    }
    let (mut cedar, mut authzen) = (None, None);
    let mut before: Option<Vec<String>> = None;
    for (number, engine) in engines.into_iter().enumerate() {
        let at = if is_list { format!("conditions[{number}]") } else { "conditions".to_owned() };
        let RawEngine { cedar: directory, mode, attributes, authzen: raw, classes: only } = engine;
        if before.as_ref().is_some_and(Vec::is_empty) {
            faults.push(format!("{at}: never decides: the engine before it has every route: give that one `classes`"));
        }
        let classes = Classes { only: only.clone(), except: before.take().unwrap_or_default() };
        before = Some(only);
        match (directory, raw) {
            (Some(_), Some(_)) => {
                faults.push(format!("{at}: has both `cedar` and `authzen`: make it a list of two, with `classes`"));
            }
            (None, None) => faults.push(format!("{at}: needs either `cedar` or `authzen`")),
            (Some(_), None) if cedar.is_some() => faults.push(format!("{at}.cedar: there is one already")),
            (None, Some(_)) if authzen.is_some() => faults.push(format!("{at}.authzen: there is one already")),
            (Some(directory), None) => {
                cedar = Some(RawCedar { directory, mode: mode.unwrap_or_default(), attributes, classes });
            }
            (None, Some(raw)) => {
                for (key, is_given) in [("mode", mode.is_some()), ("attributes", !attributes.is_empty())] {
                    if is_given {
                        faults.push(format!("{at}.{key}: is for `cedar` only"));
                    }
                }
                authzen = Some(pdp::read(&format!("{at}.authzen"), raw, classes, env, faults));
            }
        }
    }
    (policies(cedar, faults, warnings), authzen.flatten())
}

/// A build without conditions must not run as if there were none.
#[cfg(not(feature = "conditions"))]
fn policies(raw: Option<RawCedar>, faults: &mut Vec<String>, _: &mut Vec<String>) -> Option<ConditionSettings> {
    if raw.is_some() {
        faults.push(
            "conditions: this build cannot judge by conditions: use one that was built with the feature `conditions`"
                .to_owned(),
        );
    }
    None
}

#[cfg(feature = "conditions")]
use load::policies;

#[cfg(feature = "conditions")]
mod load {
    use super::{ConditionSettings, RawCedar};
    use portcullis_conditions::{Declared, Kind};
    use std::path::Path;

    /// Attributes that can be declared.
    const ATTRIBUTES_MAX: usize = 64;

    /// Reads where the conditions are, and the conditions.
    pub(super) fn policies(
        raw: Option<RawCedar>,
        faults: &mut Vec<String>,
        warnings: &mut Vec<String>,
    ) -> Option<ConditionSettings> {
        let RawCedar { directory, mode, attributes, classes } = raw?;
        let before = faults.len();
        if attributes.len() > ATTRIBUTES_MAX {
            faults.push(format!("conditions.attributes: has more than {ATTRIBUTES_MAX} entries"));
        }
        let mut declared = Declared::default();
        for (name, kind) in attributes {
            if !Declared::is_name(&name) {
                faults.push(format!(
                    "conditions.attributes: `{name}` cannot be an attribute's name: use a lower-case letter and up to 63 \
                     lower-case letters, digits, `_`, `.` and `-`"
                ));
            }
            match Kind::parse(&kind) {
                Some(kind) => drop(declared.0.insert(name, kind)),
                None => faults.push(format!(
                    "conditions.attributes.{name}: `{kind}` is not a type: use `String`, `Long` or `Boolean`"
                )),
            }
        }
        // A policy that names an attribute with a fault would have another one.
        if faults.len() > before {
            return None;
        }
        match ConditionSettings::load(Path::new(&directory), mode, declared) {
            Ok(settings) => {
                warnings.extend(settings.warnings().map(|warning| format!("conditions.cedar: {warning}")));
                Some(settings.about(classes))
            }
            Err(found) => {
                faults.extend(found.into_iter().map(|fault| format!("conditions.cedar: {fault}")));
                None
            }
        }
    }
}
