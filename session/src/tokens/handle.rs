//! Handles: what clients hold in place of the issuer's refresh tokens.
//!
//! A handle names its family and its generation, and has 256 random bits. Only its digest is kept, so a handle that is neither
//! the current one nor the one before it cannot be compared with anything: a tag shows that it was made here once. Without the
//! tag, whoever knows the id of a family could end it with a handle that he has made up.

use super::family::FamilyId;
use super::vault::Vault;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// What a handle begins with: those who look for secrets in code and logs know it by that.
const PREFIX: &str = "pcr_";

const SECRET_BYTES: usize = 32;
pub(super) const TAG_BYTES: usize = 16;
const GENERATION_BYTES: usize = 8;
const SIGNED_BYTES: usize = FamilyId::BYTES + GENERATION_BYTES + SECRET_BYTES;
const HANDLE_BYTES: usize = SIGNED_BYTES + TAG_BYTES;

/// The digest of a handle.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandleDigest(pub(super) [u8; 32]);

/// Written by hand: it is of no use to anybody, and nobody has to see it.
impl fmt::Debug for HandleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandleDigest")
    }
}

/// A handle.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) family: FamilyId,
    pub(super) generation: u64,
    bytes: [u8; HANDLE_BYTES],
}

/// Written by hand because whoever has the handle can use it.
impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("family", &self.family).field("generation", &self.generation).finish()
    }
}

impl Handle {
    /// A new one. `None`: the system has no random numbers.
    pub(super) fn make(vault: &Vault, family: FamilyId, generation: u64) -> Option<Self> {
        let secret: [u8; SECRET_BYTES] = super::vault::random()?;
        let mut signed = Vec::with_capacity(HANDLE_BYTES);
        signed.extend(family.0);
        signed.extend(generation.to_be_bytes());
        signed.extend(secret);
        let tag = vault.tag(&signed)?;
        signed.extend(tag);
        Some(Self { family, generation, bytes: signed.try_into().ok()? })
    }

    /// Reads one; `None` if the text is anything else, such as a refresh token of an issuer.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let bytes: [u8; HANDLE_BYTES] = bytes.try_into().ok()?;
        let family = FamilyId(*bytes.first_chunk()?);
        let generation = u64::from_be_bytes(*bytes.get(FamilyId::BYTES..)?.first_chunk()?);
        Some(Self { family, generation, bytes })
    }

    /// What the client gets.
    pub(super) fn text(&self) -> String {
        let mut text = PREFIX.to_owned();
        BASE64_URL_SAFE_NO_PAD.encode_string(self.bytes, &mut text);
        text
    }

    /// What is kept of it.
    pub(super) fn digest(&self) -> HandleDigest {
        HandleDigest(Sha256::digest(self.bytes).into())
    }

    /// Whether it was made here.
    pub(super) fn is_genuine(&self, vault: &Vault) -> bool {
        let (signed, tag) = self.bytes.split_at(SIGNED_BYTES);
        vault.has_tagged(signed, tag)
    }
}

#[cfg(test)]
mod tests {
    use super::super::vault::tests::vault;
    use super::*;

    #[test]
    fn a_handle_reads_back_and_says_nothing_of_itself() {
        let vault = vault(&["a"]);
        let handle = Handle::make(&vault, FamilyId([7; FamilyId::BYTES]), 3).unwrap();
        let text = handle.text();
        let read = Handle::read(&text).unwrap();
        assert_eq!((&read, read.generation, read.family, read.digest()), (&handle, 3, handle.family, handle.digest()));
        assert!(read.is_genuine(&vault) && !format!("{read:?}").contains(text.get(50..).unwrap()));
        assert_ne!(Handle::make(&vault, handle.family, 3).unwrap().text(), text, "256 bits are random");
    }

    #[test]
    fn what_was_not_made_here_is_not_genuine() {
        let handle = Handle::make(&vault(&["a"]), FamilyId([7; FamilyId::BYTES]), 3).unwrap();
        assert!(!handle.is_genuine(&vault(&["b"])));
        assert!(handle.is_genuine(&vault(&["b", "a"])), "made before a rotation of the keys");
        for at in 0..HANDLE_BYTES {
            let mut bytes = handle.bytes;
            bytes[at] ^= 1;
            let other = Handle { bytes, ..handle.clone() };
            assert!(!other.is_genuine(&vault(&["a"])), "{at}");
        }
    }

    #[test]
    fn nothing_else_is_a_handle() {
        let text = Handle::make(&vault(&["a"]), FamilyId([7; FamilyId::BYTES]), 3).unwrap().text();
        let shorter = [text.get(1..).unwrap(), text.get(..text.len() - 1).unwrap()];
        for other in ["", "pcr_", "abc", shorter[0], shorter[1], &format!("{text}A"), &format!(" {text}")] {
            assert!(Handle::read(other).is_none(), "{other}");
        }
    }
}
