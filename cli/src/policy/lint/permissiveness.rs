//! Whether one rule is more permissive than another, and why.

use crate::policy::requirement::{Alternative, describe};
use portcullis_engine::{
    policy::{Access, Policy, Rule},
    scope::{Requirement, ScopeRegistry},
};
use std::{fmt, time::Duration};

/// Why a rule accepts requests that another one would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MorePermissive {
    Public,
    /// It accepts requests without a token.
    Optional,
    NoScope,
    /// It requires only these scopes, a part of what the other one requires.
    FewerScopes(String),
    /// It requires these scopes; each of the two rules accepts tokens that the other one refuses.
    OtherScopes(String),
    /// It accepts a weaker login.
    Acr,
    MaxAge,
    MaxIdle,
}

impl MorePermissive {
    /// Whether neither of the two requirements includes the other.
    pub(super) fn is_incomparable(&self) -> bool {
        matches!(self, Self::OtherScopes(_))
    }
}

impl fmt::Display for MorePermissive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("is public"),
            Self::Optional => f.write_str("does not require a token"),
            Self::NoScope => f.write_str("requires no scope"),
            Self::FewerScopes(scopes) => write!(f, "requires only {scopes}"),
            Self::OtherScopes(scopes) => write!(f, "requires {scopes} instead"),
            Self::Acr => f.write_str("accepts a weaker login (`acr`)"),
            Self::MaxAge => f.write_str("accepts an older login (`max_age`)"),
            Self::MaxIdle => f.write_str("accepts a longer idle time (`max_idle`)"),
        }
    }
}

/// Why the rule in front is more permissive than the one behind it, if it is.
pub(super) fn more_permissive(policy: &Policy, front: &Rule, behind: &Rule) -> Option<MorePermissive> {
    match (&front.access, &behind.access) {
        (_, Access::Public) => return None,
        (Access::Public, _) => return Some(MorePermissive::Public),
        (Access::Optional, Access::Authenticated | Access::Scopes(_)) => return Some(MorePermissive::Optional),
        (Access::Authenticated, Access::Scopes(_)) => return Some(MorePermissive::NoScope),
        (_, Access::Optional | Access::Authenticated) => {}
        (Access::Scopes(front), Access::Scopes(behind)) => {
            if !implies(&policy.register, front, behind) {
                let scopes = words(&policy.register, front);
                let is_less = implies(&policy.register, behind, front);
                return Some(if is_less {
                    MorePermissive::FewerScopes(scopes)
                } else {
                    MorePermissive::OtherScopes(scopes)
                });
            }
        }
    }
    let longer = |front: Option<Duration>, behind: Option<Duration>| {
        behind.is_some_and(|behind| front.is_none_or(|front| front > behind))
    };
    let takes_other_acr = front.acr.is_empty() || front.acr.iter().any(|acr| !behind.acr.contains(acr));
    if !behind.acr.is_empty() && takes_other_acr {
        Some(MorePermissive::Acr)
    } else if longer(front.limits.max_age, behind.limits.max_age) {
        Some(MorePermissive::MaxAge)
    } else if longer(front.limits.max_idle, behind.limits.max_idle) {
        Some(MorePermissive::MaxIdle)
    } else {
        None
    }
}

fn words(register: &ScopeRegistry, requirement: &Requirement) -> String {
    let any: Vec<_> = requirement.any_of(register).map(|scopes| Alternative { set: None, scopes }).collect();
    describe(requirement.all_of(register), &any)
}

/// Whether every token that meets one requirement meets the other. Requirements are monotone, so only the smallest sets of
/// scopes have to be tried.
fn implies(register: &ScopeRegistry, requirement: &Requirement, other: &Requirement) -> bool {
    let all_of = || requirement.all_of(register);
    let mut groups: Vec<Vec<&str>> = requirement.any_of(register).filter(|group| !group.is_empty()).collect();
    if groups.is_empty() {
        groups.push(Vec::new());
    }
    groups.into_iter().all(|group| other.met_by(&register.held(all_of().chain(group))))
}
