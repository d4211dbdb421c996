//! Why a token is refused, grouped by consequence.

use super::{Fault, IssuerId, KeyName, json::IllTyped};
use std::fmt;

/// Why a token is refused, grouped by consequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// It can never be accepted, or not yet: `invalid_token`.
    Invalid(Fault),
    /// It was valid but has expired: `token_expired`. The signature was not verified.
    Expired,
    /// No key of the issuer matches: `invalid_token`, unless a fetch brings the key.
    UnknownKey {
        /// The issuer whose keys to fetch.
        issuer: IssuerId,
        /// The key that is missing.
        name: KeyName,
    },
    /// The key that `kid` names does not verify the token: `invalid_token`, unless a fetch brings another key of that
    /// name.
    WrongKey {
        /// The issuer whose keys to fetch.
        issuer: IssuerId,
        /// The key that may have been replaced.
        name: KeyName,
        /// [`Fault::Signature`] or [`Fault::KeyAlgorithm`].
        fault: Fault,
    },
    /// The issuer's keys are not available yet: `keys_unavailable`, unless a fetch brings them.
    NoKeys {
        /// The issuer whose keys to fetch.
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
            Self::Invalid(fault) | Self::WrongKey { fault, .. } => fault.fmt(f),
            Self::Expired => f.write_str("the token has expired"),
            Self::UnknownKey { .. } => f.write_str("no key of the issuer matches the token"),
            Self::NoKeys { .. } => f.write_str("the issuer's keys are not available yet"),
        }
    }
}
