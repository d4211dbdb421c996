//! Hash maps keyed by ids that Envoy or this crate assigns. An attacker cannot choose the keys, so a fast hash is safe;
//! several lookups per request make it worthwhile.

use foldhash::fast::RandomState;

/// A map with a fast hash.
pub type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// A set with a fast hash.
pub type HashSet<K> = std::collections::HashSet<K, RandomState>;
