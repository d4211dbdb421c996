//! The meaning of a rule, independent of its name and notation.

use super::{upstream_token, words};
use crate::policy::{
    name_list::NameList,
    requirement::{self, Alternative},
};
use portcullis_engine::{
    policy::{Access, Mode, Outage, Policy, Rule, UpstreamToken},
    scope::{Requirement, ScopeRegistry},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// The most groups of an `any_of` that are checked for redundant ones. Beyond that, rules with the same meaning may look
/// different here; a later comparison is exact.
const GROUPS_ABSORBED_MAX: usize = 100;

/// What a rule means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Meaning<'p> {
    Public,
    Guarded(Guard<'p>),
}

/// What a rule requires of a token and its session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Guard<'p> {
    /// Whether requests without a token pass.
    pub(super) optional: bool,
    pub(super) scopes: Formula<'p>,
    /// Empty: any value is accepted.
    pub(super) acr: BTreeSet<&'p str>,
    pub(super) max_age: Option<Duration>,
    pub(super) max_idle: Option<Duration>,
    pub(super) touch: bool,
    pub(super) outlive_token: bool,
    pub(super) on_outage: Outage,
    /// For how long a worker decides by itself; `None`: each request is asked about.
    pub(super) lease: Option<Duration>,
    /// Words for conditions of the session service.
    pub(super) class: Option<&'p str>,
    pub(super) tags: BTreeSet<&'p str>,
    pub(super) upstream_token: Option<&'p UpstreamToken>,
    /// Its `mode`, if that is not the policy's: a change of the policy's own is one of its settings.
    pub(super) mode: Option<Mode>,
}

/// All of `all` and, unless `any` is empty, all scopes of one of its groups. Scopes that are in every group are in `all`
/// instead, and no group is a subset of another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Formula<'p> {
    pub(super) all: BTreeSet<&'p str>,
    pub(super) any: BTreeSet<BTreeSet<&'p str>>,
}

impl<'p> Meaning<'p> {
    pub(super) fn of(rule: &'p Rule, policy: &'p Policy) -> Self {
        let register = &policy.register;
        let scopes = match &rule.access {
            Access::Public => return Self::Public,
            Access::Optional | Access::Authenticated => Formula::default(),
            Access::Scopes(requirement) => Formula::of(requirement, register),
        };
        let limits = &rule.limits;
        Self::Guarded(Guard {
            optional: matches!(rule.access, Access::Optional),
            scopes,
            acr: rule.acr.iter().map(String::as_str).collect(),
            max_age: limits.max_age,
            max_idle: limits.max_idle,
            touch: limits.touch,
            outlive_token: limits.outlive_token,
            on_outage: limits.on_outage,
            lease: rule.lease(),
            class: rule.words.class.as_deref(),
            tags: rule.words.tags.iter().map(String::as_str).collect(),
            upstream_token: rule.upstream_token.as_deref(),
            mode: (rule.mode != policy.mode).then_some(rule.mode),
        })
    }

    /// The complete meaning, for fingerprints.
    pub(super) fn canonical(&self) -> Value {
        match self {
            Self::Public => json!("public"),
            Self::Guarded(guard) => guard.canonical(),
        }
    }

    /// Who may pass, as text.
    pub(super) fn words(&self) -> String {
        let Self::Guarded(guard) = self else {
            return "anyone, without a token".to_owned();
        };
        let mut words = match guard.optional {
            true => "anyone without a token or with a valid one and an active session".to_owned(),
            false => guard.scopes.who(),
        };
        if !guard.acr.is_empty() {
            words += &format!(", `acr` {}", NameList::or(&guard.acr));
        }
        for (key, limit) in [("max_age", guard.max_age), ("max_idle", guard.max_idle)] {
            if let Some(limit) = limit {
                words += &format!(", `{key}` {}", words::duration(limit));
            }
        }
        for (key, is_set) in [("touch: false", !guard.touch), ("outlive_token: true", guard.outlive_token)] {
            if is_set {
                words += &format!(", `{key}`");
            }
        }
        if guard.on_outage != Outage::Deny {
            words += &format!(", `on_outage: {}`", words::outage(guard.on_outage));
        }
        if let Some(lease) = guard.lease {
            words += &format!(", `freshness: {{lease: {}}}`", words::duration(lease));
        }
        if guard.mode == Some(Mode::Shadow) {
            words += ", in shadow mode";
        }
        words
    }
}

