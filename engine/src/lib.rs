//! Every decision of the filter, without a host call: events go in, steps come out, time is an argument.
//!
//! The life of a request:
//!
//! 1. [`route`] reads host and path strictly and finds the one rule that answers the request;
//! 2. [`token`] verifies the bearer token of the request;
//! 3. [`scope`] compares the scopes that the token holds with those that the rule requires;
//! 4. [`authorize`] is where the request is decided: the request machine, and the questions to the session service;
//! 5. [`answer`] is what a refused client is told.
//!
//! [`policy`] is what the operator wrote, checked; [`token`] and [`wire`] are the contract with the session service.

pub mod answer;
pub mod authorize;
pub mod map;
pub mod policy;
pub mod route;
pub mod scope;
pub mod time;

pub use portcullis_contract::{code, introspection, token, wire};
