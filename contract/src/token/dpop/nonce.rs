//! The nonces that proofs must contain where the policy asks for them (RFC 9449, section 9).
//!
//! A nonce names a stretch of time, with a code that only holders of the key can make. So every worker that has the key
//! accepts the nonces of every other, and nobody has to remember any.

use super::super::compact::decode;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;

/// How long one nonce is handed out, in milliseconds. It is accepted for as long again, so that a request can be on its way.
pub const NONCE_TURN_MS: u64 = 60_000;

/// The bytes of a turn, and of the code behind it.
const TURN_BYTES: usize = 8;
const CODE_BYTES: usize = 16;

/// The key of the nonces: the same for all workers of a session service, and for all of its replicas.
#[derive(Clone, PartialEq, Eq)]
pub struct NonceKey([u8; 32]);

/// Written by hand because it is a secret.
impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey")
    }
}

/// A nonce that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonce {
    /// It is handed out now.
    Current,
    /// It was handed out before: the client should be given the current one.
    Fading,
}

impl NonceKey {
    /// The key in these bytes; `None` unless there are 32.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The key that is derived from a secret of a store, which all replicas know.
    pub fn derive(secret: &str) -> Self {
        let mut mac = keyed(secret.as_bytes());
        mac.update(b"portcullis dpop nonce");
        Self(mac.finalize().into_bytes().into())
    }

    /// Its bytes, for the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// The nonce to hand out at `now_ms`, in milliseconds since the Unix epoch.
    pub fn issue(&self, now_ms: u64) -> String {
        self.nonce(now_ms / NONCE_TURN_MS)
    }

    /// Whether a nonce is accepted at `now_ms`. The clock of the worker that has handed it out can be ahead.
    pub fn judge(&self, nonce: &str, now_ms: u64) -> Option<Nonce> {
        let turn = now_ms / NONCE_TURN_MS;
        let bytes = decode(nonce).ok().filter(|bytes| bytes.len() == TURN_BYTES + CODE_BYTES)?;
        let (named, code) = bytes.split_first_chunk::<TURN_BYTES>()?;
        let named = u64::from_be_bytes(*named);
        let is_near = named.checked_add(1) == Some(turn) || named == turn || turn.checked_add(1) == Some(named);
        if !is_near || self.code(named).verify_truncated_left(code).is_err() {
            return None;
        }
        Some(if named < turn { Nonce::Fading } else { Nonce::Current })
    }

    fn nonce(&self, turn: u64) -> String {
        let code: [u8; 32] = self.code(turn).finalize().into_bytes().into();
        let bytes: Vec<u8> = turn.to_be_bytes().into_iter().chain(code.into_iter().take(CODE_BYTES)).collect();
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn code(&self, turn: u64) -> Hmac<Sha256> {
        let mut mac = keyed(&self.0);
        mac.update(&turn.to_be_bytes());
        mac
    }
}

/// HMAC takes keys of any length.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn a_nonce_is_accepted_for_two_turns_by_whoever_has_the_key() {
        let (key, same, other) = (NonceKey::derive("s"), NonceKey::derive("s"), NonceKey::derive("t"));
        let nonce = key.issue(NOW_MS);
        for (later_ms, expected) in [
            (0, Some(Nonce::Current)),
            (NONCE_TURN_MS - 1, Some(Nonce::Current)),
            (NONCE_TURN_MS, Some(Nonce::Fading)),
            (2 * NONCE_TURN_MS - 1, Some(Nonce::Fading)),
            (2 * NONCE_TURN_MS, None),
        ] {
            assert_eq!(same.judge(&nonce, NOW_MS + later_ms), expected, "{later_ms}");
            assert_eq!(other.judge(&nonce, NOW_MS + later_ms), None, "{later_ms}");
        }
        assert_eq!(key.judge(&nonce, NOW_MS - 1), Some(Nonce::Current), "a clock that is ahead");
        assert_eq!(key.judge(&nonce, NOW_MS - NONCE_TURN_MS - 1), None);
    }

    #[test]
    fn nothing_else_is_a_nonce() {
        let key = NonceKey::derive("s");
        let nonce = key.issue(NOW_MS);
        for index in 0..nonce.len() {
            let mut bytes = nonce.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.judge(std::str::from_utf8(&bytes).unwrap(), NOW_MS), None, "{index}");
        }
        for text in [
            "",
            "A",
            &nonce.replacen(char::is_alphanumeric, "", 1),
            &format!("{nonce}A"),
            &format!("{nonce}="),
            &"A".repeat(100_000),
        ] {
            assert_eq!(key.judge(text, NOW_MS), None);
        }
    }

    #[test]
    fn a_key_has_32_bytes_and_is_not_shown() {
        let key = NonceKey::derive("s");
        assert_eq!(NonceKey::read(&key.to_bytes()), Some(key.clone()));
        assert_eq!(NonceKey::read(&[1; 31]), None);
        assert_eq!(NonceKey::read(&[]), None);
        assert_eq!(format!("{key:?}"), "NonceKey");
    }
}
