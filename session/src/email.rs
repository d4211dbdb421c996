//! The e-mail addresses that verified tokens have said: signals may name a user by one. Only digests are kept, keyed with a
//! secret of the store: they tell nothing to whoever has the digests alone.

use portcullis_contract::token::TokenDigest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The digest of an e-mail address at an issuer: the first 16 bytes of SHA-256(secret of the store, 0x00, issuer, 0x00, address
/// in lower case).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EmailDigest([u8; 16]);

impl EmailDigest {
    /// That of an address.
    pub fn of(secret: &str, issuer: &str, address: &str) -> Self {
        let TokenDigest(digest) = TokenDigest::of(&format!("{secret}\0{issuer}\0{}", address.to_lowercase()));
        let mut first = [0; 16];
        first.iter_mut().zip(digest).for_each(|(byte, of)| *byte = of);
        Self(first)
    }
}

impl fmt::Display for EmailDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EmailDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for EmailDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EmailDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16).ok().filter(|_| text.len() == 32);
        number.map(|number| Self(number.to_be_bytes())).ok_or_else(|| serde::de::Error::custom("not a digest"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_its_store_issuer_and_address_whatever_the_case() {
        let digest = EmailDigest::of("secret", "https://id", "Alice@Example.com");
        assert_eq!(digest, EmailDigest::of("secret", "https://id", "alice@example.com"));
        let others = [("other", "https://id", "alice@example.com"), ("secret", "https://i", "alice@example.com")];
        assert!(others.iter().all(|(secret, issuer, address)| EmailDigest::of(secret, issuer, address) != digest));
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!((text.len(), serde_json::from_str::<EmailDigest>(&text).unwrap()), (34, digest));
        assert!(serde_json::from_str::<EmailDigest>("\"12\"").is_err());
    }
}
