//! The public id of a session.

use crate::KeyKind;
use base16ct::lower;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The length of a session id in bytes.
pub const ID_BYTES: usize = 16;

/// The public id of a session: the first 16 bytes of SHA-256(kind, 0x00, issuer, 0x00, key, 0x00, client), displayed as 32
/// lower-case hex digits. Because it is a digest, it is safe in URLs and logs.
///
/// The kind keeps a machine client `web` and a session claim `web` apart. The client keeps apart the clients that share one
/// login at an identity provider: each has a session of its own, with its own scopes and limits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; ID_BYTES]);

impl SessionId {
    /// The id of the session that `key` identifies at `issuer`, for one client; `client` is empty without one.
    pub fn of(kind: KeyKind, issuer: &str, key: &str, client: &str) -> Self {
        let mut hash = Sha256::new_with_prefix(kind.as_str());
        for field in [issuer, key, client] {
            hash.update([0]);
            hash.update(field);
        }
        let digest = hash.finalize();
        let mut id = [0; ID_BYTES];
        for (to, from) in id.iter_mut().zip(digest) {
            *to = from;
        }
        Self(id)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 2 * ID_BYTES];
        f.write_str(lower::encode_str(&self.0, &mut digits).map_err(|_| fmt::Error)?)
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
        let mut id = [0; ID_BYTES];
        let read = lower::decode(text, &mut id).map_err(|_| NotAnId)?;
        if read.len() == ID_BYTES { Ok(Self(id)) } else { Err(NotAnId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_first_half_of_the_digest_of_kind_issuer_key_and_client() {
        // printf 'claim\0https://id.example.com\0s-1\0web' | sha256sum | cut -c1-32
        let id = SessionId::of(KeyKind::Claim, "https://id.example.com", "s-1", "web");
        assert_eq!(id.to_string(), "d4444e9c9d20f12f28bd95001fb91ebb");
        // printf 'machine\0https://id.example.com\0web\0web' | sha256sum | cut -c1-32
        let id = SessionId::of(KeyKind::Machine, "https://id.example.com", "web", "web");
        assert_eq!(id.to_string(), "38f14406eaee4909c610fd81954c4e09");
    }

    #[test]
    fn kinds_issuers_keys_and_clients_are_kept_apart() {
        let of = |kind, [issuer, key, client]: [&str; 3]| SessionId::of(kind, issuer, key, client);
        let ids = [
            of(KeyKind::Claim, ["a", "bc", "d"]),
            of(KeyKind::Claim, ["ab", "c", "d"]),
            of(KeyKind::Claim, ["a", "b", "cd"]),
            of(KeyKind::Claim, ["a", "bc", ""]),
            of(KeyKind::Machine, ["a", "bc", "d"]),
            of(KeyKind::Login, ["a", "bc", "d"]),
        ];
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
    }

    #[test]
    fn an_id_reads_back_from_its_text_and_nothing_else_does() {
        let id = SessionId::of(KeyKind::Claim, "i", "k", "");
        assert_eq!(id.to_string().parse(), Ok(id));
        let upper = id.to_string().to_uppercase();
        for wrong in ["", "00", "zz", &upper, &format!("{id}0"), &"é".repeat(16)] {
            assert_eq!(wrong.parse::<SessionId>(), Err(NotAnId), "{wrong}");
        }
    }
}
