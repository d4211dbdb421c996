//! Why a token is refused, for an operator: the closed list behind `invalid_token`, in counters and logs. Clients never
//! learn it.

use super::{Fault, Rejection};

/// Why a token is refused as `invalid_token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its issuer is unknown, or does not vouch for it.
    Issuer,
    /// It is meant for another audience.
    Audience,
    /// It was issued to a client that is not accepted.
    Client,
    /// A claim is missing, or does not have a required value.
    Claim,
    /// Its `typ` is not accepted.
    Type,
    /// Its `alg` is not accepted.
    Algorithm,
    /// Its key is unknown, or cannot be used with its `alg`.
    Key,
    /// Its signature is wrong.
    Signature,
    /// One of its dates is in the future.
    NotYetValid,
    /// It cannot be read.
    Malformed,
    /// It is longer than the policy allows.
    TooLong,
    /// Nothing tells its logins apart, and the session service requires that.
    Undated,
    /// It is bound to a key or a certificate of its client, and was not presented with it, or that is not verified.
    Bound,
    /// The handle that a browser shows in its place is none, or none any more.
    Handle,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::Issuer,
        Self::Audience,
        Self::Client,
        Self::Claim,
        Self::Type,
        Self::Algorithm,
        Self::Key,
        Self::Signature,
        Self::NotYetValid,
        Self::Malformed,
        Self::TooLong,
        Self::Undated,
        Self::Bound,
        Self::Handle,
    ];

    /// The name in counters and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Client => "client",
            Self::Claim => "claim",
            Self::Type => "type",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::NotYetValid => "not_yet_valid",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Undated => "undated",
            Self::Bound => "bound",
            Self::Handle => "handle",
        }
    }
}

impl Fault {
    /// The reason that this fault counts as.
    pub fn reason(self) -> Reason {
        match self {
            Self::TooLong => Reason::TooLong,
            Self::NotCompact | Self::NotBase64url | Self::Header(_) | Self::Claims(_) | Self::Critical => {
                Reason::Malformed
            }
            Self::Missing("iss") | Self::Issuer | Self::OriginalIssuer => Reason::Issuer,
            Self::Missing("aud") | Self::Audience => Reason::Audience,
            Self::Missing("alg") | Self::IllTyped(_) => Reason::Malformed,
            Self::Missing(_) | Self::Claim => Reason::Claim,
            Self::Client => Reason::Client,
            Self::Bound | Self::Confirmation => Reason::Bound,
            Self::Undated => Reason::Undated,
            Self::Algorithm => Reason::Algorithm,
            Self::TokenType => Reason::Type,
            Self::EmbeddedKey | Self::KeyAlgorithm => Reason::Key,
            Self::NotYetValid(_) => Reason::NotYetValid,
            Self::Signature => Reason::Signature,
        }
    }
}

impl Rejection {
    /// Why the token is invalid; `None` if it is not: it has expired, or cannot be judged without keys.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Invalid(fault) | Self::WrongKey { fault, .. } => Some(fault.reason()),
            Self::UnknownKey { .. } => Some(Reason::Key),
            Self::Expired | Self::NoKeys { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{IssuerId, KeyName, json::NotAnObject};

    #[test]
    fn every_rejection_has_the_reason_of_the_table() {
        let (issuer, name) = (IssuerId(0), KeyName::of(None));
        let faults = [
            (Fault::TooLong, "too_long"),
            (Fault::NotCompact, "malformed"),
            (Fault::NotBase64url, "malformed"),
            (Fault::Header(NotAnObject::Syntax), "malformed"),
            (Fault::Claims(NotAnObject::Syntax), "malformed"),
            (Fault::Critical, "malformed"),
            (Fault::Missing("alg"), "malformed"),
            (Fault::IllTyped("exp"), "malformed"),
            (Fault::Missing("iss"), "issuer"),
            (Fault::Issuer, "issuer"),
            (Fault::OriginalIssuer, "issuer"),
            (Fault::Missing("aud"), "audience"),
            (Fault::Audience, "audience"),
            (Fault::Missing("exp"), "claim"),
            (Fault::Missing("sub"), "claim"),
            (Fault::Claim, "claim"),
            (Fault::Client, "client"),
            (Fault::Bound, "bound"),
            (Fault::Confirmation, "bound"),
            (Fault::Undated, "undated"),
            (Fault::Algorithm, "algorithm"),
            (Fault::TokenType, "type"),
            (Fault::EmbeddedKey, "key"),
            (Fault::KeyAlgorithm, "key"),
            (Fault::NotYetValid("nbf"), "not_yet_valid"),
            (Fault::Signature, "signature"),
        ];
        let faults = faults.map(|(fault, reason)| (Rejection::Invalid(fault), Some(reason)));
        let others = [
            (Rejection::UnknownKey { issuer, name }, Some("key")),
            (Rejection::WrongKey { issuer, name, fault: Fault::Signature }, Some("signature")),
            (Rejection::Expired, None),
            (Rejection::NoKeys { issuer }, None),
        ];
        for (rejection, reason) in faults.into_iter().chain(others) {
            assert_eq!(rejection.reason().map(Reason::name), reason, "{rejection:?}");
        }
    }

    #[test]
    fn every_reason_is_documented_once_and_in_order() {
        let page = include_str!("../../../docs/operations.md");
        let (_, section) = page.split_once("### Why a token was refused").unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let documented: Vec<&str> = rows.map(|(name, _)| name).take(Reason::ALL.len()).collect();
        assert_eq!(documented, Reason::ALL.map(Reason::name));
    }
}
