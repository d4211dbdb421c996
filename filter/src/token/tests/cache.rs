//! The cache of verified tokens.

use super::world::*;
use crate::token::{Entry, IssuerId, KeySet, Lookup, TokenCache, TokenDigest};
use serde_json::json;
use std::{num::NonZeroUsize, rc::Rc};

fn cache(tokens_max: usize) -> TokenCache<u32> {
    TokenCache::new(NonZeroUsize::new(tokens_max).unwrap())
}

fn digest(token: u8) -> TokenDigest {
    TokenDigest([token; 32])
}

fn entry(value: u32) -> Entry<u32> {
    Entry::new(&check(&good()).unwrap(), Rc::new(value))
}

#[test]
fn an_entry_is_found_until_its_token_dies() {
    let mut cache = cache(2);
    let dies_at_ms = check(&good()).unwrap().facts.dies_at_ms;
    assert!(cache.insert(digest(1), entry(1)).is_none());
    assert_eq!(cache.get(&digest(1), dies_at_ms - 1), Lookup::Hit(Rc::new(1)));
    assert_eq!(cache.get(&digest(2), dies_at_ms - 1), Lookup::Miss);
    assert_eq!(cache.get(&digest(1), dies_at_ms), Lookup::Dead(Rc::new(1)));
    assert_eq!(cache.get(&digest(1), dies_at_ms - 1), Lookup::Miss);
    assert!(cache.is_empty());
}

#[test]
fn the_least_recently_used_entry_makes_room_and_is_handed_back() {
    let mut cache = cache(2);
    assert!(cache.insert(digest(1), entry(1)).is_none());
    assert!(cache.insert(digest(2), entry(2)).is_none());
    assert_eq!(cache.get(&digest(1), NOW_MS), Lookup::Hit(Rc::new(1)));
    assert_eq!(cache.insert(digest(3), entry(3)), Some(Rc::new(2)));
    assert_eq!(cache.insert(digest(3), entry(4)), Some(Rc::new(3)));
    assert_eq!(cache.get(&digest(1), NOW_MS), Lookup::Hit(Rc::new(1)));
    assert_eq!(cache.get(&digest(3), NOW_MS), Lookup::Hit(Rc::new(4)));
    assert_eq!(cache.len(), 2);
}

#[test]
fn tokens_of_a_withdrawn_key_are_forgotten() {
    let by_ed = check(&good()).unwrap();
    let claims = signable(claims(json!({})));
    let by_p256 = {
        use jwt_simple::prelude::*;
        WORLD.p256.sign_with_options(claims, &access_token()).unwrap()
    };
    let by_p256 = check(&by_p256).unwrap();
    let mut cache = cache(10);
    cache.insert(digest(1), Entry::new(&by_ed, Rc::new(1)));
    cache.insert(digest(2), Entry::new(&by_p256, Rc::new(2)));
    let all = WORLD.rings[0].keys().unwrap();
    assert_eq!(cache.retain_keys(IssuerId(0), all), []);
    let p256 = format!("{{\"keys\":[{}]}}", WORLD.p256.public_key().to_jwk());
    let p256 = KeySet::parse(p256.as_bytes()).unwrap();
    assert_eq!(cache.retain_keys(IssuerId(1), &p256), [], "another issuer's");
    assert_eq!(cache.retain_keys(IssuerId(0), &p256), [Rc::new(1)]);
    assert_eq!(cache.get(&digest(1), NOW_MS), Lookup::Miss);
    assert_eq!(cache.get(&digest(2), NOW_MS), Lookup::Hit(Rc::new(2)));
}
