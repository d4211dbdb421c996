//! The scope registry: every scope that a rule can require, and who owns it.

use super::{Date, Held, Requirement};
use std::{collections::HashMap, sync::Arc};

/// A scope of a registry. Ids are dense and in declaration order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(pub(super) u32);

/// The registry entry of a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The scope itself.
    pub name: Arc<str>,
    /// The owner of the scope.
    pub owner: Option<String>,
    /// The date by which someone should check whether the scope is still needed.
    pub review_by: Option<Date>,
    /// A human-readable description of what it allows.
    pub description: Option<String>,
    /// A token's word is not enough: its session must hold a live grant of the scope.
    pub needs_approval: bool,
}

/// Every scope declared in the policy.
#[derive(Debug, Clone, Default)]
pub struct ScopeRegistry {
    entries: Vec<Entry>,
    ids: HashMap<Arc<str>, ScopeId>,
}

impl ScopeRegistry {
    /// Adds a scope; `None` if the name is already declared, or the registry is full.
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

    /// The registry entry of a scope.
    pub fn entry(&self, ScopeId(id): ScopeId) -> Option<&Entry> {
        self.entries.get(id as usize)
    }

    /// All scopes, in declaration order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The scopes that a session must hold a live grant of.
    pub fn approvals(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|entry| entry.needs_approval).map(|entry| &*entry.name)
    }

    pub(super) fn names<'a>(&'a self, ids: &'a [ScopeId]) -> impl Iterator<Item = &'a str> {
        ids.iter().filter_map(|id| self.entry(*id)).map(|entry| &*entry.name)
    }

    /// The scopes of the registry that are among `names`. Others are ignored: no rule can require them.
    pub fn held<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Held {
        names.into_iter().filter_map(|name| self.id(name)).collect()
    }

    /// The names of these scopes in declaration order, separated by spaces.
    pub fn list(&self, held: &Held) -> String {
        let mut list = String::new();
        for entry in held.ids().filter_map(|id| self.entry(id)) {
            if !list.is_empty() {
                list.push(' ');
            }
            list.push_str(&entry.name);
        }
        list
    }

    /// A requirement of all scopes in `all_of` and, unless `any_of` is empty, of all scopes of at least one of its
    /// groups.
    pub fn requirement(&self, all_of: &[ScopeId], any_of: &[Vec<ScopeId>]) -> Requirement {
        Requirement::new(self, all_of, any_of)
    }
}
