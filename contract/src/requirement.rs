//! The scopes that a route requires: all of one list, and all of at least one group.

use crate::wire;

/// Required scopes, identified by `S`: their text on the check stream, their id in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement<S> {
    /// Scopes that are all required.
    pub all_of: Box<[S]>,
    /// Alternative groups: all scopes of at least one group are required as well. If empty, it adds no condition.
    pub any_of: Box<[Box<[S]>]>,
}

impl<S> Requirement<S> {
    /// Whether the scopes for which `holds` returns true satisfy the requirement.
    pub fn met_by(&self, holds: impl Fn(&S) -> bool) -> bool {
        // Every token would satisfy an empty group, so an empty group never counts as met.
        let any =
            self.any_of.is_empty() || self.any_of.iter().any(|group| !group.is_empty() && group.iter().all(&holds));
        any && self.all_of.iter().all(&holds)
    }
}

impl Requirement<String> {
    /// The requirement of a route as the filter's hello describes it.
    pub fn of(all_of: Vec<String>, any_of: Vec<wire::Scopes>) -> Self {
        Self { all_of: all_of.into(), any_of: any_of.into_iter().map(|group| group.scopes.into()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_met(all_of: &[&str], any_of: &[&[&str]], held: &[&str]) -> bool {
        let all_of = all_of.iter().map(|scope| (*scope).to_owned()).collect();
        let group = |scopes: &&[&str]| wire::Scopes { scopes: scopes.iter().map(|s| (*s).to_owned()).collect() };
        let requirement = Requirement::of(all_of, any_of.iter().map(group).collect());
        requirement.met_by(|scope| held.contains(&scope.as_str()))
    }

    #[test]
    fn all_of_and_one_whole_group_are_required() {
        let groups: &[&[&str]] = &[&["b", "c"], &["d"]];
        for (held, met) in [
            (&["a", "d"][..], true),
            (&["a", "b", "c"], true),
            (&["a", "b"], false),
            (&["b", "c", "d"], false),
            (&["a"], false),
            (&[], false),
        ] {
            assert_eq!(is_met(&["a"], groups, held), met, "{held:?}");
        }
        assert!(is_met(&["a"], &[], &["a"]));
        assert!(is_met(&[], &[], &[]), "nothing is required");
    }

    #[test]
    fn a_group_without_scopes_is_met_by_nobody() {
        assert!(!is_met(&["a"], &[&[]], &["a"]));
    }
}
