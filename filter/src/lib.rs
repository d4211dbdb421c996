//! Portcullis, the filter: continuous OAuth 2.0 authorization inside Envoy.
//!
//! The life of a request, room by room:
//!
//! 1. [`route`] reads host and path strictly and finds the one rule that answers the request;
//! 2. [`token`] verifies the bearer token of the request;
//! 3. [`scope`] compares the scopes the token holds with what the rule requires;
//! 4. [`check`] is where a request is decided: the request machine, and the questions to the session service;
//! 5. [`answer`] is what a refused client is told.
//!
//! [`policy`] is what the operator wrote, [`wire`] the messages of the check stream, and `host` the one room in
//! which proxy-wasm is called. All rooms but `host` are pure and tested natively.

pub mod answer;
pub mod check;
#[cfg(target_arch = "wasm32")]
mod host;
mod map;
pub mod policy;
pub mod route;
pub mod scope;
pub mod token;
pub mod wire;
