//! Questions to an introspection endpoint (RFC 7662): one call per request.

mod answer;
mod authorization;
mod call;
mod client;
mod form;

pub use authorization::authorization;
pub use call::{Call, Carried};
pub use client::CallKey;
pub(super) use client::{Ended, IntrospectionClient};

#[cfg(test)]
mod tests;
