//! What a rule requires of a token's scopes.

use super::{Held, ScopeId, ScopeRegistry};
use std::collections::HashSet;

/// What a rule requires.
///
/// Stores ids instead of a bit set: a rule refers to a handful of scopes, whatever the size of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    scopes: portcullis_contract::Requirement<ScopeId>,
    challenge: Box<str>,
}

impl Requirement {
    pub(super) fn new(register: &ScopeRegistry, all_of: &[ScopeId], any_of: &[Vec<ScopeId>]) -> Self {
        let mut seen = HashSet::new();
        let named = all_of.iter().chain(any_of.iter().flatten());
        let names: Vec<&str> = named
            .filter(|id| seen.insert(**id))
            .filter_map(|id| register.entry(*id))
            .map(|entry| &*entry.name)
            .collect();
        Self {
            scopes: portcullis_contract::Requirement {
                all_of: all_of.into(),
                any_of: any_of.iter().map(|group| group.as_slice().into()).collect(),
            },
            challenge: names.join(" ").into(),
        }
    }

    /// Whether these scopes are sufficient.
    pub fn met_by(&self, held: &Held) -> bool {
        self.scopes.met_by(|id| held.holds(*id))
    }

    /// All required scopes, separated by spaces and without duplicates, for `scope="…"` in a challenge (RFC 6750,
    /// section 3).
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The names of the scopes that are always required.
    pub fn all_of<'a>(&'a self, register: &'a ScopeRegistry) -> impl Iterator<Item = &'a str> {
        register.names(&self.scopes.all_of)
    }

    /// The names of the scopes in each group.
    pub fn any_of<'a>(&'a self, register: &'a ScopeRegistry) -> impl Iterator<Item = Vec<&'a str>> {
        self.scopes.any_of.iter().map(|group| register.names(group).collect())
    }
}
