//! Why a token is refused, by what follows from it.

use super::{Fault, IssuerId, json::IllTyped};
use std::fmt;

/// Why a token is refused, by what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// It can never be accepted, or not yet: `invalid_token`.
    Invalid(Fault),
    /// It was in order, but its time is over: `token_expired`. The signature was not looked at.
    Expired,
    /// No key of the issuer fits: `invalid_token`, unless a fetch brings the key.
    UnknownKey {
        /// Whose keys to fetch.
        issuer: IssuerId,
    },
    /// The issuer's keys are not there yet: `keys_unavailable`, unless a fetch brings them.
    NoKeys {
        /// Whose keys to fetch.
        issuer: IssuerId,
    },
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        Self::Invalid(fault)
    }
}

impl From<IllTyped> for Rejection {
    fn from(IllTyped(name): IllTyped) -> Self {
        Self::Invalid(Fault::IllTyped(name))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(fault) => fault.fmt(f),
            Self::Expired => f.write_str("the token has expired"),
            Self::UnknownKey { .. } => f.write_str("no key of the issuer fits the token"),
            Self::NoKeys { .. } => f.write_str("the issuer's keys are not there yet"),
        }
    }
}
