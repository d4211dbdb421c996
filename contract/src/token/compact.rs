//! The outer form of a token: the compact serialization of a JWS (RFC 7515, section 7.1).

use super::Algorithm;
use super::{Fault, Signed};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use sha2::{Digest as _, Sha256};

/// The maximum length of an access token in bytes, whatever a policy allows: all headers of a request have 60 KiB by
/// default in Envoy.
pub const TOKEN_BYTES_MAX: usize = 60 * 1024;

/// SHA-256 of a token as it was sent. It identifies the token wherever the token itself must not be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenDigest(pub [u8; 32]);

impl TokenDigest {
    /// The digest of `token`.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// The three parts of a token, decoded.
pub(super) struct Compact<'a> {
    signing_input: &'a str,
    pub(super) header: Vec<u8>,
    pub(super) claims: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, Fault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(Fault::NotCompact)?;
        let (header, claims) = signing_input.split_once('.').ok_or(Fault::NotCompact)?;
        if claims.contains('.') {
            return Err(Fault::NotCompact);
        }
        Ok(Self { signing_input, header: decode(header)?, claims: decode(claims)?, signature: decode(signature)? })
    }

    pub(super) fn signed(self, algorithm: Algorithm) -> Signed<'a> {
        Signed { algorithm, signing_input: self.signing_input, signature: self.signature }
    }
}

/// Strict: padding and white space are rejected, and the unused bits of the last character must be zero. Otherwise one
/// token would have several spellings (RFC 4648, section 3.5).
pub(super) fn decode(part: &str) -> Result<Vec<u8>, Fault> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::NotBase64url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_exactly_three_parts() {
        assert!(Compact::parse("e30.e30.AA").is_ok());
        for token in ["", ".", "e30", "e30.e30", "e30.e30.AA.", ".e30.e30.AA", "a.b.c.d.e"] {
            let fault = Compact::parse(token).err();
            assert_eq!(fault, Some(Fault::NotCompact), "{token}");
        }
    }

    #[test]
    fn only_the_canonical_base64url_is_accepted() {
        assert_eq!(decode("_-8"), Ok(vec![0xff, 0xef]));
        for part in ["_-8=", "/+8", "_-9", "AB", "A", "AA A", "AA\n", "A.", "é"] {
            assert_eq!(decode(part), Err(Fault::NotBase64url), "{part}");
        }
    }

    #[test]
    fn a_token_over_60_kib_is_refused_before_it_is_read() {
        let token = format!("e30.e30.{}", "A".repeat(TOKEN_BYTES_MAX - 8));
        assert!(Compact::parse(&token).is_ok());
        let token = format!("e30.e30.{}", "A".repeat(TOKEN_BYTES_MAX - 7));
        assert_eq!(Compact::parse(&token).err(), Some(Fault::TooLong));
    }
}
