//! Both route tables walked at once: every kind of request that they could tell apart is looked up in both, by the filter's
//! own `find`, and what differs is noted.
//!
//! A kind is a host (named, under a wildcard, or neither), a path (at each place a segment that a template names, or none of
//! them) and a method (named, or any other). Kinds are not listed: the trees of both tables are followed together as an
//! automaton. Where all that can still be reached means the same on both sides, it is not entered; what can be reached in
//! several ways is looked at once; and the whole is bounded by a [`Budget`].

mod config;
mod requests;

use super::{
    budget::Budget,
    change::Change,
    forest::{Forest, NodeId, Roots},
    hosts::{HostKind, Hosts},
    set::{self, Digest},
};
use config::{Config, Item, root};
use portcullis_engine::{policy::Policy, route::RuleId};
use requests::Ending;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

/// Units of the budget: a segment tried, a difference carried up, and what is remembered of a place: the place itself, each part
/// of where the tables stand, each difference.
const STEP_UNITS: u64 = 50;
const CARRY_UNITS: u64 = 30;
const PLACE_UNITS: u64 = 2_000;
const PART_UNITS: u64 = 100;
const KEEP_UNITS: u64 = 300;

/// A request that stands for all of its kind.
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
pub(super) struct World<'w, 'p> {
    pub(super) policy: &'p Policy,
    pub(super) roots: &'w Roots<'p>,
}

/// A change between the rules that answer some requests before and after.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) old: Option<RuleId>,
    pub(super) new: Option<RuleId>,
    pub(super) change: Change,
    pub(super) examples: Vec<Example>,
    /// The requests that it is about.
    pub(super) set: Digest,
    /// How many kinds of requests those are; one that is like another is not counted.
    pub(super) kinds: u64,
}

/// What is found below a place: by the index of the difference.
type Found = BTreeMap<usize, Spot>;

/// The requests of a difference below a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Spot {
    set: Option<Digest>,
    kinds: u64,
}

pub(super) struct Walk<'w, 'p> {
    old: World<'w, 'p>,
    new: World<'w, 'p>,
    forest: &'w Forest<'p>,
    budget: &'w mut Budget,
    seen: HashMap<(Config, Config), Rc<Found>>,
    differing: HashMap<(NodeId, NodeId), Rc<[&'p str]>>,
    compared: HashMap<Answered, Rc<[usize]>>,
    differences: Vec<Difference>,
}

/// Who answers a request before and after, and whether `on_outage: read_only` lets its method pass.
type Answered = (Option<RuleId>, Option<RuleId>, bool);

/// Where the walk is.
struct Prefix {
    host: String,
    segments: Vec<String>,
}

/// Compares what both tables answer.
pub(super) fn differences<'p>(
    old: World<'_, 'p>,
    new: World<'_, 'p>,
    forest: &Forest<'p>,
    budget: &mut Budget,
) -> Vec<Difference> {
    let walk = Walk {
        old,
        new,
        forest,
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
            for (id, spot) in unlike(&here, &parent) {
                exceptions.entry(id).or_default().push((kind.to_string(), spot.set));
                *kinds.entry(id).or_default() += spot.kinds;
            }
            found.insert(kind, here);
        }
        // The kind of all other hosts has no parent: what is found there is an exception from nothing.
        for (id, difference) in self.differences.iter_mut().enumerate() {
            let mut exceptions = exceptions.remove(&id).unwrap_or_default();
            exceptions.sort();
            let exceptions: Vec<_> = exceptions.iter().map(|(host, digest)| (host.as_str(), *digest)).collect();
            difference.set = set::hosts(None, &exceptions);
            difference.kinds = kinds.remove(&id).unwrap_or_default();
        }
        self.differences
    }

    /// What differs from here on. The recursion is as deep as the longest template, which has 64 segments.
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
        if !old.iter().chain(new).any(|item| matches!(item, Item::Node(_))) {
            let whole = |spot: &Spot| Spot { set: set::below(spot.set), ..*spot };
            return end.iter().map(|(id, spot)| (*id, whole(spot))).collect();
        }
        let slash = self.ending(Ending::Slash, old, new, at);
        let others = self.below(None, old, new, at);
        let mut named: BTreeMap<usize, Vec<(&str, Option<Digest>)>> = BTreeMap::new();
        let mut kinds: BTreeMap<usize, u64> = BTreeMap::new();
        for segment in self.segments(old, new) {
            let found = self.below(Some(segment), old, new, at);
            if Rc::ptr_eq(&found, &others) {
                continue;
            }
            if !self.budget.spend(CARRY_UNITS * (1 + found.len() + others.len()) as u64) {
                break;
            }
            for (id, spot) in unlike(&found, &others) {
                named.entry(id).or_default().push((segment, spot.set));
                *kinds.entry(id).or_default() += spot.kinds;
            }
        }
        let ids: BTreeSet<usize> =
            end.keys().chain(slash.keys()).chain(others.keys()).chain(named.keys()).copied().collect();
        let set_of = |found: &Found, id| found.get(&id).and_then(|spot| spot.set);
        let kinds_of = |found: &Found, id| found.get(&id).map_or(0, |spot| spot.kinds);
        let spot = |id: usize| {
            let exceptions = named.get(&id).map_or(&[][..], Vec::as_slice);
            let set = set::paths(set_of(&end, id), set_of(&slash, id), set_of(&others, id), exceptions);
            let below = kinds.get(&id).copied().unwrap_or_default();
            Spot { set, kinds: kinds_of(&end, id) + kinds_of(&slash, id) + kinds_of(&others, id) + below }
        };
        ids.into_iter().map(|id| (id, spot(id))).collect()
    }

    /// What differs below the next segment, or below one that no template names here.
    fn below(&mut self, segment: Option<&str>, old: &Config, new: &Config, at: &mut Prefix) -> Rc<Found> {
        if !self.budget.spend(STEP_UNITS * (1 + old.len() + new.len()) as u64) {
            return Rc::default();
        }
        let (old_next, new_next) = (self.step(old, segment), self.step(new, segment));
        if self.means(&old_next).eq(self.means(&new_next)) {
            return Rc::default();
        }
        at.segments.push(segment.map_or_else(|| self.unnamed(old, new), str::to_owned));
        let found = self.visit(&old_next, &new_next, at);
        at.segments.pop();
        found
    }
}

/// The differences whose requests are others here than there, and which they are here.
fn unlike<'f>(here: &'f Found, there: &'f Found) -> impl Iterator<Item = (usize, Spot)> + 'f {
    let changed = here.iter().filter(|(id, spot)| there.get(id).and_then(|spot| spot.set) != spot.set);
    let missing = there.iter().filter(|(id, spot)| spot.set.is_some() && !here.contains_key(id));
    changed.map(|(id, spot)| (*id, *spot)).chain(missing.map(|(id, _)| (*id, Spot::default())))
}
