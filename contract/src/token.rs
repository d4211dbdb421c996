//! Verifying access tokens: JWTs (RFC 7519) under RFC 9068 and the best practices of RFC 8725.
//!
//! This module parses and judges header and claims, strictly; only the signature is left to the host or a library. Cheap
//! checks come first: a token that has expired or is meant for someone else costs no signature verification and
//! triggers no key fetch. Either way the client only sees `invalid_token` or `token_expired`.

mod binding;
mod claim_values;
mod claimed;
mod compact;
mod condition_facts;
mod dates;
mod der;
pub mod dpop;
mod facts;
mod fault;
mod header;
mod identity;
mod introspected;
mod issuer;
mod json;
mod judge;
mod jwk;
mod key_ring;
mod key_rings;
mod key_set;
mod material;
mod reason;
mod rejection;
mod scope_claim;
mod scopes;
mod session_key;
mod signature;
mod statement;
#[cfg(test)]
#[expect(clippy::string_slice, reason = "what these tests cut is ASCII")]
mod tests;
mod thumbprint;
mod unverified;
mod verify;

pub use crate::session_id::SessionId;
pub use binding::{Binding, CertificateDigest, Thumbprint};
pub use claim_values::{ClaimValues, Scalar};
pub use claimed::Claimed;
pub use compact::{TOKEN_BYTES_MAX, TokenDigest};
pub use condition_facts::{ConditionFacts, FactClaims};
pub use facts::Facts;
pub use fault::Fault;
pub use identity::{CLIENT_CREDENTIALS, TEXT_BYTES_MAX};
pub use introspected::{Agreement, INTROSPECTION_BYTES_MAX, Introspected, is_opaque};
pub use issuer::{Algorithm, BoundTokens, CLAIMS_MAX, ClaimNames, Issuer, IssuerId, KeySource, ORIGINAL_ISSUER};
pub use jwk::{Key, KeyId, Skip};
pub use key_ring::{
    FETCH_TIMEOUT_MS, FetchError, Fetched, KEY_REFETCH_INTERVAL_MS, KEY_REFETCHES_AT_ONCE, KEY_RETRY_FIRST_MS,
    KEY_RETRY_LAST_MS, KeyName, KeyRing, Miss,
};
pub use key_rings::KeyRings;
pub use key_set::{KEYS_MAX, KEYS_TRIED_MAX, KeySet, KeySetError, SignatureError, Skipped};
pub use reason::Reason;
pub use rejection::Rejection;
pub use scope_claim::{MalformedPointer, ScopeClaim};
pub use scopes::SCOPE_BYTES_MAX;
pub use session_key::SessionKey;
pub use signature::{HostQuestion, HostVerifier, Signed};
pub use statement::{Demands, Statement, Unfit, Unproven};
pub use unverified::Unverified;
pub use verify::{Judged, Verified, verify};
