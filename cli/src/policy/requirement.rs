//! The scopes that a rule requires, with sets expanded, and the ones that a token lacks.

use super::name_list::{NAMES_MAX, NameList};
use portcullis_engine::{
    policy::{Access, Policy},
    route::RuleId,
};
use serde::Serialize;
use std::fmt;

/// The scopes that a rule requires.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct RequiredScopes {
    /// All of these.
    pub(crate) all_of: Vec<String>,
    /// And all scopes of one of these groups, if there are any.
    pub(crate) any_of: Vec<Group>,
}

/// Scopes that are required together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Group {
    /// The name of the set, as `@name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) set: Option<String>,
    /// The scopes.
    pub(crate) scopes: Vec<String>,
}

impl RequiredScopes {
    /// The scopes that a rule requires, if it requires any.
    pub(crate) fn of(policy: &Policy, RuleId(index): RuleId) -> Option<Self> {
        let Access::Scopes(requirement) = &policy.rules.get(index)?.access else { return None };
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let sets = &policy.source.routes.get(index)?.any_of;
        let groups = requirement
            .any_of(&policy.register)
            .zip(sets)
            .map(|(scopes, set)| Group { set: set.as_ref().map(|name| format!("@{name}")), scopes: owned(scopes) });
        Some(Self { all_of: owned(requirement.all_of(&policy.register).collect()), any_of: groups.collect() })
    }

    /// What a token with these scopes lacks.
    pub(crate) fn missing(&self, held: &[String]) -> Self {
        let lacks =
            |scopes: &[String]| scopes.iter().filter(|scope| !held.contains(scope)).cloned().collect::<Vec<_>>();
        let groups: Vec<_> =
            self.any_of.iter().map(|group| Group { scopes: lacks(&group.scopes), ..group.clone() }).collect();
        let is_met = groups.iter().any(|group| group.scopes.is_empty());
        Self { all_of: lacks(&self.all_of), any_of: if is_met { Vec::new() } else { groups } }
    }

    /// Whether nothing is required.
    pub(crate) fn is_empty(&self) -> bool {
        self.all_of.is_empty() && self.any_of.is_empty()
    }

    /// As text, in full.
    pub(crate) fn words(&self) -> String {
        let any: Vec<_> = self.any_of.iter().map(Group::alternative).collect();
        describe_within(&self.all_of, &any, usize::MAX)
    }
}

/// What the route with that name requires, in words; `None` if the policy has no such route.
pub(crate) fn of_route(policy: &Policy, name: &str) -> Option<String> {
    let index = policy.rules.iter().position(|rule| rule.name == name)?;
    let rule = policy.rules.get(index)?;
    let access = match &rule.access {
        Access::Public => "nothing: the route is public".to_owned(),
        Access::Optional => "nothing, but a token that is sent must be valid".to_owned(),
        Access::Authenticated => "a valid token".to_owned(),
        Access::Scopes(_) => RequiredScopes::of(policy, RuleId(index))?.words(),
    };
    let limits = [
        rule.limits.max_age.map(|age| format!("a login at most {age:?} ago")),
        rule.limits.max_idle.map(|idle| format!("activity within {idle:?}")),
        (!rule.acr.is_empty()).then(|| format!("acr {}", NameList::or(&rule.acr))),
    ];
    Some(std::iter::once(access).chain(limits.into_iter().flatten()).collect::<Vec<_>>().join(", "))
}

impl Group {
    fn alternative(&self) -> Alternative<'_, &String> {
        Alternative { set: self.set.as_deref(), scopes: self.scopes.iter().collect() }
    }
}

/// One alternative of an `any_of`: all of these scopes.
pub(crate) struct Alternative<'a, T> {
    /// The name of the set, as `@name`.
    pub(crate) set: Option<&'a str>,
    pub(crate) scopes: Vec<T>,
}

/// Required scopes as text, such as "`a` and (`b` or (`c` and `d`))"; long lists are shortened.
pub(crate) fn describe<T: fmt::Display, U: fmt::Display>(
    all_of: impl IntoIterator<Item = T>,
    any_of: &[Alternative<'_, U>],
) -> String {
    describe_within(all_of, any_of, NAMES_MAX)
}

fn describe_within<T: fmt::Display, U: fmt::Display>(
    all_of: impl IntoIterator<Item = T>,
    any_of: &[Alternative<'_, U>],
    names_max: usize,
) -> String {
    let all = NameList::and(all_of).at_most(names_max).to_string();
    let alternative = |Alternative { set, scopes }: &Alternative<'_, U>| {
        let names = NameList::and(scopes).at_most(names_max);
        match (set, scopes.len()) {
            (Some(set), _) => format!("`{set}` ({names})"),
            (None, 1) => names.to_string(),
            (None, _) => format!("({names})"),
        }
    };
    let any = NameList::joined(any_of.iter().map(alternative).collect(), "or").at_most(names_max).to_string();
    match (all.is_empty(), any_of.len()) {
        (true, 0) => "no scope".to_owned(),
        (false, 0) => all,
        (true, _) => any,
        (false, 1) => format!("{all} and {any}"),
        (false, _) => format!("{all} and ({any})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(all_of: &[&str], any_of: &[(Option<&str>, &[&str])]) -> RequiredScopes {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let group =
            |(set, scopes): &(Option<&str>, &[&str])| Group { set: set.map(str::to_owned), scopes: owned(scopes) };
        RequiredScopes { all_of: owned(all_of), any_of: any_of.iter().map(group).collect() }
    }

    #[test]
    fn what_a_route_requires_is_said_with_its_limits() {
        let text = "session: {cluster: s}\nissuers: [{issuer: 'https://i', audiences: [a], algorithms: [ES256], keys: {jwks_url: 'https://i/k', cluster: k}}]\n\
                    scopes: {a: {}, b: {}}\nroutes:\n\
                    - {name: open, match: {path: /o}, public: true}\n\
                    - {name: both, match: {path: /b}, require: {all_of: [a, b]}, acr: [aal2], session: {max_age: 15m}}\n";
        let policy = crate::policy::load::Loaded::parse("p", text).map(|loaded| loaded.policy);
        let policy = policy.unwrap_or_else(|why| panic!("{:?}", why.diagnostics));
        assert_eq!(of_route(&policy, "open").as_deref(), Some("nothing: the route is public"));
        let both = of_route(&policy, "both");
        assert_eq!(both.as_deref(), Some("`a` and `b`, a login at most 900s ago, acr `aal2`"));
        assert_eq!(of_route(&policy, "other"), None);
    }

    #[test]
    fn what_is_missing_is_what_is_required_and_not_held() {
        let required = needs(&["a", "b"], &[(Some("@s"), &["c", "d"]), (None, &["e"])]);
        for (held, missing) in [
            (&["a", "b", "e"][..], "no scope"),
            (&["a", "b", "c", "d"], "no scope"),
            (&["a", "c", "d"], "`b`"),
            (&["a", "b"], "`@s` (`c` and `d`) or `e`"),
            (&["b", "d"], "`a` and (`@s` (`c`) or `e`)"),
        ] {
            let held: Vec<_> = held.iter().map(|scope| (*scope).to_owned()).collect();
            assert_eq!(required.missing(&held).words(), missing, "{held:?}");
            assert_eq!(required.missing(&held).is_empty(), missing == "no scope", "{held:?}");
        }
    }
}
