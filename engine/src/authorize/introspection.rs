//! Questions to an introspection endpoint (RFC 7662): one call per request, and further ones while a request is open.

mod answer;
mod authorization;
mod call;
mod client;
mod form;
mod reviews;

pub use authorization::authorization;
pub use call::{Call, Carried};
pub use client::CallKey;
pub(super) use client::{Asker, Ended, IntrospectionClient};

#[cfg(test)]
mod tests;
