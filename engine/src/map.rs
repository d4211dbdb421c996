//! Maps by numbers that Envoy or this crate gave: nobody outside chooses their keys, so that they need no hash that withstands
//! attack, and are looked up several times for each request.

use foldhash::fast::RandomState;

/// A map with a quick hash.
pub type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// A set with a quick hash.
pub type HashSet<K> = std::collections::HashSet<K, RandomState>;
