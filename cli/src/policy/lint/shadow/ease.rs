//! Whether one rule is easier to pass than another, and why.

use portcullis_engine::{
    policy::{Access, Policy, Rule},
    scope::{Requirement, ScopeRegistry},
};
use std::{fmt, time::Duration};

/// Why a rule can be passed by somebody whom another would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ease {
    Public,
    NoScope,
    /// Whoever passes the other rule passes this one too, which requires this.
    FewerScopes(String),
    /// Each of the two refuses somebody whom the other lets pass.
    OtherScopes(String),
    /// It is content with a weaker login.
    Acr,
    MaxAge,
    MaxIdle,
}

impl Ease {
    /// Whether it is not less that is asked for, but something else.
    pub(super) fn is_sideways(&self) -> bool {
        matches!(self, Self::OtherScopes(_))
    }
}

impl fmt::Display for Ease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("is public"),
            Self::NoScope => f.write_str("requires no scope"),
            Self::FewerScopes(scopes) => write!(f, "requires less: {scopes}"),
            Self::OtherScopes(scopes) => write!(f, "requires something else: {scopes}"),
            Self::Acr => f.write_str("takes a weaker login (`acr`)"),
            Self::MaxAge => f.write_str("takes an older login (`max_age`)"),
            Self::MaxIdle => f.write_str("takes a longer idle time (`max_idle`)"),
        }
    }
}

/// Why the rule in front is easier to pass than the one behind it, if it is.
pub(super) fn ease(policy: &Policy, front: &Rule, behind: &Rule) -> Option<Ease> {
    match (&front.access, &behind.access) {
        (_, Access::Public) => return None,
        (Access::Public, _) => return Some(Ease::Public),
        (Access::Authenticated, Access::Scopes(_)) => return Some(Ease::NoScope),
        (_, Access::Authenticated) => {}
        (Access::Scopes(front), Access::Scopes(behind)) => {
            if !implies(&policy.register, front, behind) {
                let scopes = words(&policy.register, front);
                let is_less = implies(&policy.register, behind, front);
                return Some(if is_less { Ease::FewerScopes(scopes) } else { Ease::OtherScopes(scopes) });
            }
        }
    }
    let longer = |front: Option<Duration>, behind: Option<Duration>| {
        behind.is_some_and(|behind| front.is_none_or(|front| front > behind))
    };
    let takes_other_acr = front.acr.is_empty() || front.acr.iter().any(|acr| !behind.acr.contains(acr));
    if !behind.acr.is_empty() && takes_other_acr {
        Some(Ease::Acr)
    } else if longer(front.limits.max_age, behind.limits.max_age) {
        Some(Ease::MaxAge)
    } else if longer(front.limits.max_idle, behind.limits.max_idle) {
        Some(Ease::MaxIdle)
    } else {
        None
    }
}

/// What is required, as one says it.
fn words(register: &ScopeRegistry, requirement: &Requirement) -> String {
    let all = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
    let all_of = all(requirement.all_of(register).collect());
    let any_of: Vec<_> = requirement.any_of(register).map(all).collect();
    match (all_of.is_empty(), any_of.is_empty()) {
        (_, true) => all_of,
        (true, false) => any_of.join(" or "),
        (false, false) => format!("{all_of}, and {}", any_of.join(" or ")),
    }
}

/// Whether everyone who meets a requirement meets the other. It is enough to look at those who hold no more than they need:
/// more scopes never hurt.
fn implies(register: &ScopeRegistry, requirement: &Requirement, other: &Requirement) -> bool {
    let all_of = || requirement.all_of(register);
    let mut groups: Vec<Vec<&str>> = requirement.any_of(register).filter(|group| !group.is_empty()).collect();
    if groups.is_empty() {
        groups.push(Vec::new());
    }
    groups.into_iter().all(|group| other.met_by(&register.held(all_of().chain(group))))
}
