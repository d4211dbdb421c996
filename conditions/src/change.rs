//! How two sets of conditions differ, condition by condition.

use crate::{Set, parsed::Condition};
use std::collections::BTreeMap;

/// What became of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is not there any more.
    Removed,
    /// It forbids other requests, or may.
    Forbids,
    /// It answers in another way.
    Answer,
    /// It is new.
    Added,
}

impl Set {
    /// What became of each condition in a newer set, by `@id`; those that are the same are left out.
    pub fn changes(&self, newer: &Self) -> Vec<(String, Change)> {
        let (old, new) = (self.by_id(), newer.by_id());
        let of_old = old.iter().filter_map(|(id, old)| {
            let change = match new.get(id) {
                None => Change::Removed,
                Some(new) if new.expr != old.expr => Change::Forbids,
                Some(new) if new.annotations != old.annotations => Change::Answer,
                Some(_) => return None,
            };
            Some(((*id).to_owned(), change))
        });
        let added = new.keys().filter(|id| !old.contains_key(*id)).map(|id| ((*id).to_owned(), Change::Added));
        let mut changes: Vec<_> = of_old.chain(added).collect();
        changes.sort_by(|(a, a_change), (b, b_change)| (a_change, a).cmp(&(b_change, b)));
        changes
    }

    fn by_id(&self) -> BTreeMap<&str, &Condition> {
        self.conditions().map(|condition| (condition.annotations.id.as_str(), condition)).collect()
    }
}
