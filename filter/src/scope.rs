//! Comparing the scopes that are held with the scopes that are required: whole and case-sensitive (RFC 6749, section 3.3).

mod date;
mod held;
mod register;
mod requirement;

pub use date::Date;
pub use held::Held;
pub use register::{Entry, Register, ScopeId};
pub use requirement::Requirement;

#[cfg(test)]
mod tests;
