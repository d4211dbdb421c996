//! Tests of the cache of verified tokens.

use super::token_cache::{Entry, Lookup, TokenCache};
use crate::{
    authorize::fixtures,
    token::{Facts, IssuerId, KeyId, KeySet, Verified},
};
use jwt_simple::prelude::*;
use std::rc::Rc;

const NOW_MS: u64 = 10_000;

/// A token, without its signature: the cache keeps what was verified, and verifies nothing.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9";

fn facts() -> Facts {
    fixtures::principal(&fixtures::policy("enforce"), &["read"]).facts.clone()
}

fn verified(key: KeyId) -> Verified {
    Verified { facts: facts(), issuer: IssuerId(0), key }
}

/// A set of these keys, and the id of each.
fn keys(pairs: &[&ES256KeyPair]) -> (KeySet, Vec<KeyId>) {
    let jwks: Vec<String> = pairs.iter().map(|pair| pair.public_key().to_jwk()).collect();
    let set = KeySet::parse(format!("{{\"keys\":[{}]}}", jwks.join(",")).as_bytes()).unwrap();
    let ids = set.ids().collect();
    (set, ids)
}

fn some_key() -> KeyId {
    keys(&[&ES256KeyPair::generate()]).1[0]
}

/// What an entry of these tests takes, in bytes, and what is reckoned beside it.
const BYTES: usize = 1_000;
const ENTRY_BYTES: usize = 160;

/// A cache with room for this many entries.
fn cache(tokens_max: usize) -> TokenCache<u32> {
    TokenCache::new(tokens_max * (BYTES + ENTRY_BYTES))
}

fn get(cache: &mut TokenCache<u32>, token: u32, now_ms: u64) -> Lookup<u32> {
    cache.get(&cache.tag(&token.to_string()), now_ms)
}

fn insert(cache: &mut TokenCache<u32>, token: u32, entry: Entry<u32>) -> Vec<Rc<u32>> {
    cache.insert(cache.tag(&token.to_string()), entry)
}

fn entry(value: u32) -> Entry<u32> {
    Entry::new(&verified(some_key()), Rc::new(value), BYTES)
}

#[test]
fn an_entry_is_found_until_its_token_dies() {
    let mut cache = cache(2);
    let dies_at_ms = facts().dies_at_ms;
    assert!(insert(&mut cache, 1, entry(1)).is_empty());
    assert_eq!(get(&mut cache, 1, dies_at_ms - 1), Lookup::Hit(Rc::new(1)));
    assert_eq!(get(&mut cache, 2, dies_at_ms - 1), Lookup::Miss);
    assert_eq!(get(&mut cache, 1, dies_at_ms), Lookup::Dead(Rc::new(1)));
    assert_eq!(get(&mut cache, 1, dies_at_ms - 1), Lookup::Miss);
    assert_eq!(cache.len(), 0);
}

#[test]
fn the_least_recently_used_entry_makes_room_and_is_handed_back() {
    let mut cache = cache(2);
    assert!(insert(&mut cache, 1, entry(1)).is_empty());
    assert!(insert(&mut cache, 2, entry(2)).is_empty());
    assert_eq!(get(&mut cache, 1, NOW_MS), Lookup::Hit(Rc::new(1)));
    assert_eq!(insert(&mut cache, 3, entry(3)), [Rc::new(2)]);
    assert_eq!(insert(&mut cache, 3, entry(4)), [Rc::new(3)]);
    assert_eq!(get(&mut cache, 1, NOW_MS), Lookup::Hit(Rc::new(1)));
    assert_eq!(get(&mut cache, 3, NOW_MS), Lookup::Hit(Rc::new(4)));
    assert_eq!(cache.len(), 2);
}

#[test]
fn a_long_token_takes_the_place_of_several_and_one_that_is_too_long_is_not_kept() {
    let mut cache = cache(3);
    for token in 1..=3 {
        assert!(insert(&mut cache, token, entry(token)).is_empty());
    }
    let long = Entry::new(&verified(some_key()), Rc::new(4), 2 * BYTES);
    assert_eq!(insert(&mut cache, 4, long), [Rc::new(1), Rc::new(2)]);
    assert_eq!(cache.len(), 2);
    let huge = Entry::new(&verified(some_key()), Rc::new(5), 4 * BYTES);
    assert_eq!(insert(&mut cache, 5, huge), [Rc::new(3), Rc::new(4), Rc::new(5)]);
    assert_eq!(cache.len(), 0);
}

#[test]
fn tokens_of_a_withdrawn_key_are_forgotten() {
    let [withdrawn, kept] = [ES256KeyPair::generate().with_key_id("1"), ES256KeyPair::generate().with_key_id("2")];
    let (all, ids) = keys(&[&withdrawn, &kept]);
    let (left, _) = keys(&[&kept]);
    let mut cache = cache(10);
    insert(&mut cache, 1, Entry::new(&verified(ids[0]), Rc::new(1), BYTES));
    insert(&mut cache, 2, Entry::new(&verified(ids[1]), Rc::new(2), BYTES));
    assert_eq!(cache.retain_keys(|issuer| issuer == IssuerId(0), &all), []);
    assert_eq!(cache.retain_keys(|issuer| issuer == IssuerId(1), &left), [], "another issuer's");
    assert_eq!(cache.retain_keys(|issuer| issuer == IssuerId(0), &left), [Rc::new(1)]);
    assert_eq!(get(&mut cache, 1, NOW_MS), Lookup::Miss);
    assert_eq!(get(&mut cache, 2, NOW_MS), Lookup::Hit(Rc::new(2)));
}

#[test]
fn what_stands_for_a_token_is_known_to_one_cache_only_and_depends_on_every_byte() {
    let (one, two) = (cache(1), cache(1));
    let token = TOKEN;
    assert_eq!(one.tag(token), one.tag(token));
    assert_ne!(one.tag(token), two.tag(token));
    for at in 0..token.len() {
        let mut other = token.to_owned().into_bytes();
        other[at] ^= 1;
        assert_ne!(one.tag(token), one.tag(std::str::from_utf8(&other).unwrap()), "{at}");
    }
}
