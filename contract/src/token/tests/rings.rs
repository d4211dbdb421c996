//! Issuers that share a key set, and how often it is fetched.

use super::world::*;
use crate::token::{IssuerId, KeyRings, KeySource};
use std::time::Duration;

/// The largest key set, in bytes.
const BYTES_MAX: usize = 1 << 20;

fn at(authority: &str, cluster: &str, refresh_s: u64) -> KeySource {
    let refresh = Duration::from_secs(refresh_s);
    let (authority, cluster) = (authority.to_owned(), cluster.to_owned());
    KeySource::Remote { authority, path: "/jwks".to_owned(), https: true, cluster, refresh }
}

fn ids<const N: usize>(ids: [usize; N]) -> Vec<IssuerId> {
    ids.map(IssuerId).to_vec()
}

#[test]
fn issuers_of_one_place_share_one_fetch_and_its_keys() {
    let inline = WORLD.issuers[0].keys.clone();
    let KeySource::Inline(keys) = &inline else { panic!() };
    let sources = [at("a", "x", 600), inline.clone(), at("b", "x", 600), at("a", "x", 60), at("a", "y", 600)];
    let mut rings = KeyRings::new(&sources).unwrap();
    assert_eq!(rings.due(9, 0), ids([0, 2, 4]));
    assert_eq!(
        [0, 1, 2, 3, 4, 5].map(|issuer| rings.is_shared(IssuerId(3), IssuerId(issuer))),
        [true, false, false, true, false, false]
    );
    let has_keys = |rings: &KeyRings| [0, 1, 2, 3, 4, 5].map(|issuer| rings.keys(IssuerId(issuer)).is_some());
    assert!(rings.ring_mut(IssuerId(0)).unwrap().fetched(200, keys.as_bytes(), BYTES_MAX, 0).is_ok());
    assert_eq!(has_keys(&rings), [true, true, false, true, false, false]);
    for other in [2, 4] {
        assert!(rings.ring_mut(IssuerId(other)).unwrap().fetched(200, keys.as_bytes(), BYTES_MAX, 0).is_ok());
    }
    assert_eq!(rings.due(9, 60_000 - 1), []);
    assert_eq!(rings.due(9, 60_000), ids([0]), "as often as the fourth issuer demands");
}

#[test]
fn fetches_that_are_not_started_at_once_stay_due() {
    let sources: Vec<_> = (0..5).map(|n| at(&n.to_string(), "x", 600)).collect();
    let mut rings = KeyRings::new(&sources).unwrap();
    assert_eq!([0; 4].map(|now_ms| rings.due(2, now_ms).len()), [2, 2, 1, 0]);
}

#[test]
fn an_unusable_inline_set_is_reported_with_its_issuer() {
    let sources = [at("a", "x", 600), KeySource::Inline("{}".to_owned())];
    assert_eq!(KeyRings::new(&sources).unwrap_err().0, IssuerId(1));
}
