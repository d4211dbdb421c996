//! Why a token is invalid. A fault repeats nothing from the token, so it is safe to log.

use super::json::{IllTyped, NotAnObject};
use std::fmt;

/// Why a token is invalid: a closed list, for logs and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Longer than the policy's `limits.token_bytes`, or than [`super::TOKEN_BYTES_MAX`].
    TooLong,
    /// Not three parts.
    NotCompact,
    /// A part is not base64url in its one canonical form.
    NotBase64url,
    /// The header is not a JSON object without duplicate members.
    Header(NotAnObject),
    /// The payload is not a JSON object without duplicate members.
    Claims(NotAnObject),
    /// A required header or claim is missing.
    Missing(&'static str),
    /// A header or claim has the wrong type, form or length.
    IllTyped(&'static str),
    /// The issuer must not use this `alg`.
    Algorithm,
    /// The issuer must not use this `typ`.
    TokenType,
    /// `crit` or `b64`: extensions that this verifier does not implement (RFC 7515, section 4.1.11).
    Critical,
    /// The header contains its own key (`jwk`), so the sender would vouch for itself.
    EmbeddedKey,
    /// `iss` is not an issuer of the policy.
    Issuer,
    /// `aud` contains none of the issuer's audiences.
    Audience,
    /// The token's client is none of the issuer's `clients`.
    Client,
    /// `orig_iss` does not name the issuer that this one mints for.
    OriginalIssuer,
    /// A claim differs from what the issuer's `claims` demand.
    Claim,
    /// It is bound to a key (`cnf`), and its sender's proof cannot be checked (RFC 9449, RFC 8705).
    Bound,
    /// `cnf` does not say, or not only, what can be verified here: `jkt` and `x5t#S256`.
    Confirmation,
    /// None of `iat`, `auth_time` and `nbf` is a date.
    Undated,
    /// This date (`nbf`, `iat`, `auth_time`) is in the future.
    NotYetValid(&'static str),
    /// The key that `kid` names cannot be used with `alg`.
    KeyAlgorithm,
    /// The signature is invalid.
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
            Self::TooLong => f.write_str("the token is longer than `limits.token_bytes` allows"),
            Self::NotCompact => f.write_str("the token does not have three parts"),
            Self::NotBase64url => f.write_str("a part of the token is not canonical base64url"),
            Self::Header(why) => write!(f, "the token's header {why}"),
            Self::Claims(why) => write!(f, "the token's payload {why}"),
            Self::Missing(name) => write!(f, "`{name}` is missing"),
            Self::IllTyped(name) => write!(f, "`{name}` is malformed"),
            Self::Algorithm => f.write_str("`alg` is not one of the issuer's `algorithms`"),
            Self::TokenType => f.write_str("`typ` is not one of the issuer's `token_types`"),
            Self::Critical => f.write_str("the header requires an unsupported extension (`crit` or `b64`)"),
            Self::EmbeddedKey => f.write_str("the header contains its own key (`jwk`)"),
            Self::Issuer => f.write_str("`iss` is not an issuer of the policy"),
            Self::Audience => f.write_str("`aud` contains none of the issuer's `audiences`"),
            Self::Client => f.write_str("the token's client is none of the issuer's `clients`"),
            Self::OriginalIssuer => f.write_str("`orig_iss` is not the issuer's `minted_for`"),
            Self::Claim => f.write_str("a claim is not what the issuer's `claims` demand"),
            Self::Bound => {
                f.write_str("the token is bound to a key (`cnf`), and `bound_tokens` is neither `verify` nor `bearer`")
            }
            Self::Confirmation => {
                f.write_str("`cnf` has other members than `jkt` and `x5t#S256`, or one that is malformed")
            }
            Self::Undated => f.write_str("none of `iat`, `auth_time` and `nbf` is a date"),
            Self::NotYetValid(name) => write!(f, "`{name}` is in the future"),
            Self::KeyAlgorithm => f.write_str("the key that `kid` names cannot be used with `alg`"),
            Self::Signature => f.write_str("the signature is invalid"),
        }
    }
}