impl Guard<'_> {
    pub(super) fn canonical(&self) -> Value {
        let mut canonical = json!({
            "scopes": self.scopes.canonical(),
            "acr": self.acr,
            "max_age": self.max_age.map(words::duration),
            "max_idle": self.max_idle.map(words::duration),
            "touch": self.touch,
            "outlive_token": self.outlive_token,
            "on_outage": words::outage(self.on_outage),
        });
        // Only where it is set, so that what was approved before stays approved.
        if let (true, Some(canonical)) = (self.optional, canonical.as_object_mut()) {
            canonical.insert("optional".to_owned(), json!(true));
        }
        if let (Some(lease), Some(canonical)) = (self.lease, canonical.as_object_mut()) {
            canonical.insert("lease".to_owned(), json!(words::duration(lease)));
        }
        if let (Some(class), Some(canonical)) = (self.class, canonical.as_object_mut()) {
            canonical.insert("class".to_owned(), json!(class));
        }
        if let (false, Some(canonical)) = (self.tags.is_empty(), canonical.as_object_mut()) {
            canonical.insert("tags".to_owned(), json!(self.tags));
        }
        if let (Some(token), Some(canonical)) = (self.upstream_token, canonical.as_object_mut()) {
            canonical.insert("upstream_token".to_owned(), upstream_token::canonical(token));
        }
        if let (Some(mode), Some(canonical)) = (self.mode, canonical.as_object_mut()) {
            canonical.insert("mode".to_owned(), json!(words::mode(mode)));
        }
        canonical
    }
}

impl<'p> Formula<'p> {
    fn of(requirement: &'p Requirement, register: &'p ScopeRegistry) -> Self {
        let mut all: BTreeSet<&str> = requirement.all_of(register).collect();
        let groups = requirement.any_of(register).filter(|group| !group.is_empty());
        let mut any: BTreeSet<BTreeSet<&str>> =
            groups.map(|group| group.into_iter().filter(|scope| !all.contains(scope)).collect()).collect();
        if any.len() <= GROUPS_ABSORBED_MAX {
            let groups = any.clone();
            any.retain(|group| !groups.iter().any(|other| other != group && other.is_subset(group)));
        }
        let common = any.iter().cloned().reduce(|one, other| one.intersection(&other).copied().collect());
        let common = common.unwrap_or_default();
        let mut any: BTreeSet<BTreeSet<&str>> =
            any.into_iter().map(|group| group.difference(&common).copied().collect()).collect();
        // Holding all of `all` already satisfies a group.
        if any.contains(&BTreeSet::new()) {
            any.clear();
        }
        all.extend(common);
        Self { all, any }
    }

    pub(super) fn canonical(&self) -> Value {
        json!({"all": self.all, "any": self.any})
    }

    fn who(&self) -> String {
        match self.all.is_empty() && self.any.is_empty() {
            true => "anyone with a valid token and an active session".to_owned(),
            false => format!("tokens with {}", self.words()),
        }
    }

    /// What is required, as text.
    pub(super) fn words(&self) -> String {
        let any: Vec<_> =
            self.any.iter().map(|group| Alternative { set: None, scopes: group.iter().collect() }).collect();
        requirement::describe(&self.all, &any)
    }
}

/// Numbers the meanings in both policies: two rules have the same number if and only if they mean the same, and both or
/// neither let an encoded slash through.
#[derive(Debug, Default)]
pub(super) struct Meanings<'p> {
    numbers: HashMap<(Meaning<'p>, bool), u32>,
}

impl<'p> Meanings<'p> {
    /// The number of each rule.
    pub(super) fn number(&mut self, policy: &'p Policy) -> Vec<u32> {
        let slashes = policy.source.routes.iter().map(|route| route.matches.encoded_slash);
        let mut number = |(rule, slash)| {
            let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            *self.numbers.entry((Meaning::of(rule, policy), slash)).or_insert(next)
        };
        policy.rules.iter().zip(slashes).map(&mut number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(all_of: &[&'static str], any_of: &[&[&'static str]]) -> String {
        let mut register = ScopeRegistry::default();
        for name in ["a", "b", "c", "d"] {
            let entry = portcullis_engine::scope::Entry { name: name.into(), ..Default::default() };
            register.declare(entry).unwrap();
        }
        let ids = |names: &[&str]| names.iter().map(|name| register.id(name).unwrap()).collect::<Vec<_>>();
        let groups: Vec<_> = any_of.iter().map(|group| ids(group)).collect();
        Formula::of(&register.requirement(&ids(all_of), &groups), &register).words()
    }

    #[test]
    fn what_means_the_same_is_written_the_same() {
        for (all_of, any_of, words) in [
            (vec!["b", "a", "a"], vec![], "`a` and `b`"),
            (vec!["a"], vec![&["b"][..]], "`a` and `b`"),
            (vec!["a"], vec![&["a"], &["b"]], "`a`"),
            (vec!["a"], vec![&["c", "b"], &["d"]], "`a` and (`d` or (`b` and `c`))"),
            (vec![], vec![&["a", "b"], &["a", "c"]], "`a` and (`b` or `c`)"),
            (vec![], vec![&["a", "b"], &["a"]], "`a`"),
            (vec!["a"], vec![&["a", "b"], &["b", "c"]], "`a` and `b`"),
            (vec!["d"], vec![&["d", "a"], &["a", "b"], &["c"]], "`d` and (`a` or `c`)"),
        ] {
            let got = formula(&all_of, &any_of);
            assert_eq!(got.replace("((`b` and `c`) or `d`)", "(`d` or (`b` and `c`))"), words, "{all_of:?} {any_of:?}");
        }
    }
}
