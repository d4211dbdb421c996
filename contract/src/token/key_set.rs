//! An issuer's keys: a JWK Set (RFC 7517, section 5) from a server that may be broken or hostile.

use super::{
    HostVerifier, Key, KeyId, Signed, Skip,
    json::{NotAnObject, Object},
};
use serde_json::Value;
use std::fmt;

/// The longest key set, in bytes.
pub const KEY_SET_BYTES_MAX: usize = 256 * 1024;
/// The most keys of a set, usable or not.
pub const KEYS_MAX: usize = 64;
/// The most keys that are tried on one token: each may cost a millisecond.
pub const KEYS_TRIED_MAX: usize = 8;

/// The usable keys of an issuer: at least one, but for an issuer that signs nothing.
#[derive(Debug, Clone)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<Skipped>,
}

/// A key that is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// Its place in the set.
    pub index: usize,
    /// Why.
    pub why: Skip,
}

/// Why a key set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySetError {
    /// Longer than [`KEY_SET_BYTES_MAX`].
    TooLong,
    /// Not a JSON object without duplicate members.
    NotAnObject(NotAnObject),
    /// `keys` is missing or not an array.
    NoKeys,
    /// More than [`KEYS_MAX`] keys.
    TooMany,
    /// None of the keys can be used.
    NoUsableKey(Vec<Skipped>),
}

/// Why no key of a set vouches for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureError {
    /// No key has the token's `kid`; or it has none, and no key fits. A newer set may hold the key.
    UnknownKey,
    /// The key that `kid` names is not for the token's algorithm.
    KeyAlgorithm,
    /// The key that `kid` names did not make the signature.
    Signature,
}

impl KeySet {
    /// Of an issuer that signs nothing.
    pub(super) const fn none() -> Self {
        Self { keys: Vec::new(), skipped: Vec::new() }
    }

    /// Reads a set. Keys that cannot be used are left out: a set may hold keys for others.
    ///
    /// # Errors
    /// When there is nothing to read, too much of it, or no key that can be used.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > KEY_SET_BYTES_MAX {
            return Err(KeySetError::TooLong);
        }
        let set = Object::parse(json).map_err(KeySetError::NotAnObject)?;
        let Some(Value::Array(members)) = set.into_member("keys") else {
            return Err(KeySetError::NoKeys);
        };
        if members.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, member) in members.into_iter().enumerate() {
            let jwk = Object::from_value(member).ok_or(Skip::NotAnObject);
            match jwk.and_then(|jwk| Key::import(&jwk)) {
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(Skipped { index, why }),
            }
        }
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey(skipped));
        }
        Ok(Self { keys, skipped })
    }

    /// The keys that were left out.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The ids of its keys, in their order.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(Key::id)
    }

    /// Whether the set holds this key, unchanged.
    pub fn holds(&self, id: KeyId) -> bool {
        self.keys.iter().any(|key| key.id() == id)
    }

    /// Whether both sets hold the same keys.
    pub fn same_keys(&self, other: &Self) -> bool {
        let within = |one: &Self, two: &Self| one.keys.iter().all(|key| two.holds(key.id()));
        within(self, other) && within(other, self)
    }

    /// The key that made the signature. A `kid` only ever narrows the choice; keys may share one (RFC 7517, section 4.5).
    ///
    /// # Errors
    /// Says what there was instead.
    pub fn verify(&self, kid: Option<&str>, signed: &Signed<'_>, host: HostVerifier) -> Result<KeyId, SignatureError> {
        let for_algorithm = |key: &&Key| key.is_for(signed.algorithm);
        let mut tried = self.named(kid).filter(for_algorithm).take(KEYS_TRIED_MAX);
        if let Some(key) = tried.find(|key| key.verify(signed, host)) {
            return Ok(key.id());
        }
        // Without a `kid`, a forgery can't be told from a token of a key that is too new for this set.
        if kid.is_none() || self.named(kid).next().is_none() {
            Err(SignatureError::UnknownKey)
        } else if !self.named(kid).any(|key| for_algorithm(&key)) {
            Err(SignatureError::KeyAlgorithm)
        } else {
            Err(SignatureError::Signature)
        }
    }

    /// The keys that `kid` names; all, if there is none.
    pub(super) fn named(&self, kid: Option<&str>) -> impl Iterator<Item = &Key> {
        let named = move |key: &&Key| kid.is_none_or(|kid| key.kid() == Some(kid));
        self.keys.iter().filter(named)
    }
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the key set is longer than {KEY_SET_BYTES_MAX} bytes"),
            Self::NotAnObject(why) => write!(f, "the key set {why}"),
            Self::NoKeys => f.write_str("the key set has no array `keys`"),
            Self::TooMany => write!(f, "the key set holds more than {KEYS_MAX} keys"),
            Self::NoUsableKey(skipped) => {
                f.write_str("the key set holds no usable key")?;
                skipped.iter().try_for_each(|key| write!(f, "; {key}"))
            }
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`keys[{}]`: {}", self.index, self.why)
    }
}
