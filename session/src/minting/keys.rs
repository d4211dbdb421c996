//! The signing keys: which one signs at an instant, and which are published.
//!
//! A key signs from its `from` until the `from` of the next one, and is published from when it is configured until its `until`.
//! The time from the next key's `from` to its `until` is the overlap, in which verifiers know both.

use portcullis_contract::signing::SigningKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How long verifiers may keep the published keys at most, in seconds.
const MAX_AGE_S: u64 = 300;

/// A key with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatedKey {
    /// The key.
    pub key: Arc<SigningKey>,
    /// From when it signs; `None`: always.
    pub from_ms: Option<u64>,
    /// Until when it is published, and its tokens live at most; `None`: for ever.
    pub until_ms: Option<u64>,
}

impl DatedKey {
    fn has_begun(&self, now_ms: u64) -> bool {
        self.from_ms.is_none_or(|from_ms| from_ms <= now_ms)
    }

    fn is_over(&self, now_ms: u64) -> bool {
        self.until_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }
}

/// The keys of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeys {
    /// `iss` of every token.
    pub issuer: Box<str>,
    keys: Box<[DatedKey]>,
    /// Tells them from all other keys.
    digest: [u8; 32],
}

impl SigningKeys {
    /// Keys whose names differ. Of several that begin at the same time, the first one signs.
    pub fn new(issuer: &str, keys: Vec<DatedKey>) -> Self {
        let mut digest = Sha256::new();
        digest.update(issuer);
        for DatedKey { key, .. } in &keys {
            digest.update([0]);
            digest.update(key.kid());
            digest.update([0]);
            digest.update(key.thumbprint());
        }
        Self { issuer: issuer.into(), keys: keys.into(), digest: digest.finalize().into() }
    }

    /// The key that signs at `now_ms`.
    pub fn signer(&self, now_ms: u64) -> Option<&DatedKey> {
        let live = self.keys.iter().rev().filter(|key| key.has_begun(now_ms) && !key.is_over(now_ms));
        live.max_by_key(|key| key.from_ms)
    }

    /// Tells them from all other keys.
    pub(super) const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The JWK Set (RFC 7517) at `now_ms`: also those that are yet to sign.
    pub fn jwks(&self, now_ms: u64) -> Value {
        let live = self.keys.iter().filter(|key| !key.is_over(now_ms));
        json!({"keys": live.map(|key| key.key.public_jwk()).collect::<Vec<_>>()})
    }

    /// How long verifiers may keep the set, in seconds: half of the shortest overlap at most.
    pub fn max_age_s(&self) -> u64 {
        let overlaps = self.successions().filter_map(|(old, new)| Some(old.until_ms?.saturating_sub(new.from_ms?)));
        overlaps.map(|overlap_ms| overlap_ms / 2 / 1_000).fold(MAX_AGE_S, u64::min)
    }

    /// The first key that is no longer published when the next one begins to sign, and that next one.
    pub fn gap(&self) -> Option<(&DatedKey, &DatedKey)> {
        self.successions().find(|(old, new)| {
            old.until_ms.is_some_and(|until_ms| new.from_ms.is_none_or(|from_ms| until_ms <= from_ms))
        })
    }

    /// Each key with the one that signs after it.
    fn successions(&self) -> impl Iterator<Item = (&DatedKey, &DatedKey)> {
        let mut sorted: Vec<&DatedKey> = self.keys.iter().collect();
        sorted.sort_by_key(|key| key.from_ms);
        let later = sorted.clone().into_iter().skip(1);
        sorted.into_iter().zip(later).filter(|(old, new)| old.from_ms != new.from_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_contract::signing::SigningAlgorithm;

    fn key(kid: &str, from_ms: Option<u64>, until_ms: Option<u64>) -> DatedKey {
        DatedKey { key: Arc::new(SigningKey::generate(SigningAlgorithm::Ed25519, kid)), from_ms, until_ms }
    }

    fn keys(keys: Vec<DatedKey>) -> SigningKeys {
        SigningKeys::new("https://portcullis.example", keys)
    }

    fn rotated() -> SigningKeys {
        keys(vec![key("old", None, Some(700_000)), key("new", Some(100_000), None)])
    }

    #[test]
    fn the_key_that_has_begun_last_signs_and_all_are_published_until_they_end() {
        let keys = rotated();
        let published = |now_ms| -> Vec<String> {
            let set = keys.jwks(now_ms);
            let kids = set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned());
            kids.collect()
        };
        let signer = |now_ms| keys.signer(now_ms).map(|key| key.key.kid());
        assert_eq!((signer(0), signer(99_999), signer(100_000)), (Some("old"), Some("old"), Some("new")));
        assert_eq!(
            (published(0), published(699_999)),
            (vec!["old".to_owned(), "new".to_owned()], vec!["old".to_owned(), "new".to_owned()])
        );
        assert_eq!((published(700_000), signer(u64::MAX)), (vec!["new".to_owned()], Some("new")));
    }

    #[test]
    fn no_key_signs_before_its_time_or_after_it() {
        let keys = keys(vec![key("only", Some(10), Some(20))]);
        assert_eq!([9, 10, 19, 20].map(|now_ms| keys.signer(now_ms).is_some()), [false, true, true, false]);
    }

    #[test]
    fn of_keys_that_begin_together_the_first_signs() {
        assert_eq!(keys(vec![key("a", None, None), key("b", None, None)]).signer(5).unwrap().key.kid(), "a");
    }

    #[test]
    fn verifiers_keep_the_set_for_half_of_the_shortest_overlap_at_most() {
        assert_eq!(keys(vec![key("only", None, None)]).max_age_s(), MAX_AGE_S);
        assert_eq!(rotated().max_age_s(), 300);
        let short = keys(vec![key("a", None, Some(160_000)), key("b", Some(100_000), None)]);
        assert_eq!(short.max_age_s(), 30);
    }

    #[test]
    fn a_key_that_ends_before_the_next_begins_is_a_gap() {
        assert!(rotated().gap().is_none());
        let gap = keys(vec![key("b", Some(100), None), key("a", None, Some(100))]);
        let (old, new) = gap.gap().unwrap();
        assert_eq!((old.key.kid(), new.key.kid()), ("a", "b"));
    }
}
