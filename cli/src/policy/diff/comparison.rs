//! Compares two policies and groups what differs into findings.

use super::{
    budget::Budget,
    change::{Change, Direction},
    finding::Finding,
    meaning::Meanings,
    renames,
    request_set::{self, Hash},
    settings,
    trees::RouteTrees,
    walk::{self, Difference, Version},
};
use crate::report::counted;
use portcullis_engine::{
    policy::{Access, Policy},
    route::RuleId,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// A change that affects at least this many routes in the same way is one finding.
const ROUTES_ALIKE_MIN: usize = 6;
/// The most mentions of scopes in the requirements of both policies.
const MENTIONS_MAX: usize = 10_000_000;

/// Everything in which two policies differ.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// What differs: the settings first, then the routes in their order.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// Compares the meaning of two policies.
    pub fn of(old: &Policy, new: &Policy) -> Self {
        Self::within(&mut Budget::default(), old, new)
    }

    fn within(budget: &mut Budget, old: &Policy, new: &Policy) -> Self {
        let mut findings: Vec<_> = settings::changes(old, new)
            .into_iter()
            .map(|(subject, change)| Finding::new(subject, &change, None))
            .collect();
        if mentions(old) + mentions(new) > MENTIONS_MAX {
            budget.exhaust();
        } else {
            routes(old, new, budget, &mut findings);
        }
        if budget.is_exhausted() {
            findings.insert(0, incomplete(old, new));
        }
        Self { findings }
    }

    /// The findings with one direction.
    pub fn to(&self, direction: Direction) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.direction == direction)
    }
}

fn mentions(policy: &Policy) -> usize {
    let of = |access: &Access| match access {
        Access::Scopes(requirement) => {
            requirement.all_of(&policy.register).count()
                + requirement.any_of(&policy.register).map(|group| group.len()).sum::<usize>()
        }
        Access::Public | Access::Optional | Access::Authenticated => 0,
    };
    policy.rules.iter().map(|rule| of(&rule.access)).sum()
}

/// What was not compared might be more permissive.
fn incomplete(old: &Policy, new: &Policy) -> Finding {
    let text = "the policies differ in too many ways for a complete comparison; the findings so far are listed. \
                Make the change in several steps";
    let (before, after) = (json!(old.digest), json!(new.digest));
    let change = Change::new(Direction::MorePermissive, "incomplete", text.to_owned(), before, after);
    Finding::new("routes".to_owned(), &change, None)
}

fn routes(old: &Policy, new: &Policy, budget: &mut Budget, findings: &mut Vec<Finding>) {
    let mut meanings = Meanings::default();
    let (old_meanings, new_meanings) = (meanings.number(old), meanings.number(new));
    let mut trees = RouteTrees::default();
    let old_roots = trees.build(&old.routes, &old_meanings);
    let new_roots = trees.build(&new.routes, &new_meanings);
    let (before, after) = (Version { policy: old, roots: &old_roots }, Version { policy: new, roots: &new_roots });
    let differences = walk::differences(before, after, &trees, budget);
    findings.extend(grouped(differences, old, new));
    findings.extend(renames::findings((before, &old_meanings), (after, &new_meanings)));
}

/// The part of a change that is the same for all routes it affects.
type Alike<'d> = (Direction, &'static str, &'d str, String, String);

fn grouped(mut differences: Vec<Difference>, old: &Policy, new: &Policy) -> Vec<Finding> {
    differences.retain(|difference| !difference.examples.is_empty());
    differences.sort_by_key(|difference| {
        let no_route = difference.new.is_none();
        (no_route, difference.new.or(difference.old), difference.old)
    });
    let mut alike: BTreeMap<Alike<'_>, Vec<usize>> = BTreeMap::new();
    for (index, Difference { change, .. }) in differences.iter().enumerate() {
        let key = (change.direction, change.kind, &*change.text, change.before.to_string(), change.after.to_string());
        alike.entry(key).or_default().push(index);
    }
    let mut together: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for indexes in alike.into_values() {
        match indexes.first() {
            Some(first) if indexes.len() >= ROUTES_ALIKE_MIN => drop(together.insert(*first, indexes)),
            _ => together.extend(indexes.into_iter().map(|index| (index, vec![index]))),
        }
    }
    let finding = |indexes: Vec<usize>| {
        let members: Vec<_> = indexes.iter().filter_map(|index| differences.get(*index)).collect();
        match members.as_slice() {
            [one] => Some(single(one, old, new)),
            several => all_alike(several, old, new),
        }
    };
    together.into_values().filter_map(finding).collect()
}

