//! Verifying access tokens: JWTs (RFC 7519) under RFC 9068 and the best practices of RFC 8725.
//!
//! Header and claims are parsed and judged here, strictly; the host or jwt-simple only says whether a signature holds.
//! What is cheap comes first: a token that is expired, or meant for someone else, costs no signature check and
//! makes nobody fetch keys. The client is told no more than `invalid_token` or `token_expired` either way.

mod bearer;
mod cache;
mod claims;
mod compact;
mod dates;
mod der;
mod header;
mod introspected;
mod json;
mod jwk;
mod key_ring;
mod key_set;
mod rejection;
mod scopes;
mod session;
mod signature;
#[cfg(test)]
#[expect(clippy::string_slice, reason = "what these tests cut is ASCII")]
mod tests;

pub use bearer::{CredentialError, credentials};
pub use cache::{Entry, Lookup, TOKENS_MAX, TokenCache, TokenTag};
pub use claims::{Facts, TEXT_BYTES_MAX};
pub use compact::{TOKEN_BYTES_MAX, TokenDigest};
pub use introspected::{Agreement, INTROSPECTION_BYTES_MAX, Introspected, is_opaque};
pub use jwk::{Key, KeyId, Skip};
pub use key_ring::{
    FETCH_TIMEOUT_MS, FetchError, Fetched, KEY_REFETCH_INTERVAL_MS, KEY_RETRY_FIRST_MS, KEY_RETRY_LAST_MS, KeyRing,
    Miss,
};
pub use key_set::{KEY_SET_BYTES_MAX, KEYS_MAX, KEYS_TRIED_MAX, KeySet, KeySetError, Skipped, Unverified};
pub use rejection::{Fault, Rejection};
pub use scopes::{SCOPE_BYTES_MAX, SCOPES_MAX};
pub use session::{SessionKey, session_id};
pub use signature::{HostQuestion, HostVerifier, Signed};

use crate::policy::Issuer;
use compact::Compact;
use header::Header;
use json::Object;

/// An index into the issuers of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IssuerId(pub usize);

/// A token whose signature holds and whose claims are in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What the token says.
    pub facts: Facts,
    /// The key that verified it. When the issuer withdraws the key, the token is void.
    pub key: KeyId,
}

/// Verifies `token` at `now_ms`, in milliseconds since the Unix epoch. `rings` holds the keys of each of `issuers`,
/// in the same order; `host` is asked about signatures first.
///
/// # Errors
/// Says why the token is refused; [`Rejection::UnknownKey`] and [`Rejection::NoKeys`] may be cured by a fetch of keys,
/// see [`KeyRing::missing`].
pub fn verify(
    token: &str,
    issuers: &[Issuer],
    rings: &[KeyRing],
    host: HostVerifier,
    now_ms: u64,
) -> Result<Verified, Rejection> {
    let compact = Compact::parse(token)?;
    let header = Header::parse(&compact.header)?;
    let claims = Object::parse(&compact.claims).map_err(Fault::Claims)?;
    let (id, issuer) = issuer_of(&claims, issuers)?;
    header.admit(issuer)?;
    let facts = Facts::judge(&claims, id, issuer, TokenDigest::of(token), now_ms)?;
    let keys = rings.get(id.0).and_then(KeyRing::keys);
    let keys = keys.ok_or(Rejection::NoKeys { issuer: id })?;
    let signed = compact.signed(header.algorithm, header.typ);
    match keys.verify(header.kid.as_deref(), &signed, host) {
        Ok(key) => Ok(Verified { facts, key }),
        Err(Unverified::UnknownKey) => Err(Rejection::UnknownKey { issuer: id }),
        Err(Unverified::KeyAlgorithm) => Err(Fault::KeyAlgorithm.into()),
        Err(Unverified::Signature) => Err(Fault::Signature.into()),
    }
}

/// `iss` is compared exactly, without any URL normalisation (RFC 8725, section 3.8).
fn issuer_of<'a>(claims: &Object, issuers: &'a [Issuer]) -> Result<(IssuerId, &'a Issuer), Fault> {
    let iss = claims.string("iss")?.ok_or(Fault::Missing("iss"))?;
    let mut known = issuers.iter().enumerate();
    let known = known.find(|(_, known)| known.issuer == iss && !known.is_opaque());
    let (index, issuer) = known.ok_or(Fault::Issuer)?;
    Ok((IssuerId(index), issuer))
}
