//! Why a token is refused. What is said here holds nothing that the token said.

use super::{
    IssuerId,
    json::{IllTyped, NotAnObject},
};
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

impl From<IllTyped> for Fault {
    fn from(IllTyped(name): IllTyped) -> Self {
        Self::IllTyped(name)
    }
}

/// What is wrong with an invalid token: finitely many, for logs and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Longer than [`super::TOKEN_BYTES_MAX`].
    TooLong,
    /// Not three parts.
    NotCompact,
    /// A part is not base64url in its one canonical form.
    NotBase64url,
    /// The header is not a JSON object without duplicate members.
    Header(NotAnObject),
    /// The payload is not a JSON object without duplicate members.
    Claims(NotAnObject),
    /// A header or claim that must be there is not.
    Missing(&'static str),
    /// A header or claim is not of the type, form or length that it must have.
    IllTyped(&'static str),
    /// `alg` is not one that the issuer may use.
    Algorithm,
    /// `typ` is not one that the issuer may use.
    TokenType,
    /// `crit` or `b64`: extensions that this verifier does not implement (RFC 7515, section 4.1.11).
    Critical,
    /// The header brings its own key (`jwk`): the sender asks to be believed on his own word.
    EmbeddedKey,
    /// `iss` is not an issuer of the policy.
    Issuer,
    /// `aud` holds none of the issuer's audiences.
    Audience,
    /// This date (`nbf`, `iat`, `auth_time`) lies in the future.
    NotYetValid(&'static str),
    /// The key that `kid` names is not for `alg`.
    KeyAlgorithm,
    /// The signature does not hold.
    Signature,
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the token is too long"),
            Self::NotCompact => f.write_str("the token has not three parts"),
            Self::NotBase64url => f.write_str("a part of the token is not canonical base64url"),
            Self::Header(why) => write!(f, "the token's header {why}"),
            Self::Claims(why) => write!(f, "the token's payload {why}"),
            Self::Missing(name) => write!(f, "`{name}` is missing"),
            Self::IllTyped(name) => write!(f, "`{name}` is not of the form it must have"),
            Self::Algorithm => f.write_str("`alg` is not one of the issuer's `algorithms`"),
            Self::TokenType => f.write_str("`typ` is not one of the issuer's `token_types`"),
            Self::Critical => f.write_str("the header asks for an extension (`crit` or `b64`)"),
            Self::EmbeddedKey => f.write_str("the header brings its own key (`jwk`)"),
            Self::Issuer => f.write_str("`iss` is not an issuer of the policy"),
            Self::Audience => f.write_str("`aud` holds none of the issuer's `audiences`"),
            Self::NotYetValid(name) => write!(f, "`{name}` lies in the future"),
            Self::KeyAlgorithm => f.write_str("the key that `kid` names is not for `alg`"),
            Self::Signature => f.write_str("the signature does not hold"),
        }
    }
}
