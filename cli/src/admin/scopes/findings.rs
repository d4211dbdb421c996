//! What is stale: found in a list of what was used and, where there is one, in a policy. Pure.

use crate::{admin::usage::Usage, policy::load::Loaded};
use portcullis_engine::{policy::Policy, scope::Date};
use serde::Serialize;
use std::collections::BTreeSet;

/// The kinds of findings, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    ScopeUnused,
    SetUnmet,
    HeldUnused,
    RouteUnused,
    ReviewOverdue,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::ScopeUnused, Self::SetUnmet, Self::HeldUnused, Self::RouteUnused, Self::ReviewOverdue];

    /// The heading of its findings.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::ScopeUnused => "Scopes that no request needed",
            Self::SetUnmet => "Sets that no request has met",
            Self::HeldUnused => "Scopes that a client holds and does not use",
            Self::RouteUnused => "Routes without requests",
            Self::ReviewOverdue => "Reviews that are overdue",
        }
    }
}

/// Something that nobody uses, or that somebody should have looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    /// The scope, set or route.
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    /// More about it, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
}

impl Finding {
    fn new(kind: Kind, name: &str) -> Self {
        Self { kind, name: name.to_owned(), client: None, owner: None, detail: None }
    }
}

/// What is stale. With a policy, only its own scopes count.
pub(super) fn of(usage: &Usage, loaded: Option<&Loaded>, today: Date) -> Vec<Finding> {
    let mut findings = match loaded {
        Some(loaded) => of_policy(usage, &loaded.policy, today),
        None => asked_in_vain(usage),
    };
    let is_known = |scope: &str| loaded.is_none_or(|loaded| loaded.policy.register.id(scope).is_some());
    let held = usage.held_unused.iter().filter(|held| is_known(&held.scope));
    findings.extend(held.map(|held| Finding {
        client: Some(held.client.clone()),
        owner: loaded.and_then(|loaded| owner(&loaded.policy, &held.scope)),
        ..Finding::new(Kind::HeldUnused, &held.scope)
    }));
    findings.sort();
    findings
}

/// Without a policy: the scopes that requests have asked for, and that released none of them.
fn asked_in_vain(usage: &Usage) -> Vec<Finding> {
    let granted = usage.granted();
    let asked: BTreeSet<&str> = usage.scopes.iter().map(|of| of.scope.as_str()).collect();
    let unused = asked.into_iter().filter(|scope| !granted.contains(scope));
    unused.map(|scope| Finding::new(Kind::ScopeUnused, scope)).collect()
}

fn of_policy(usage: &Usage, policy: &Policy, today: Date) -> Vec<Finding> {
    let (granted, routes) = (usage.granted(), usage.routes());
    let mut findings = Vec::new();
    for entry in policy.register.entries() {
        if !granted.contains(&*entry.name) {
            let asked: u64 = usage.scopes.iter().filter(|of| of.scope == *entry.name).map(|of| of.asked).sum();
            let refused: u64 = usage.scopes.iter().filter(|of| of.scope == *entry.name).map(|of| of.refused).sum();
            let detail = match (asked, refused) {
                (0, _) => "no request asked for it".to_owned(),
                (_, 0) => format!("asked {asked} times, and something else was enough"),
                _ => format!("asked {asked} times, and missing {refused} times"),
            };
            findings.push(Finding {
                owner: entry.owner.clone(),
                detail: Some(detail),
                ..Finding::new(Kind::ScopeUnused, &entry.name)
            });
        }
        if let Some(review_by) = entry.review_by.filter(|review_by| *review_by < today) {
            findings.push(Finding {
                owner: entry.owner.clone(),
                detail: Some(format!("due by {review_by}")),
                ..Finding::new(Kind::ReviewOverdue, &entry.name)
            });
        }
    }
    for (set, scopes) in &policy.source.sets {
        let missing: Vec<&str> = scopes.iter().map(String::as_str).filter(|scope| !granted.contains(scope)).collect();
        if !missing.is_empty() {
            let detail = Some(format!("never needed: {}", missing.join(" ")));
            findings.push(Finding { detail, ..Finding::new(Kind::SetUnmet, set) });
        }
    }
    let unused = policy.rules.iter().filter(|rule| !routes.contains(rule.name.as_str()));
    findings.extend(unused.map(|rule| Finding::new(Kind::RouteUnused, &rule.name)));
    findings
}

fn owner(policy: &Policy, scope: &str) -> Option<String> {
    policy.register.entry(policy.register.id(scope)?)?.owner.clone()
}
