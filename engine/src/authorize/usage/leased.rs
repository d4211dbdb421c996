//! Counts of the requests that were released by leases. A lease keeps the number of its kind, so that a request costs one
//! addition.

use crate::{map::HashMap, route::RuleId, wire};

/// The most kinds that are kept apart, and the most bytes of the names in them. Any more are counted together.
pub(super) const KINDS_MAX: usize = 1_000;
const BYTES_MAX: usize = 128 << 10;

/// The number of all other kinds.
const OTHERS: u16 = u16::MAX;

/// Counts since the last report, by kind.
#[derive(Debug, Default)]
pub(super) struct LeasedUses {
    kinds: HashMap<Kind, u16>,
    bytes: usize,
    counts: Vec<u64>,
    others: u64,
    is_counted: bool,
}

/// Requests of one client that one rule released by the same scopes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    rule: RuleId,
    client: String,
    granted: Vec<String>,
}

impl LeasedUses {
    /// The number of a kind.
    pub(super) fn kind(&mut self, rule: RuleId, client: &str, granted: Vec<String>) -> u16 {
        let kind = Kind { rule, client: client.to_owned(), granted };
        if let Some(number) = self.kinds.get(&kind) {
            return *number;
        }
        let bytes = self.bytes + client.len() + kind.granted.iter().map(String::len).sum::<usize>();
        let number = u16::try_from(self.counts.len()).unwrap_or(OTHERS);
        if self.counts.len() >= KINDS_MAX || bytes > BYTES_MAX {
            return OTHERS;
        }
        self.bytes = bytes;
        self.counts.push(0);
        self.kinds.insert(kind, number);
        number
    }

    /// A request of this kind was released.
    pub(super) fn count(&mut self, kind: u16) {
        self.is_counted = true;
        match self.counts.get_mut(usize::from(kind)) {
            Some(count) => *count += 1,
            None => self.others += 1,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        !self.is_counted
    }

    /// Returns and resets the counts, and how many requests were of other kinds.
    pub(super) fn take(&mut self) -> (Vec<wire::Use>, u64) {
        let Self { kinds, counts, others, is_counted, .. } = self;
        *is_counted = false;
        let mut uses = Vec::new();
        for (Kind { rule, client, granted }, number) in kinds {
            let count = counts.get_mut(usize::from(*number)).map(std::mem::take).unwrap_or_default();
            if count > 0 {
                uses.push(wire::Use {
                    route: u32::try_from(rule.0).ok(),
                    client_id: client.clone(),
                    missing: Vec::new(),
                    count,
                    granted: granted.clone(),
                });
            }
        }
        (uses, std::mem::take(others))
    }
}

/// The scopes of a route that release the requests of a session: those that are all required, and those of the first group
/// that is met.
pub(in crate::authorize) fn granted(route: &wire::Route, holds: impl Fn(&String) -> bool) -> Vec<String> {
    let met = route.any_of.iter().find(|group| !group.scopes.is_empty() && group.scopes.iter().all(&holds));
    route.all_of.iter().chain(met.into_iter().flat_map(|group| &group.scopes)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_apart_until_they_are_too_many_and_no_request_is_lost() {
        let mut uses = LeasedUses::default();
        let read = uses.kind(RuleId(1), "web", vec!["read".into()]);
        let write = uses.kind(RuleId(1), "web", vec!["write".into()]);
        assert_eq!(uses.kind(RuleId(1), "web", vec!["read".into()]), read);
        assert!(read != write && uses.is_empty());
        (0..3).for_each(|_| uses.count(read));
        uses.count(write);
        let (mut taken, others) = uses.take();
        taken.sort_by_key(|used| used.count);
        let used = |scope: &str, count| wire::Use {
            route: Some(1),
            client_id: "web".into(),
            count,
            granted: vec![scope.into()],
            ..wire::Use::default()
        };
        assert_eq!((taken, others), (vec![used("write", 1), used("read", 3)], 0));
        assert!(uses.is_empty() && uses.take() == (Vec::new(), 0));
        for n in 0..2 * KINDS_MAX {
            let kind = uses.kind(RuleId(n), "app", Vec::new());
            uses.count(kind);
        }
        let (taken, others) = uses.take();
        assert_eq!((taken.len(), others), (KINDS_MAX - 2, u64::try_from(KINDS_MAX).unwrap() + 2));
        let kind = uses.kind(RuleId(0), &"x".repeat(BYTES_MAX), Vec::new());
        assert_eq!(kind, OTHERS);
    }

    #[test]
    fn what_released_a_request_is_all_that_is_required_and_the_first_group_that_is_met() {
        let scopes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let group = |names: &[&str]| wire::Scopes { scopes: scopes(names) };
        let any_of = vec![group(&[]), group(&["b", "c"]), group(&["d"]), group(&["b"])];
        let route = wire::Route { all_of: scopes(&["a"]), any_of, ..wire::Route::default() };
        for (held, expected) in [(&["a", "b", "d"][..], &["a", "d"][..]), (&["a", "b", "c"], &["a", "b", "c"])] {
            assert_eq!(granted(&route, |scope| held.contains(&scope.as_str())), expected);
        }
        assert_eq!(granted(&wire::Route::default(), |_| true), [""; 0]);
    }
}
