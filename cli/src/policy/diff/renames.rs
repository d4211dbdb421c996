//! Finds renamed routes with the same meaning. They matter because names appear in logs and counters.

use super::{finding::Finding, trees::ANY_SEGMENT, walk::Version};
use portcullis_engine::{
    policy::Policy,
    route::{Host, HostPattern, Path, RuleId},
};
use std::collections::{BTreeSet, HashSet};

/// A policy and the number of the meaning of each of its rules.
type Numbered<'w, 'p> = (Version<'w, 'p>, &'w [u32]);

/// Routes of the old policy whose requests are answered under a new name with the same meaning.
pub(super) fn findings((old, old_meanings): Numbered<'_, '_>, (new, new_meanings): Numbered<'_, '_>) -> Vec<Finding> {
    let (old_names, new_names) = (names(old.policy), names(new.policy));
    let mut pairs = BTreeSet::new();
    for (index, rule) in old.policy.rules.iter().enumerate().filter(|(_, rule)| !new_names.contains(&*rule.name)) {
        if let Some(RuleId(other)) = counterpart(RuleId(index), old, new)
            && old_meanings.get(index) == new_meanings.get(other)
            && let Some(other) = new.policy.rules.get(other)
        {
            pairs.insert((&*rule.name, &*other.name));
        }
    }
    for (index, rule) in new.policy.rules.iter().enumerate().filter(|(_, rule)| !old_names.contains(&*rule.name)) {
        if let Some(RuleId(other)) = counterpart(RuleId(index), new, old)
            && new_meanings.get(index) == old_meanings.get(other)
            && let Some(other) = old.policy.rules.get(other)
        {
            pairs.insert((&*other.name, &*rule.name));
        }
    }
    let finding = |(was, is): (&str, &str)| {
        Finding::renamed(is.to_owned(), format!("renamed, was `{was}`; the meaning is the same"))
    };
    pairs.into_iter().map(finding).collect()
}

fn names(policy: &Policy) -> HashSet<&str> {
    policy.rules.iter().map(|rule| &*rule.name).collect()
}

/// The rule of the other policy that answers an example request of this rule.
fn counterpart(rule: RuleId, here: Version<'_, '_>, there: Version<'_, '_>) -> Option<RuleId> {
    let place = here.roots.places.get(&rule)?;
    let host = match &place.host {
        None => "example.com".to_owned(),
        Some(HostPattern::Exact(host)) => host.to_string(),
        Some(HostPattern::Under(suffix)) => format!("{ANY_SEGMENT}.{suffix}"),
    };
    let path = format!("/{}", place.segments.join("/"));
    let (host, path) = (Host::parse(host.as_bytes())?, Path::parse(path.as_bytes()).ok()?);
    let method = place.method.unwrap_or("GET");
    // If a more specific rule answers the example, it shows nothing about this rule.
    let is_own = here.policy.routes.find(&host, method, &path) == Some(rule);
    there.policy.routes.find(&host, method, &path).filter(|_| is_own)
}
