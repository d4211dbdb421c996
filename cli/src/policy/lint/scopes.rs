//! Checks of scopes and sets: overdue reviews, unused ones, scopes that are too coarse.

use super::{
    linter::{Bounds, Linter},
    warning::Warning,
};
use portcullis_engine::{
    policy::{Access, At},
    scope::{Date, Entry, Requirement},
};
use std::collections::{HashMap, HashSet};

impl Linter<'_> {
    pub(super) fn scopes(&mut self, today: Date, bounds: Bounds) {
        let loaded = self.loaded;
        let used = self.used_scopes();
        let opened = self.opened();
        for entry in loaded.policy.register.entries() {
            self.overdue(entry, today);
            self.comma(entry);
            if !used.contains(&*entry.name) {
                self.unused_scope(entry);
            }
            let count = opened.get(&*entry.name).copied().unwrap_or_default();
            if count > bounds.routes_per_scope_max {
                self.too_coarse(entry, count, bounds.routes_per_scope_max);
            }
        }
        self.unused_sets();
        self.avoidable_approvals();
    }

    /// Rules that name a scope that somebody has to approve, and let others in without it.
    fn avoidable_approvals(&mut self) {
        let policy = &self.loaded.policy;
        let register = &policy.register;
        let free = register.held(register.entries().filter(|entry| !entry.needs_approval).map(|entry| &*entry.name));
        for (index, rule) in policy.rules.iter().enumerate() {
            let Access::Scopes(requirement) = &rule.access else { continue };
            if !requirement.needs_approval(register) || !requirement.met_by(&free) {
                continue;
            }
            let path = At::ROOT.key("routes").item(index).key("require").to_string();
            let message = format!("`{}` names a scope that needs an approval, and can be met without it", rule.name);
            let help = "put the scope into `all_of`, or give the other entries of `any_of` a route of their own";
            self.warn_of_key(Warning::ApprovalAvoidable, &path, message, help);
        }
    }

    fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.loaded.policy.rules.iter().filter_map(|rule| match &rule.access {
            Access::Scopes(requirement) => Some(requirement),
            Access::Public | Access::Optional | Access::Authenticated => None,
        })
    }

    /// Every scope that a rule requires, directly or through a set.
    fn used_scopes(&self) -> HashSet<String> {
        let names = self.requirements().flat_map(|requirement| requirement.challenge().split(' '));
        names.map(str::to_owned).collect()
    }

    /// For each scope, the number of rules that it satisfies on its own.
    fn opened(&self) -> HashMap<String, usize> {
        let register = &self.loaded.policy.register;
        let mut opened = HashMap::new();
        for requirement in self.requirements() {
            let alone = |name: &&str| requirement.met_by(&register.held([*name]));
            for name in requirement.challenge().split(' ').filter(alone) {
                *opened.entry(name.to_owned()).or_default() += 1;
            }
        }
        opened
    }

    fn overdue(&mut self, entry: &Entry, today: Date) {
        let Some(review_by) = entry.review_by.filter(|day| *day < today) else {
            return;
        };
        let path = At::ROOT.key("scopes").key(&entry.name).key("review_by").to_string();
        let message = format!("the review of `{}` was due by {review_by}", entry.name);
        let help = match &entry.owner {
            Some(owner) => format!("ask `{owner}` whether it is still needed, then set the date of the next review"),
            None => {
                "find out whether it is still needed, then set the date of the next review and an `owner`".to_owned()
            }
        };
        self.warn(Warning::ScopeReviewOverdue, &path, message, help);
    }

    fn comma(&mut self, entry: &Entry) {
        if !entry.name.contains(',') {
            return;
        }
        let path = At::ROOT.key("scopes").key(&entry.name).to_string();
        let message = format!(
            "`{}` contains a comma: it is one scope, and only tokens with exactly this scope hold it",
            entry.name
        );
        let help = "declare each scope on its own; in a token, scopes are separated by spaces (RFC 6749, section 3.3)";
        self.warn_of_key(Warning::ScopeComma, &path, message, help);
    }

    fn unused_scope(&mut self, entry: &Entry) {
        let path = At::ROOT.key("scopes").key(&entry.name).to_string();
        let message = format!("`{}` is not required by any route", entry.name);
        let held_by =
            self.loaded.policy.source.sets.iter().find(|(_, scopes)| scopes.iter().any(|name| **name == *entry.name));
        let help = match held_by {
            Some((set, _)) => format!("it is only in the set `{set}`, which no route uses; remove it from both"),
            None => "remove it, or require it in the routes that need it".to_owned(),
        };
        self.warn_of_key(Warning::ScopeUnused, &path, message, help);
    }

    fn too_coarse(&mut self, entry: &Entry, count: usize, max: usize) {
        let path = At::ROOT.key("scopes").key(&entry.name).to_string();
        let message = format!("`{}` alone grants access to {count} routes, more than {max}", entry.name);
        let help = "split it by what callers need, so that a leaked token grants less access";
        self.warn_of_key(Warning::ScopeTooCoarse, &path, message, help);
    }

    fn unused_sets(&mut self) {
        let source = &self.loaded.policy.source;
        let routes = source.routes.iter();
        let used: HashSet<&String> =
            routes.flat_map(|route| route.any_of.iter().flatten().chain(&route.all_of_sets)).collect();
        for (set, _) in source.sets.iter().filter(|(set, _)| !used.contains(set)) {
            let path = At::ROOT.key("sets").key(set).to_string();
            let message = format!("the set `{set}` is not used by any route");
            let help = format!("remove it, or write `\"@{set}\"` in the routes that should require it");
            self.warn_of_key(Warning::SetUnused, &path, message, help);
        }
    }
}
