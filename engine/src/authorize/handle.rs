//! The handle that a browser shows in place of a token.

use sha2::{Digest, Sha256};
use std::{fmt, ops::RangeInclusive};

/// The length of a handle in bytes. The session service's own have some hundred.
const BYTES: RangeInclusive<usize> = 32..=256;

/// The SHA-256 of a handle, which is all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HandleDigest([u8; 32]);

/// Written by hand: it says nothing to anybody.
impl fmt::Debug for HandleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandleDigest")
    }
}

impl HandleDigest {
    /// The digest of what a cookie has; `None` if it cannot be a handle: those are base64url, of some length.
    pub fn of(cookie: &str) -> Option<Self> {
        let is_handle = BYTES.contains(&cookie.len())
            && cookie.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        is_handle.then(|| Self(Sha256::digest(cookie.as_bytes()).into()))
    }

    /// As the session service is asked about it.
    pub(super) fn to_wire(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_base64url_of_some_length_can_be_a_handle() {
        let of = |text: &str| HandleDigest::of(text).is_some();
        for (text, expected) in [
            ("pcr_AZaz09-_".repeat(4), true),
            ("a".repeat(31), false),
            ("a".repeat(32), true),
            ("a".repeat(256), true),
            ("a".repeat(257), false),
            (format!("{}=", "a".repeat(40)), false),
            (format!("{}.b.c", "a".repeat(40)), false),
            ("ä".repeat(40), false),
            (String::new(), false),
        ] {
            assert_eq!(of(&text), expected, "{text}");
        }
        assert_ne!(HandleDigest::of(&"a".repeat(32)), HandleDigest::of(&"b".repeat(32)));
        // RFC 6234's algorithm, over the text.
        let digest = HandleDigest::of(&"a".repeat(32)).unwrap().to_wire();
        assert_eq!(digest, Sha256::digest("a".repeat(32)).to_vec());
    }
}
