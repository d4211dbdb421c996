//! Finds the policy in a manifest: an Envoy configuration, a Kubernetes manifest, several YAML documents.
//!
//! The rest of the manifest is not checked, with two exceptions: a filter that fails open protects nothing, and some of
//! Envoy's own filters must stand in front of it.

mod find;
mod order;
#[cfg(test)]
mod tests;
mod text;

pub(super) use find::policy;
pub(super) use order::{Outer, misplaced};
