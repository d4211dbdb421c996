//! The register: every scope that a rule may ask for, with who owns it.

use super::{Date, Held, Requirement};
use std::{collections::HashMap, sync::Arc};

/// A scope of a register. Ids are dense and follow the order of declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(pub(super) u32);

/// What the register says about a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The scope itself.
    pub name: Arc<str>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The day by which somebody should ask whether it is still needed.
    pub review_by: Option<Date>,
    /// What it allows, for people.
    pub description: Option<String>,
}

/// Every scope that the policy knows.
#[derive(Debug, Clone, Default)]
pub struct ScopeRegistry {
    entries: Vec<Entry>,
    ids: HashMap<Arc<str>, ScopeId>,
}

impl ScopeRegistry {
    /// Adds a scope; `None` when one of its name is already there, or when no more fit.
    pub fn declare(&mut self, entry: Entry) -> Option<ScopeId> {
        if self.ids.contains_key(&entry.name) {
            return None;
        }
        let id = ScopeId(u32::try_from(self.entries.len()).ok()?);
        self.ids.insert(Arc::clone(&entry.name), id);
        self.entries.push(entry);
        Some(id)
    }

    /// The scope with exactly this name.
    pub fn id(&self, name: &str) -> Option<ScopeId> {
        self.ids.get(name).copied()
    }

    /// What the register says about a scope.
    pub fn entry(&self, ScopeId(id): ScopeId) -> Option<&Entry> {
        self.entries.get(id as usize)
    }

    /// All scopes, in the order of declaration.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) fn names<'a>(&'a self, ids: &'a [ScopeId]) -> impl Iterator<Item = &'a str> {
        ids.iter().filter_map(|id| self.entry(*id)).map(|entry| &*entry.name)
    }

    /// Which scopes of the register are among `names`. Others mean nothing to any rule and are left out.
    pub fn held<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Held {
        names.into_iter().filter_map(|name| self.id(name)).collect()
    }

    /// The requirement of all scopes in `all_of` and, unless `any_of` is empty, of one of its groups in full.
    pub fn requirement(&self, all_of: &[ScopeId], any_of: &[Vec<ScopeId>]) -> Requirement {
        Requirement::new(self, all_of, any_of)
    }
}
