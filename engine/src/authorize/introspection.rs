//! Questions to an introspection endpoint (RFC 7662): one call per request, and further ones while a request is open.

mod answer;
mod authorization;
mod call;
mod client;
mod form;
mod reviews;

pub use authorization::authorization;
pub use call::{Call, Carried};
pub(super) use client::{Asker, Ended, IntrospectionClient};
pub use client::{CALLS_MAX, CallKey};

#[cfg(test)]
mod tests;
