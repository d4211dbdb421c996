//! What the policy says of tokens that are bound to a key or a certificate of their client.

use crate::token::dpop::ProofTerms;

/// How bound tokens are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Possession {
    /// Which proofs are accepted (RFC 9449).
    pub terms: ProofTerms,
    /// Whether a proof must contain a nonce.
    pub needs_nonce: bool,
    /// The names of the algorithms, separated by spaces, for challenges.
    pub algorithms: String,
    /// The scheme and the authority that clients use, without a slash at the end; `None`: those of the request.
    pub external_origin: Option<String>,
}
