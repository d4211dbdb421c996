//! Tests of the cache of verified tokens.

use super::{
    bounded_cache::weight,
    principal::Principal,
    token_cache::{Lookup, TokenCache, TokenTag},
};
use crate::{
    authorize::fixtures,
    policy::Policy,
    token::{Facts, IssuerId, KeyId, KeySet, Verified},
};
use jwt_simple::prelude::*;
use std::{rc::Rc, sync::LazyLock};

const NOW_MS: u64 = 10_000;

/// A token, without its signature: the cache keeps what was verified, and verifies nothing.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9";

static POLICY: LazyLock<Policy> = LazyLock::new(|| fixtures::policy("enforce"));

/// The facts of a token, which its `jti` tells from others; `padding` bytes longer than the shortest.
fn facts(number: u32, padding: usize) -> Facts {
    let facts = fixtures::principal(&POLICY, &["read"]).facts.clone();
    Facts { jti: Some(number.to_string()), grant: "x".repeat(padding), ..facts }
}

fn signed(number: u32, padding: usize, key: KeyId) -> Rc<Principal> {
    Rc::new(Principal::verified(Verified { facts: facts(number, padding), issuer: IssuerId(0), key }, &POLICY))
}

/// A token of one digit, long enough that the allocator's part does not count.
fn token(number: u32) -> Rc<Principal> {
    signed(number, BYTES, some_key())
}

/// Tokens of one size are told apart by their numbers.
fn number(principal: &Principal) -> u32 {
    principal.facts.jti.as_ref().unwrap().parse().unwrap()
}

fn numbers(principals: Vec<Rc<Principal>>) -> Vec<u32> {
    principals.iter().map(|principal| number(principal)).collect()
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

const BYTES: usize = 1_000;

fn bytes_of(principal: &Rc<Principal>) -> usize {
    weight::<TokenTag, _>(principal)
}

/// A cache with room for this many tokens.
fn cache(tokens_max: usize) -> TokenCache {
    TokenCache::new(tokens_max * bytes_of(&token(0)))
}

#[derive(Debug, PartialEq, Eq)]
enum Got {
    Hit(u32),
    Dead(u32),
    Miss,
}

fn get(cache: &mut TokenCache, token: u32, now_ms: u64) -> Got {
    match cache.get(&cache.tag(&token.to_string()), now_ms) {
        Lookup::Hit(principal) => Got::Hit(number(&principal)),
        Lookup::Dead(principal) => Got::Dead(number(&principal)),
        Lookup::Miss => Got::Miss,
    }
}

fn insert(cache: &mut TokenCache, token: u32, principal: Rc<Principal>) -> Vec<u32> {
    numbers(cache.insert(cache.tag(&token.to_string()), principal))
}

#[test]
fn an_entry_is_found_until_its_token_dies() {
    let mut cache = cache(2);
    let dies_at_ms = facts(1, 0).dies_at_ms;
    assert_eq!(insert(&mut cache, 1, token(1)), [0; 0]);
    assert_eq!(get(&mut cache, 1, dies_at_ms - 1), Got::Hit(1));
    assert_eq!(get(&mut cache, 2, dies_at_ms - 1), Got::Miss);
    assert_eq!(get(&mut cache, 1, dies_at_ms), Got::Dead(1));
    assert_eq!(get(&mut cache, 1, dies_at_ms - 1), Got::Miss);
    assert_eq!(cache.len(), 0);
}

#[test]
fn the_least_recently_used_entry_makes_room_and_is_handed_back() {
    let mut cache = cache(2);
    assert_eq!(insert(&mut cache, 1, token(1)), [0; 0]);
    assert_eq!(insert(&mut cache, 2, token(2)), [0; 0]);
    assert_eq!(get(&mut cache, 1, NOW_MS), Got::Hit(1));
    assert_eq!(insert(&mut cache, 3, token(3)), [2]);
    assert_eq!(insert(&mut cache, 3, token(4)), [3]);
    assert_eq!(get(&mut cache, 1, NOW_MS), Got::Hit(1));
    assert_eq!(get(&mut cache, 3, NOW_MS), Got::Hit(4));
    assert_eq!(cache.len(), 2);
}

#[test]
fn a_long_token_takes_the_place_of_several_and_one_that_is_too_long_is_not_kept() {
    let mut cache = cache(3);
    for number in 1..=3 {
        assert_eq!(insert(&mut cache, number, token(number)), [0; 0]);
    }
    let one = bytes_of(&token(0));
    assert_eq!(insert(&mut cache, 4, signed(4, BYTES + one, some_key())), [1, 2]);
    assert_eq!(cache.len(), 2);
    assert_eq!(insert(&mut cache, 5, signed(5, BYTES + 3 * one, some_key())), [3, 4, 5]);
    assert_eq!(cache.len(), 0);
    // What has left takes no room.
    for number in 1..=3 {
        assert_eq!(insert(&mut cache, number, token(number)), [0; 0]);
    }
}

#[test]
fn tokens_of_a_withdrawn_key_are_forgotten() {
    let [withdrawn, kept] = [ES256KeyPair::generate().with_key_id("1"), ES256KeyPair::generate().with_key_id("2")];
    let (all, ids) = keys(&[&withdrawn, &kept]);
    let (left, _) = keys(&[&kept]);
    let mut cache = cache(10);
    insert(&mut cache, 1, signed(1, 0, ids[0]));
    insert(&mut cache, 2, signed(2, 0, ids[1]));
    let mut retain = |id, keys| numbers(cache.retain_keys(|issuer| issuer == IssuerId(id), keys));
    assert_eq!(retain(0, &all), [0; 0]);
    assert_eq!(retain(1, &left), [0; 0], "another issuer's");
    assert_eq!(retain(0, &left), [1]);
    assert_eq!(get(&mut cache, 1, NOW_MS), Got::Miss);
    assert_eq!(get(&mut cache, 2, NOW_MS), Got::Hit(2));
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
