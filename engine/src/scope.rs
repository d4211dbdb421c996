//! Comparing the scopes that are held with the scopes that are required: whole and case-sensitive (RFC 6749, section 3.3).

mod date;
mod held;
mod registry;
mod requirement;

pub use date::Date;
pub use held::Held;
pub use registry::{Entry, ScopeId, ScopeRegistry};
pub use requirement::{Missing, Requirement};

#[cfg(test)]
mod tests;
