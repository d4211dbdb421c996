//! Reads what a policy needs from an OpenAPI document (3.0 to 3.2): operations, where they are served, and who may call them.
//!
//! Real documents are large and rarely free of errors. Only the members that matter are read, and an error in one part is
//! reported with that part and does not stop the command.

mod api;
mod encoded_slash;
mod read;
mod refs;
mod security;
mod servers;
#[cfg(test)]
mod tests;
mod value;

pub(super) use api::{Api, Operation};
pub(super) use security::{Scheme, SchemeKind, Security};
pub(super) use servers::Base;
#[cfg(test)]
pub(super) use tests::any_json;
#[cfg(test)]
pub(super) use value::parse;
pub(super) use value::{Shape, Value, load};
