//! Seals what is kept of families: AES-256-GCM, with keys that are rotated with overlap.
//!
//! Each family has a key of its own, derived from the configured one: so few texts are sealed with it that their random nonces
//! cannot meet. What is sealed is bound to its family and its version.

use super::family::FamilyId;
use super::handle::TAG_BYTES;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// The length of a key.
pub(crate) const KEY_BYTES: usize = 32;

const NONCE_BYTES: usize = 12;

/// What is derived from a key.
const OF_FAMILY: &[u8] = b"portcullis refresh family";
const OF_TAGS: &[u8] = b"portcullis refresh handle";

/// A key, and its name in what is sealed with it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealingKey {
    /// At most 255 bytes.
    pub(crate) kid: String,
    /// The key.
    pub(crate) key: [u8; KEY_BYTES],
}

/// Written by hand because the key is a secret.
impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Why something cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sealed {
    /// The key that it was sealed with is not configured.
    NoKey,
    /// It is damaged, or of another family or version.
    Damaged,
}

/// The keys: the first one seals, all of them open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vault(Vec<SealingKey>);

impl Vault {
    pub(super) const fn new(keys: Vec<SealingKey>) -> Self {
        Self(keys)
    }

    /// Seals a version of a family. `None`: there is no key, or the system has no random numbers.
    pub(super) fn seal(&self, family: FamilyId, version: u64, text: &[u8]) -> Option<Vec<u8>> {
        let SealingKey { kid, key } = self.0.first()?;
        let nonce: [u8; NONCE_BYTES] = random()?;
        let payload = Payload { msg: text, aad: &bound_to(family, version) };
        let sealed = cipher(key, family)?.encrypt(&Nonce::from(nonce), payload).ok()?;
        let mut all = Vec::with_capacity(1 + kid.len() + NONCE_BYTES + sealed.len());
        all.push(u8::try_from(kid.len()).ok()?);
        all.extend(kid.as_bytes());
        all.extend(nonce);
        all.extend(sealed);
        Some(all)
    }

    /// Opens what was sealed as this version of the family.
    pub(super) fn open(&self, family: FamilyId, version: u64, all: &[u8]) -> Result<Vec<u8>, Sealed> {
        let (length, rest) = all.split_first().ok_or(Sealed::Damaged)?;
        let (kid, rest) = rest.split_at_checked(usize::from(*length)).ok_or(Sealed::Damaged)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Sealed::Damaged)?;
        let SealingKey { key, .. } = self.0.iter().find(|key| key.kid.as_bytes() == kid).ok_or(Sealed::NoKey)?;
        let payload = Payload { msg: sealed, aad: &bound_to(family, version) };
        let cipher = cipher(key, family).ok_or(Sealed::NoKey)?;
        cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_| Sealed::Damaged)
    }

    /// Shows that something was made here.
    pub(super) fn tag(&self, signed: &[u8]) -> Option<[u8; TAG_BYTES]> {
        tag(self.0.first()?, signed)
    }

    /// Whether a tag was made here.
    pub(super) fn has_tagged(&self, signed: &[u8], shown: &[u8]) -> bool {
        self.0.iter().filter_map(|key| tag(key, signed)).any(|tag| tag.ct_eq(shown).into())
    }
}

fn tag(key: &SealingKey, signed: &[u8]) -> Option<[u8; TAG_BYTES]> {
    hmac(&hmac(&key.key, &[OF_TAGS])?, &[signed])?.first_chunk().copied()
}

fn cipher(key: &[u8; KEY_BYTES], family: FamilyId) -> Option<Aes256Gcm> {
    let own = hmac(key, &[OF_FAMILY, &family.0])?;
    Some(Aes256Gcm::new(&Key::<Aes256Gcm>::from(own)))
}

fn bound_to(family: FamilyId, version: u64) -> Vec<u8> {
    [b"portcullis family 1".as_slice(), &family.0, &version.to_be_bytes()].concat()
}

fn hmac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> Option<[u8; 32]> {
    // A key may have any length, so there is always one.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac.finalize().into_bytes().into())
}

/// Random bytes of the system.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const FAMILY: FamilyId = FamilyId([1; FamilyId::BYTES]);

    /// A vault with keys of these names; the first one seals.
    pub(in super::super) fn vault(kids: &[&str]) -> Vault {
        let key = |kid: &&str| SealingKey {
            kid: (*kid).to_owned(),
            key: std::array::from_fn(|at| kid.bytes().next().unwrap_or_default().wrapping_add(at as u8)),
        };
        Vault::new(kids.iter().map(key).collect())
    }

    #[test]
    fn what_was_sealed_opens_as_that_version_of_that_family_only() {
        let vault = vault(&["a"]);
        let sealed = vault.seal(FAMILY, 5, b"secret").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(vault.open(FAMILY, 5, &sealed).unwrap(), b"secret");
        assert_eq!(vault.open(FAMILY, 6, &sealed), Err(Sealed::Damaged));
        assert_eq!(vault.open(FamilyId([2; FamilyId::BYTES]), 5, &sealed), Err(Sealed::Damaged));
        assert_ne!(vault.seal(FAMILY, 5, b"secret").unwrap(), sealed);
    }

    #[test]
    fn keys_are_rotated_with_overlap() {
        let old = vault(&["old"]).seal(FAMILY, 1, b"x").unwrap();
        let both = vault(&["new", "old"]);
        assert_eq!(both.open(FAMILY, 1, &old).unwrap(), b"x");
        let new = both.seal(FAMILY, 2, b"y").unwrap();
        assert_eq!(vault(&["new"]).open(FAMILY, 2, &new).unwrap(), b"y");
        assert_eq!(vault(&["new"]).open(FAMILY, 1, &old), Err(Sealed::NoKey));
    }

    #[test]
    fn no_byte_of_it_can_be_another() {
        let vault = vault(&["a"]);
        let sealed = vault.seal(FAMILY, 1, b"x").unwrap();
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert!(vault.open(FAMILY, 1, &other).is_err(), "{at}");
            assert!(vault.open(FAMILY, 1, &sealed[..at]).is_err(), "{at}");
        }
    }
}
