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

/// The scopes that are missing to meet a requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing<'a> {
    /// All of these.
    pub all_of: Vec<&'a str>,
    /// Unless it is empty, all scopes of one of these groups.
    pub any_of: Vec<Vec<&'a str>>,
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

    /// What is missing to these scopes: those of `all_of`, and of each group of `any_of` if none of them is held.
    pub fn missing<'a>(&self, held: &Held, register: &'a ScopeRegistry) -> Missing<'a> {
        let names = |ids: &[ScopeId]| -> Vec<&'a str> {
            let missing = ids.iter().filter(|id| !held.holds(**id)).filter_map(|id| register.entry(*id));
            missing.map(|entry| &*entry.name).collect()
        };
        let any_of: Vec<_> = self.scopes.any_of.iter().map(|group| names(group)).collect();
        let is_met = any_of.iter().any(Vec::is_empty);
        Missing { all_of: names(&self.scopes.all_of), any_of: if is_met { Vec::new() } else { any_of } }
    }

    /// All required scopes, separated by spaces and without duplicates, for `scope="…"` in a challenge (RFC 6750,
    /// section 3).
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// Whether it names a scope that a session must hold a live grant of.
    pub fn needs_approval(&self, register: &ScopeRegistry) -> bool {
        let mut named = self.scopes.all_of.iter().chain(self.scopes.any_of.iter().flatten());
        named.any(|id| register.entry(*id).is_some_and(|entry| entry.needs_approval))
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
