//! Tokens for upstreams: short-lived JWTs (draft-ietf-oauth-transaction-tokens) that a verdict carries to the filter, in place of
//! the client's token.
//!
//! - `keys` has the signing keys of `session.yaml`, and says which of them signs and which are published;
//! - `claims` says what a token says and how long it lives;
//! - `cache` keeps each token until half of its life is over, so that a question seldom has to wait for a signature;
//! - `Minter` puts them together;
//! - `jwks` publishes the keys.
//!
//! A token never leaves this module except in a verdict: not into logs, the audit or metrics.

mod cache;
mod claims;
mod jwks;
mod keys;
mod metrics;
mod minter;
mod request;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use jwks::router;
pub use keys::{DatedKey, SigningKeys};
pub(crate) use metrics::MintingMetrics;
pub use minter::Minter;
pub(crate) use minter::{Route, Subject, Wanted};
pub(crate) use request::{OwnRequest, Request};
