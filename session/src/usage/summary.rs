//! The counts of several days, added up for a list.

use super::{Count, KEPT_MAX, Kind, Used};
use std::collections::BTreeMap;

/// The most entries of a list. Any more are added to the entry of their scope or route without a client.
const ENTRIES_MAX: usize = 2 * KEPT_MAX;

/// Counts by scope or route, and client.
#[derive(Debug, Default)]
pub struct Summary(BTreeMap<(Kind, String, String), Count>);

impl Summary {
    /// Adds the count of a day.
    pub fn add(&mut self, used: Used) {
        let Used { kind, name, client, count, .. } = used;
        let key = (kind, name, client);
        let has_room = self.0.len() < ENTRIES_MAX || self.0.contains_key(&key);
        let key = if has_room { key } else { (kind, key.1, String::new()) };
        self.0.entry(key).or_default().add(count);
    }

    /// The counts of scopes or routes: name, client and count, in order.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = (&str, &str, Count)> {
        let is_it = move |((of, ..), _): &(&(Kind, String, String), &Count)| *of == kind;
        self.0.iter().filter(is_it).map(|((_, name, client), count)| (name.as_str(), client.as_str(), *count))
    }

    /// Whether a scope may have helped to release a request of a client: such a request may be among those of scopes and clients
    /// that were too many to be kept apart.
    pub fn may_be_granted(&self, scope: &str, client: &str) -> bool {
        let is_granted = |scope: &str, client: &str| {
            let key = (Kind::Scope, scope.to_owned(), client.to_owned());
            self.0.get(&key).is_some_and(|count| count.granted > 0)
        };
        [(scope, client), (scope, ""), ("", client), ("", "")].iter().any(|(scope, client)| is_granted(scope, client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_for_several_together_accuses_none_of_them() {
        let granted = |name: &str, client: &str, granted| {
            let (name, client) = (name.to_owned(), client.to_owned());
            let count = Count { asked: 1, granted, ..Count::default() };
            let mut summary = Summary::default();
            summary.add(Used { day: 1, kind: Kind::Scope, name, client, count });
            summary.may_be_granted("orders:read", "web")
        };
        for (name, client) in [("orders:read", "web"), ("orders:read", ""), ("", "web"), ("", "")] {
            assert!(granted(name, client, 1) && !granted(name, client, 0), "{name} {client}");
        }
        assert!(!granted("orders:read", "other", 1) && !granted("orders:write", "web", 1));
    }
}
