//! Finds the policy in a manifest: an Envoy configuration, a Kubernetes manifest, several YAML documents.
//!
//! A filter that fails open protects nothing, and is an error. What else stands around the policy is for `policy check`.

mod choose;
mod find;
mod surroundings;
#[cfg(test)]
mod tests;
mod text;

pub(super) use choose::{every, policy};
pub(super) use find::{Holder, Plugin, policies};
pub(super) use surroundings::{Manager, Surroundings, field, has_type, nodes};
