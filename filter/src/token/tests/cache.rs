//! The cache of verified tokens.

use super::world::*;
use crate::token::{Entry, IssuerId, KeySet, Lookup, TokenCache};
use serde_json::json;
use std::{num::NonZeroUsize, rc::Rc};

fn cache(tokens_max: usize) -> TokenCache<u32> {
    TokenCache::new(NonZeroUsize::new(tokens_max).unwrap())
}

fn get(cache: &mut TokenCache<u32>, token: u32, now_ms: u64) -> Lookup<u32> {
    cache.get(&cache.tag(&token.to_string()), now_ms)
}

fn insert(cache: &mut TokenCache<u32>, token: u32, entry: Entry<u32>) -> Option<Rc<u32>> {
    cache.insert(cache.tag(&token.to_string()), entry)
}

fn entry(value: u32) -> Entry<u32> {
    Entry::new(&check(&good()).unwrap(), Rc::new(value))
}

#[test]
fn an_entry_is_found_until_its_token_dies() {
    let mut cache = cache(2);
    let dies_at_ms = check(&good()).unwrap().facts.dies_at_ms;
    assert!(insert(&mut cache, 1, entry(1)).is_none());
    assert_eq!(get(&mut cache, 1, dies_at_ms - 1), Lookup::Hit(Rc::new(1)));
    assert_eq!(get(&mut cache, 2, dies_at_ms - 1), Lookup::Miss);
    assert_eq!(get(&mut cache, 1, dies_at_ms), Lookup::Dead(Rc::new(1)));
    assert_eq!(get(&mut cache, 1, dies_at_ms - 1), Lookup::Miss);
    assert!(cache.is_empty());
}

#[test]
fn the_least_recently_used_entry_makes_room_and_is_handed_back() {
    let mut cache = cache(2);
    assert!(insert(&mut cache, 1, entry(1)).is_none());
    assert!(insert(&mut cache, 2, entry(2)).is_none());
    assert_eq!(get(&mut cache, 1, NOW_MS), Lookup::Hit(Rc::new(1)));
    assert_eq!(insert(&mut cache, 3, entry(3)), Some(Rc::new(2)));
    assert_eq!(insert(&mut cache, 3, entry(4)), Some(Rc::new(3)));
    assert_eq!(get(&mut cache, 1, NOW_MS), Lookup::Hit(Rc::new(1)));
    assert_eq!(get(&mut cache, 3, NOW_MS), Lookup::Hit(Rc::new(4)));
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
    insert(&mut cache, 1, Entry::new(&by_ed, Rc::new(1)));
    insert(&mut cache, 2, Entry::new(&by_p256, Rc::new(2)));
    let all = WORLD.rings[0].keys().unwrap();
    assert_eq!(cache.retain_keys(IssuerId(0), all), []);
    let p256 = format!("{{\"keys\":[{}]}}", WORLD.p256.public_key().to_jwk());
    let p256 = KeySet::parse(p256.as_bytes()).unwrap();
    assert_eq!(cache.retain_keys(IssuerId(1), &p256), [], "another issuer's");
    assert_eq!(cache.retain_keys(IssuerId(0), &p256), [Rc::new(1)]);
    assert_eq!(get(&mut cache, 1, NOW_MS), Lookup::Miss);
    assert_eq!(get(&mut cache, 2, NOW_MS), Lookup::Hit(Rc::new(2)));
}

#[test]
fn what_stands_for_a_token_is_known_to_one_cache_only_and_depends_on_every_byte() {
    let (one, two) = (cache(1), cache(1));
    let token = good();
    assert_eq!(one.tag(&token), one.tag(&token));
    assert_ne!(one.tag(&token), two.tag(&token));
    for at in 0..token.len() {
        let mut other = token.clone().into_bytes();
        other[at] ^= 1;
        assert_ne!(one.tag(&token), one.tag(std::str::from_utf8(&other).unwrap()), "{at}");
    }
}
