//! How large tokens, their cache and key sets can be.

use crate::token::Fault;

/// The `limits` of a policy, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The longest token that is accepted.
    pub token_bytes: usize,
    /// The memory for a worker's verified tokens.
    pub token_cache_bytes: usize,
    /// The largest key set that is accepted from an issuer.
    pub key_set_bytes: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { token_bytes: 16 << 10, token_cache_bytes: 48 << 20, key_set_bytes: 1 << 20 }
    }
}

impl Sizes {
    /// Whether a token is short enough to be read.
    ///
    /// # Errors
    /// It is too long.
    pub const fn admit(&self, token: &str) -> Result<(), Fault> {
        if token.len() > self.token_bytes { Err(Fault::TooLong) } else { Ok(()) }
    }
}
