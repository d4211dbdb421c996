//! Reading other documents of an operator as strictly as a policy, and in the same words: unknown keys, values of the wrong
//! type and keys that are given twice are faults, each with its place, and all of them are found at once.

pub use super::{
    deserialize::Given,
    duration::duration,
    text::{nearest, quoted},
};

use super::{deserialize::shaped, fault::Faults, json, json_path::At};
use serde::de::DeserializeOwned;

/// Reads JSON into a raw type whose fields are [`Given`]; nothing where there is a fault in all of it.
pub fn read<T: DeserializeOwned>(json: &[u8], faults: &mut Faults) -> Option<T> {
    let json = json::read(json, faults)?;
    shaped(json, &At::ROOT, faults).value()
}
