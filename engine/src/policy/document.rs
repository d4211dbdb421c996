//! Reads other documents of an operator as strictly as a policy, with the same messages: unknown keys, values of the
//! wrong type and duplicate keys are faults, each with its place, and all of them are reported at once.

pub use super::{
    deserialize::Given,
    duration::duration,
    text::{nearest, quoted},
};

use super::{deserialize::shaped, fault::Faults, json, json_path::At};
use serde::de::DeserializeOwned;

/// Reads JSON into a raw type whose fields are [`Given`]; `None` if the document as a whole is at fault.
pub fn read<T: DeserializeOwned>(json: &[u8], faults: &mut Faults) -> Option<T> {
    let json = json::read(json, faults)?;
    shaped(json, &At::ROOT, faults).value()
}
