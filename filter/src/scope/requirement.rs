//! What a rule requires of a token's scopes.

use super::{Held, Register, ScopeId};
use std::collections::HashSet;

/// What a rule requires.
///
/// Ids rather than bits: a rule names a handful of scopes, whatever the size of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    all_of: Box<[ScopeId]>,
    any_of: Box<[Box<[ScopeId]>]>,
    challenge: Box<str>,
}

impl Requirement {
    pub(super) fn new(register: &Register, all_of: &[ScopeId], any_of: &[Vec<ScopeId>]) -> Self {
        let mut seen = HashSet::new();
        let named = all_of.iter().chain(any_of.iter().flatten());
        let names: Vec<&str> = named
            .filter(|id| seen.insert(**id))
            .filter_map(|id| register.entry(*id))
            .map(|entry| &*entry.name)
            .collect();
        Self {
            all_of: all_of.into(),
            any_of: any_of.iter().map(|group| group.as_slice().into()).collect(),
            challenge: names.join(" ").into(),
        }
    }

    /// Whether these scopes are enough.
    pub fn met_by(&self, held: &Held) -> bool {
        let holds = |ids: &[ScopeId]| ids.iter().all(|id| held.holds(*id));
        // A group of no scopes would be held by everyone, so it counts for nothing.
        let any = self.any_of.is_empty() || self.any_of.iter().any(|group| !group.is_empty() && holds(group));
        any && holds(&self.all_of)
    }

    /// Everything that is named here, separated by spaces and without repetition, for `scope="…"` in a challenge
    /// (RFC 6750, section 3).
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The names of the scopes that are all required.
    pub fn all_of<'a>(&'a self, register: &'a Register) -> impl Iterator<Item = &'a str> {
        register.names(&self.all_of)
    }

    /// The names of each group of which one is required in full.
    pub fn any_of<'a>(&'a self, register: &'a Register) -> impl Iterator<Item = Vec<&'a str>> {
        self.any_of.iter().map(|group| register.names(group).collect())
    }
}
