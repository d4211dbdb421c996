//! Every decision of the filter, without host calls: events go in, steps come out, time is an argument.
//!
//! The life of a request:
//!
//! 1. [`route`] reads host and path strictly and finds the one rule that matches the request;
//! 2. [`token`] verifies the bearer token of the request;
//! 3. [`scope`] compares the token's scopes with those that the rule requires;
//! 4. [`authorize`] decides the request: the request machine, and the questions to the session service;
//! 5. [`answer`] is the response to a refused client.
//!
//! [`policy`] is the operator's configuration, checked; [`token`] and [`wire`] are shared with the session service.

pub mod answer;
pub mod authorize;
pub mod map;
pub mod policy;
pub mod route;
pub mod scope;
pub mod time;

/// How the filter names itself to the servers that it calls: firewalls in front of them refuse callers without a name.
pub const USER_AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));

pub use portcullis_contract::{KeyKind, code, introspection, token, wire};
