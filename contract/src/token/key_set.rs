//! An issuer's keys: a JWK Set (RFC 7517, section 5) from a server that may be broken or hostile.

use super::{
    HostVerifier, Key, KeyId, Signed, Skip,
    json::{NotAnObject, Object},
};
use serde_json::Value;
use std::{collections::BTreeSet, fmt};

/// The maximum number of keys in a set, usable or not.
pub const KEYS_MAX: usize = 1_000;
/// The maximum number of skipped keys in an error message.
const SKIPPED_SHOWN_MAX: usize = 8;
/// The maximum number of keys tried on one token: each can cost a millisecond.
pub const KEYS_TRIED_MAX: usize = 8;

/// The usable keys of an issuer: at least one, unless the issuer is opaque.
#[derive(Debug, Clone)]
pub struct KeySet {
    keys: Vec<Key>,
    /// The ids of all keys.
    ids: BTreeSet<KeyId>,
    skipped: Vec<Skipped>,
}

/// A key that is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// Its index in the set.
    pub index: usize,
    /// The reason.
    pub why: Skip,
}

/// Why a key set is unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySetError {
    /// Not a JSON object without duplicate members.
    NotAnObject(NotAnObject),
    /// `keys` is missing or not an array.
    NoKeys,
    /// More than [`KEYS_MAX`] keys.
    TooMany,
    /// None of the keys is usable.
    NoUsableKey(Vec<Skipped>),
}

/// Why no key of a set verifies a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureError {
    /// No key has the token's `kid`, or the token has no `kid` and no key matches. A newer set can contain the key.
    UnknownKey,
    /// The key that `kid` names cannot be used with the token's algorithm.
    KeyAlgorithm,
    /// The key that `kid` names did not make the signature.
    Signature,
}

impl KeySet {
    /// The key set of an opaque issuer.
    pub(super) const fn none() -> Self {
        Self { keys: Vec::new(), ids: BTreeSet::new(), skipped: Vec::new() }
    }

    /// Reads a set, whose size its source has limited. Unusable keys are skipped: a set can contain keys for other purposes.
    ///
    /// # Errors
    /// The set is malformed, has too many keys, or no usable one.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
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
        Ok(Self { ids: keys.iter().map(Key::id).collect(), keys, skipped })
    }

    /// The keys that were left out.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The ids of its keys, in their order.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(Key::id)
    }

    /// Whether the set contains this key unchanged.
    pub fn holds(&self, id: KeyId) -> bool {
        self.ids.contains(&id)
    }

    /// Whether both sets contain the same keys.
    pub fn same_keys(&self, other: &Self) -> bool {
        self.ids == other.ids
    }

    /// The key that made the signature. A `kid` only narrows the choice, since several keys can share one (RFC 7517,
    /// section 4.5).
    ///
    /// # Errors
    /// Returns why no key verifies the signature.
    pub fn verify(&self, kid: Option<&str>, signed: &Signed<'_>, host: HostVerifier) -> Result<KeyId, SignatureError> {
        let for_algorithm = |key: &&Key| key.is_for(signed.algorithm);
        let mut tried = self.named(kid).filter(for_algorithm).take(KEYS_TRIED_MAX);
        if let Some(key) = tried.find(|key| key.verify(signed, host)) {
            return Ok(key.id());
        }
        // Without a `kid`, a forgery cannot be distinguished from a token whose key is too new for this set.
        if kid.is_none() || self.named(kid).next().is_none() {
            Err(SignatureError::UnknownKey)
        } else if !self.named(kid).any(|key| for_algorithm(&key)) {
            Err(SignatureError::KeyAlgorithm)
        } else {
            Err(SignatureError::Signature)
        }
    }

    /// The keys that `kid` names; all keys without a `kid`.
    pub(super) fn named(&self, kid: Option<&str>) -> impl Iterator<Item = &Key> {
        let named = move |key: &&Key| kid.is_none_or(|kid| key.kid() == Some(kid));
        self.keys.iter().filter(named)
    }
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject(why) => write!(f, "the key set {why}"),
            Self::NoKeys => f.write_str("the key set has no `keys` array"),
            Self::TooMany => write!(f, "the key set contains more than {KEYS_MAX} keys"),
            Self::NoUsableKey(skipped) => {
                f.write_str("the key set contains no usable key")?;
                skipped.iter().take(SKIPPED_SHOWN_MAX).try_for_each(|key| write!(f, "; {key}"))?;
                match skipped.len().saturating_sub(SKIPPED_SHOWN_MAX) {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`keys[{}]`: {}", self.index, self.why)
    }
}
