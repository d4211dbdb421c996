//! A map that forgets what was not needed for longest: bounded, without a clock and without a list.
//!
//! Entries are young or old. When half of the bound is young, the young become the old ones, and the old ones are forgotten;
//! an old one that is needed becomes young again. So the latest half at least is always there.

use std::collections::HashMap;
use std::hash::Hash;

/// The map.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Copy + Eq + Hash, V: Default> Recent<K, V> {
    /// An empty map that keeps at most that many entries.
    pub(super) fn new(kept_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: kept_max.div_ceil(2).max(1) }
    }

    /// The entry of a key, which is made if it is not there.
    pub(super) fn at(&mut self, key: K) -> &mut V {
        if !self.young.contains_key(&key) {
            let entry = self.old.remove(&key).unwrap_or_default();
            if self.young.len() >= self.half {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key, entry);
        }
        self.young.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_needed_lately_is_kept_and_the_rest_is_bounded() {
        let mut recent = Recent::<u32, u32>::new(8);
        for key in 0..1_000 {
            *recent.at(key) = key + 1;
            *recent.at(7_777) += 1;
            assert!(recent.young.len() <= 4 && recent.old.len() <= 4, "{key}");
        }
        assert_eq!((*recent.at(7_777), *recent.at(999), *recent.at(998)), (1_000, 1_000, 999));
        assert_eq!(*recent.at(5), 0, "forgotten long ago");
    }
}
