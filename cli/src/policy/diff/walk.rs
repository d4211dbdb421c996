//! Walks both route tables at once: looks up every kind of request that they can distinguish in both, with the filter's own
//! `find`, and records the differences.
//!
//! A kind is a host (named, under a wildcard, or neither), a path (each segment named by a template or not, see `segments.rs`)
//! and a method (named or not). The kinds are not enumerated: the trees of both tables are followed together as an automaton. A state from which
//! everything means the same on both sides is not entered, a state that can be reached in several ways is visited once, and a
//! [`Budget`] bounds the whole walk.

mod config;
mod requests;
mod segments;

use super::{
    budget::Budget,
    change::Change,
    hosts::{HostKind, Hosts},
    request_set::{self, Digest},
    trees::{NodeId, Roots, RouteTrees},
};
use config::{Config, Item, root};
use portcullis_engine::{policy::Policy, route::RuleId};
use requests::Ending;
use segments::Kind;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

/// Costs in units of the budget: to try a segment, to carry up a difference, and to remember a state: the state itself, each of
/// its parts, each difference.
const STEP_UNITS: u64 = 50;
const CARRY_UNITS: u64 = 30;
const PLACE_UNITS: u64 = 2_000;
const PART_UNITS: u64 = 100;
const KEEP_UNITS: u64 = 300;

/// A request that represents its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Example {
    /// Its method.
    pub method: String,
    /// Its host.
    pub host: String,
    /// Its path.
    pub path: String,
}

/// One of the policies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version<'w, 'p> {
    pub(super) policy: &'p Policy,
    pub(super) roots: &'w Roots<'p>,
}

/// A change between the rules that answer some requests in the old and in the new policy.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) old: Option<RuleId>,
    pub(super) new: Option<RuleId>,
    pub(super) change: Change,
    pub(super) examples: Vec<Example>,
    /// The affected requests.
    pub(super) set: Digest,
    /// The number of affected kinds of requests; equal ones count once.
    pub(super) kinds: u64,
}

/// What was found below a place, by the index of the difference.
type Found = BTreeMap<usize, Count>;

/// The requests of a difference below a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Count {
    set: Option<Digest>,
    kinds: u64,
}

pub(super) struct Walk<'w, 'p> {
    old: Version<'w, 'p>,
    new: Version<'w, 'p>,
    trees: &'w RouteTrees<'p>,
    budget: &'w mut Budget,
    seen: HashMap<(Config, Config), Rc<Found>>,
    differing: HashMap<(NodeId, NodeId), Rc<[&'p str]>>,
    compared: HashMap<Answered, Rc<[usize]>>,
    differences: Vec<Difference>,
}

/// The rules that answer a request in both policies, and whether `on_outage: read_only` lets its method pass.
type Answered = (Option<RuleId>, Option<RuleId>, bool);

/// The current position of the walk.
struct Prefix {
    host: String,
    segments: Vec<String>,
}

/// Compares the answers of both tables.
pub(super) fn differences<'p>(
    old: Version<'_, 'p>,
    new: Version<'_, 'p>,
    trees: &RouteTrees<'p>,
    budget: &mut Budget,
) -> Vec<Difference> {
    let walk = Walk {
        old,
        new,
        trees,
        budget,
        seen: HashMap::new(),
        differing: HashMap::new(),
        compared: HashMap::new(),
        differences: Vec::new(),
    };
    walk.hosts()
}

