//! The public id of a session.

use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The length of a session id in bytes.
pub const ID_BYTES: usize = 16;

/// The public id of a session: the first 16 bytes of SHA-256(issuer, 0x00, key), displayed as 32 lower-case hex digits.
/// Because it is a digest, it is safe in URLs and logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; ID_BYTES]);

impl SessionId {
    /// The id of the session that `key` identifies at `issuer`.
    pub fn of(issuer: &str, key: &str) -> Self {
        let digest = Sha256::new().chain_update(issuer).chain_update([0]).chain_update(key).finalize();
        let mut id = [0; ID_BYTES];
        for (to, from) in id.iter_mut().zip(digest) {
            *to = from;
        }
        Self(id)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 32 lower-case hex digits.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAnId;

impl FromStr for SessionId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.as_bytes();
        if digits.len() != 2 * ID_BYTES {
            return Err(NotAnId);
        }
        let mut id = [0; ID_BYTES];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return Err(NotAnId),
                };
                *byte = *byte << 4 | value;
            }
        }
        Ok(Self(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_first_half_of_the_digest_of_issuer_nul_key() {
        // printf 'https://id.example.com\0s-1' | sha256sum | cut -c1-32
        let id = SessionId::of("https://id.example.com", "s-1");
        assert_eq!(id.to_string(), "b6ad8222fc72547b27f898875a2bb654");
    }

    #[test]
    fn the_nul_keeps_issuer_and_key_apart() {
        assert_ne!(SessionId::of("ab", "c"), SessionId::of("a", "bc"));
    }

    #[test]
    fn an_id_reads_back_from_its_text_and_nothing_else_does() {
        let id = SessionId::of("i", "k");
        assert_eq!(id.to_string().parse(), Ok(id));
        let upper = id.to_string().to_uppercase();
        for wrong in ["", "00", "zz", &upper, &format!("{id}0"), &"é".repeat(16)] {
            assert_eq!(wrong.parse::<SessionId>(), Err(NotAnId), "{wrong}");
        }
    }
}
