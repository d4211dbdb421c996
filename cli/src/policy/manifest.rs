//! Finds the policy in a manifest: an Envoy configuration, a Kubernetes manifest, several YAML documents.
//!
//! The rest of the manifest is not checked, with one exception: a filter that fails open protects nothing.

mod find;
#[cfg(test)]
mod tests;
mod text;

pub(super) use find::policy;