impl<'p> Walk<'_, 'p> {
    fn hosts(mut self) -> Vec<Difference> {
        let hosts = Hosts::of(self.old.roots, self.new.roots);
        let mut found: HashMap<HostKind<'_>, Rc<Found>> = HashMap::new();
        let mut exceptions: HashMap<usize, Vec<(String, Option<Digest>)>> = HashMap::new();
        let mut kinds: HashMap<usize, u64> = HashMap::new();
        for kind in hosts.kinds() {
            let Some(host) = hosts.example(kind, self.budget) else { continue };
            let [old, new] = [self.old.roots, self.new.roots].map(|roots| root(roots, kind));
            let here = self.visit(&old, &new, &mut Prefix { host, segments: Vec::new() });
            let parent = hosts.parent(kind).and_then(|parent| found.get(&parent)).cloned().unwrap_or_default();
            if !self.budget.spend(CARRY_UNITS * (here.len() + parent.len()) as u64) {
                break;
            }
            for (id, count) in unlike(&here, &parent) {
                exceptions.entry(id).or_default().push((kind.to_string(), count.set));
                *kinds.entry(id).or_default() += count.kinds;
            }
            found.insert(kind, here);
        }
        // The kind of all other hosts has no parent, so its differences are exceptions from an empty set.
        for (id, difference) in self.differences.iter_mut().enumerate() {
            let mut exceptions = exceptions.remove(&id).unwrap_or_default();
            exceptions.sort();
            let exceptions: Vec<_> = exceptions.iter().map(|(host, digest)| (host.as_str(), *digest)).collect();
            difference.set = request_set::hosts(None, &exceptions);
            difference.kinds = kinds.remove(&id).unwrap_or_default();
        }
        self.differences
    }

    /// The differences from here on. The recursion is as deep as the longest template, which has 64 segments.
    fn visit(&mut self, old: &Config, new: &Config, at: &mut Prefix) -> Rc<Found> {
        if self.means(old).eq(self.means(new)) {
            return Rc::default();
        }
        if let Some(known) = self.seen.get(&(old.clone(), new.clone())) {
            return Rc::clone(known);
        }
        let found = Rc::new(self.look(old, new, at));
        let parts = PART_UNITS * (old.len() + new.len()) as u64;
        self.budget.spend(PLACE_UNITS + parts + KEEP_UNITS * found.len() as u64);
        self.seen.insert((old.clone(), new.clone()), Rc::clone(&found));
        found
    }

    fn look(&mut self, old: &Config, new: &Config, at: &mut Prefix) -> Found {
        let is_root = at.segments.is_empty();
        let end = if is_root { BTreeMap::new() } else { self.ending(Ending::Here, old, new, at) };
        if !old.iter().chain(new).any(|item| matches!(item, Item::Node(..))) {
            let whole = |count: &Count| Count { set: request_set::below(count.set), ..*count };
            return end.iter().map(|(id, count)| (*id, whole(count))).collect();
        }
        let slash = self.ending(Ending::Slash, old, new, at);
        let others = self.below(Kind::OTHER, old, new, at);
        let mut named: BTreeMap<usize, Vec<(String, Option<Digest>)>> = BTreeMap::new();
        let mut kinds: BTreeMap<usize, u64> = BTreeMap::new();
        let segments = self.segments(old, new);
        let mut all = BTreeMap::from([(Kind::OTHER, Rc::clone(&others))]);
        for segment in &segments {
            let found = self.below(*segment, old, new, at);
            // Each kind is an exception from a wider one, which was visited before it.
            let base = segment.base(&segments).and_then(|base| all.get(&base)).map(Rc::clone).unwrap_or_default();
            all.insert(*segment, Rc::clone(&found));
            if Rc::ptr_eq(&found, &base) {
                continue;
            }
            if !self.budget.spend(CARRY_UNITS * (1 + found.len() + base.len()) as u64) {
                break;
            }
            for (id, count) in unlike(&found, &base) {
                named.entry(id).or_default().push((segment.to_string(), count.set));
                *kinds.entry(id).or_default() += count.kinds;
            }
        }
        let ids: BTreeSet<usize> =
            end.keys().chain(slash.keys()).chain(others.keys()).chain(named.keys()).copied().collect();
        let set_of = |found: &Found, id| found.get(&id).and_then(|count| count.set);
        let kinds_of = |found: &Found, id| found.get(&id).map_or(0, |count| count.kinds);
        let count = |id: usize| {
            let exceptions = named.get(&id).map_or(&[][..], Vec::as_slice);
            let exceptions: Vec<_> = exceptions.iter().map(|(name, digest)| (name.as_str(), *digest)).collect();
            let set = request_set::paths(set_of(&end, id), set_of(&slash, id), set_of(&others, id), &exceptions);
            let below = kinds.get(&id).copied().unwrap_or_default();
            Count { set, kinds: kinds_of(&end, id) + kinds_of(&slash, id) + kinds_of(&others, id) + below }
        };
        ids.into_iter().map(|id| (id, count(id))).collect()
    }

    /// The differences below a kind of segments.
    fn below(&mut self, segment: Kind<'_>, old: &Config, new: &Config, at: &mut Prefix) -> Rc<Found> {
        if !self.budget.spend(STEP_UNITS * (1 + old.len() + new.len()) as u64) {
            return Rc::default();
        }
        let [old_case, new_case] = [self.old, self.new].map(|version| !version.policy.routes.ignores_case());
        let (old_next, new_next) = (self.step(old, segment, old_case), self.step(new, segment, new_case));
        if self.means(&old_next).eq(self.means(&new_next)) {
            return Rc::default();
        }
        at.segments.push(self.example(segment, old, new));
        let found = self.visit(&old_next, &new_next, at);
        at.segments.pop();
        found
    }
}

/// The differences whose requests are not the same here and there, with those from here.
fn unlike<'f>(here: &'f Found, there: &'f Found) -> impl Iterator<Item = (usize, Count)> + 'f {
    let changed = here.iter().filter(|(id, count)| there.get(id).and_then(|count| count.set) != count.set);
    let missing = there.iter().filter(|(id, count)| count.set.is_some() && !here.contains_key(id));
    changed.map(|(id, count)| (*id, *count)).chain(missing.map(|(id, _)| (*id, Count::default())))
}