fn single(difference: &Difference, old: &Policy, new: &Policy) -> Finding {
    let name = |policy: &Policy, id: Option<RuleId>| Some(policy.rules.get(id?.0)?.name.clone());
    let (was, is) = (name(old, difference.old), name(new, difference.new));
    let (subject, routes) = match (was, is) {
        (Some(was), Some(is)) if was != is => (format!("{is} (was {was})"), vec![is]),
        (_, Some(name)) | (Some(name), None) => (name.clone(), vec![name]),
        (None, None) => (String::new(), Vec::new()),
    };
    let finding = Finding::new(subject, &difference.change, Some(difference.set));
    Finding { routes, examples: difference.examples.clone(), kinds: difference.kinds, ..finding }
}

/// One finding for several routes with the same change. Its fingerprint covers all of them.
fn all_alike(members: &[&Difference], old: &Policy, new: &Policy) -> Option<Finding> {
    let singles: Vec<_> = members.iter().map(|member| single(member, old, new)).collect();
    let routes: BTreeSet<String> = singles.iter().flat_map(|single| single.routes.iter().cloned()).collect();
    let first = singles.first()?.clone();
    let mut fingerprints: Vec<_> = singles.iter().map(|single| single.fingerprint.as_str()).collect();
    fingerprints.sort_unstable();
    let mut hash = Hash::new(b"changes");
    fingerprints.into_iter().for_each(|fingerprint| hash.text(fingerprint));
    Some(Finding {
        subject: counted(routes.len(), "route"),
        fingerprint: request_set::hex(hash.end()),
        routes: routes.into_iter().collect(),
        kinds: singles.iter().map(|single| single.kinds).sum(),
        ..first
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every segment may be a literal or any other, at each of 40 places: more kinds of paths than can be walked.
    fn tangle(require: &str) -> Policy {
        let route = |literal| {
            let segment = |place| if place == literal { format!("a{place}") } else { format!("{{p{place}}}") };
            let path = (0..40).fold(String::new(), |path, place| path + "/" + &segment(place));
            json!({
                "name": format!("r{literal}"), "match": {"path": path, "methods": [format!("M{literal}")]},
                "require": {"all_of": [require]}
            })
        };
        let policy = json!({
            "issuers": [{
                "issuer": "https://id.example", "audiences": ["api"], "algorithms": ["ES256"],
                "keys": {"jwks_url": "https://id.example/jwks", "cluster": "id"}
            }],
            "session": {"cluster": "session"},
            "scopes": {"read": {}, "write": {}},
            "routes": (0..40).map(route).collect::<Vec<_>>(),
        });
        Policy::parse(policy.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_is_not_compared_in_full_counts_as_easier() {
        let comparison = Comparison::within(&mut Budget::of(1_000_000), &tangle("read"), &tangle("write"));
        let first = comparison.findings.first().unwrap();
        assert_eq!((first.kind, first.direction), ("incomplete", Direction::MorePermissive));
        // The same policy needs no walk at all.
        assert_eq!(Comparison::within(&mut Budget::of(0), &tangle("read"), &tangle("read")).findings, []);
    }

    /// However little is spent, what was not looked at is not passed over.
    #[test]
    fn no_budget_makes_a_change_vanish() {
        let policy = |path: &str| {
            let routes = json!([
                {"name": "a", "match": {"path": "/a/{x}"}, "public": true},
                {"name": "b", "match": {"path": path, "hosts": ["a.example", "*.b.example"]}, "public": true}
            ]);
            Policy::parse(json!({"routes": routes}).to_string().as_bytes()).unwrap()
        };
        let (old, new) = (policy("/b/c"), policy("/b/{c}"));
        for units in (0..60_000).step_by(7) {
            let comparison = Comparison::within(&mut Budget::of(units), &old, &new);
            assert_ne!(comparison.to(Direction::MorePermissive).count(), 0, "{units}");
            let incomplete = comparison.findings.iter().any(|finding| finding.kind == "incomplete");
            assert!(incomplete || comparison.findings == Comparison::of(&old, &new).findings, "{units}");
        }
    }
}
