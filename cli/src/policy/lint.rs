//! Warnings about valid policies that deserve a look.

mod clusters;
mod envoy;
mod fallthrough;
mod issuers;
mod linter;
mod oauth;
mod overlap;
mod permissiveness;
mod plugin;
mod routes;
mod samples;
mod scopes;
mod shadow;
#[cfg(test)]
mod tests;
mod upstream;
mod warning;
mod whole;

pub(super) use linter::{Bounds, lint};
pub(super) use warning::Warning;
