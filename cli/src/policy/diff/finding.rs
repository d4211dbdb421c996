//! What a comparison finds, as somebody reads and approves it.

use super::{
    budget::Budget,
    change::{Change, Direction},
    forest::Forest,
    frame,
    meaning::Meanings,
    renames,
    set::{self, Digest, Hash},
    walk::{self, Difference, Example, World},
};
use portcullis_engine::policy::{Access, Policy};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// From how many routes on one and the same change is told once for all of them.
const ROUTES_ALIKE_MIN: usize = 6;
/// The most scopes that the requirements of both policies may name, each mention counted.
const MENTIONS_MAX: usize = 10_000_000;

/// A difference between two policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it does to requests.
    pub direction: Direction,
    /// Its kind, a word for machines.
    pub kind: &'static str,
    /// What changed: a route, or another part of the policy.
    pub subject: String,
    /// How it changed, in words.
    pub text: String,
    /// Stands for all of the change: what was, what is, and for which requests.
    pub fingerprint: String,
    /// The routes that it is about, by name.
    pub routes: Vec<String>,
    /// Requests that it is about.
    pub examples: Vec<Example>,
    /// How many kinds of requests it is about.
    pub kinds: u64,
}

impl Finding {
    /// What names this change and no other one: an approval repeats it.
    pub fn identity(&self) -> String {
        format!("{}: {} [{}]", self.subject, self.text, self.fingerprint)
    }

    fn new(subject: String, change: &Change, requests: Option<Digest>) -> Self {
        let Change { direction, kind, text, whole, .. } = change;
        let mut hash = Hash::new(b"change");
        hash.text(&json!([kind, subject, change.before, change.after]).to_string());
        hash.digest(Some(*whole));
        hash.digest(requests);
        Self {
            direction: *direction,
            kind,
            subject,
            text: text.clone(),
            fingerprint: set::hex(hash.end()),
            routes: Vec::new(),
            examples: Vec::new(),
            kinds: 0,
        }
    }
}

/// Everything in which two policies differ.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// What differs: the parts of the policy first, then its routes in their order.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// What differs in meaning between two policies.
    pub fn of(old: &Policy, new: &Policy) -> Self {
        Self::within(&mut Budget::default(), old, new)
    }

    fn within(budget: &mut Budget, old: &Policy, new: &Policy) -> Self {
        let mut findings: Vec<_> = frame::changes(old, new)
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

    /// The findings of one direction.
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
        Access::Public | Access::Authenticated => 0,
    };
    policy.rules.iter().map(|rule| of(&rule.access)).sum()
}

/// What was not compared might be easier.
fn incomplete(old: &Policy, new: &Policy) -> Finding {
    let text = "these policies differ in too many ways to be compared in full; what was found until then is listed. \
                Make the change in several steps";
    let (before, after) = (json!(old.digest), json!(new.digest));
    let change = Change::new(Direction::Easier, "incomplete", text.to_owned(), before, after);
    Finding::new("routes".to_owned(), &change, None)
}

fn routes(old: &Policy, new: &Policy, budget: &mut Budget, findings: &mut Vec<Finding>) {
    let mut meanings = Meanings::default();
    let (old_meanings, new_meanings) = (meanings.number(old), meanings.number(new));
    let mut forest = Forest::default();
    let old_roots = forest.plant(&old.routes, &old_meanings);
    let new_roots = forest.plant(&new.routes, &new_meanings);
    let (before, after) = (World { policy: old, roots: &old_roots }, World { policy: new, roots: &new_roots });
    let differences = walk::differences(before, after, &forest, budget);
    findings.extend(grouped(differences, old, new));
    findings.extend(renames::findings((before, &old_meanings), (after, &new_meanings)));
}

/// What a change is, wherever it is found.
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
    let name =
        |policy: &Policy, id: Option<portcullis_engine::route::RuleId>| Some(policy.rules.get(id?.0)?.name.clone());
    let (was, is) = (name(old, difference.old), name(new, difference.new));
    let (subject, routes) = match (was, is) {
        (Some(was), Some(is)) if was != is => (format!("{is} (was {was})"), vec![is]),
        (_, Some(name)) | (Some(name), None) => (name.clone(), vec![name]),
        (None, None) => (String::new(), Vec::new()),
    };
    let finding = Finding::new(subject, &difference.change, Some(difference.set));
    Finding { routes, examples: difference.examples.clone(), kinds: difference.kinds, ..finding }
}

/// One finding for several routes with the same change; its fingerprint stands for each of them.
fn all_alike(members: &[&Difference], old: &Policy, new: &Policy) -> Option<Finding> {
    let singles: Vec<_> = members.iter().map(|member| single(member, old, new)).collect();
    let routes: BTreeSet<String> = singles.iter().flat_map(|single| single.routes.iter().cloned()).collect();
    let first = singles.first()?.clone();
    let mut fingerprints: Vec<_> = singles.iter().map(|single| single.fingerprint.as_str()).collect();
    fingerprints.sort_unstable();
    let mut hash = Hash::new(b"changes");
    fingerprints.into_iter().for_each(|fingerprint| hash.text(fingerprint));
    Some(Finding {
        subject: super::words::count(routes.len(), "route", "routes"),
        fingerprint: set::hex(hash.end()),
        routes: routes.into_iter().collect(),
        kinds: singles.iter().map(|single| single.kinds).sum(),
        ..first
    })
}

impl Finding {
    /// That a route is called otherwise, and means the same.
    pub(super) fn renamed(subject: String, text: String) -> Self {
        let change = Change::new(Direction::Changed, "name", text, json!(null), json!(null));
        Self::new(subject, &change, None)
    }
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
        assert_eq!((first.kind, first.direction), ("incomplete", Direction::Easier));
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
            assert_ne!(comparison.to(Direction::Easier).count(), 0, "{units}");
            let incomplete = comparison.findings.iter().any(|finding| finding.kind == "incomplete");
            assert!(incomplete || comparison.findings == Comparison::of(&old, &new).findings, "{units}");
        }
    }
}
