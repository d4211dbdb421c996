//! What is wrong with an invalid token. A fault repeats nothing that the token said: it can be logged.

use super::json::{IllTyped, NotAnObject};
use std::fmt;

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

impl From<IllTyped> for Fault {
    fn from(IllTyped(name): IllTyped) -> Self {
        Self::IllTyped(name)
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
