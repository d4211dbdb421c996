//! Both route tables walked at once: every kind of request that they could tell apart is looked up in both, by the filter's
//! own `find`, and what differs is noted.
//!
//! A kind is a host (named, under a wildcard, or neither), a path (at each place a segment that a template names, or none of
//! them) and a method (named, or any other). Kinds are not listed: the trees of both tables are followed together as an
//! automaton. Where all that can still be reached means the same on both sides, it is not entered; what can be reached in
//! several ways is looked at once; and the whole is bounded by a [`Budget`].

use super::{
    budget::Budget,
    change::{self, Change, Side},
    forest::{ANY_SEGMENT, Answers, Forest, NOTHING, NodeId, Roots},
    hosts::{HostKind, Hosts},
    set::{self, Digest},
};
use portcullis_filter::{
    policy::{Outage, Policy},
    route::{Host, Path, RuleId},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

/// The most examples of a difference.
const EXAMPLES_MAX: usize = 3;
/// Units of the budget: a segment tried, a request looked up, a difference carried up, and what is remembered of a place: the
/// place itself, each part of where the tables stand, each difference.
const STEP_UNITS: u64 = 50;
const REQUEST_UNITS: u64 = 100;
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

/// Where a table may stand after some segments: what comes first is more specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    /// In the middle of templates.
    Node(NodeId),
    /// Behind a `{*name}` of this node.
    Rest(NodeId),
}

type Config = Vec<Item>;

/// How a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Here,
    Slash,
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

    /// Where a table stands after one more segment that is not empty.
    fn step(&self, config: &Config, segment: Option<&str>) -> Config {
        let mut next = Vec::with_capacity(config.len() + 1);
        for item in config {
            let Item::Node(id) = *item else {
                next.push(*item);
                if self.answers_all(*item) {
                    break;
                }
                continue;
            };
            let Some(node) = self.forest.node(id) else { continue };
            next.extend(segment.and_then(|segment| node.literals.get(segment)).map(|next| Item::Node(*next)));
            next.extend(node.one.map(Item::Node));
            if node.rest.meaning != NOTHING {
                next.push(Item::Rest(id));
                // What is less specific than a rest that answers every method is never reached.
                if node.rest.every.is_some() {
                    break;
                }
            }
        }
        next
    }

    fn answers_all(&self, item: Item) -> bool {
        matches!(item, Item::Rest(id) if self.forest.node(id).is_some_and(|node| node.rest.every.is_some()))
    }

    fn means(&self, config: &Config) -> impl Iterator<Item = u32> {
        config.iter().filter_map(|item| self.meaning(*item))
    }

    fn meaning(&self, item: Item) -> Option<u32> {
        match item {
            Item::Node(id) => self.forest.node(id).map(|node| node.meaning),
            Item::Rest(id) => self.forest.node(id).map(|node| node.rest.meaning),
        }
    }

    /// The segments that may lead to something else than an unnamed one does.
    fn segments(&mut self, old: &Config, new: &Config) -> BTreeSet<&'p str> {
        if let Some(differing) = self.pairwise(old, new) {
            return differing;
        }
        let nodes = old.iter().chain(new).filter_map(|item| match item {
            Item::Node(id) => self.forest.node(*id),
            Item::Rest(_) => None,
        });
        nodes.flat_map(|node| node.literals.keys()).filter(|segment| !segment.is_empty()).copied().collect()
    }

    /// The segments that lead to a difference, if all others lead to none: the two sides are alike, place by place, but for
    /// what lies behind literal segments.
    fn pairwise(&mut self, old: &Config, new: &Config) -> Option<BTreeSet<&'p str>> {
        if old.len() != new.len() {
            return None;
        }
        let mut segments = BTreeSet::new();
        for (a, b) in old.iter().zip(new) {
            match (*a, *b) {
                (a, b) if std::mem::discriminant(&a) != std::mem::discriminant(&b) => return None,
                (a, b) if self.meaning(a) == self.meaning(b) => {}
                (Item::Node(a), Item::Node(b)) => {
                    let (left, right) = (self.forest.node(a)?, self.forest.node(b)?);
                    let one = |id: Option<NodeId>| id.and_then(|id| self.meaning(Item::Node(id)));
                    if one(left.one) != one(right.one) || left.rest.meaning != right.rest.meaning {
                        return None;
                    }
                    segments.extend(self.differing(a, b).iter());
                }
                _ => return None,
            }
        }
        Some(segments)
    }

    fn differing(&mut self, a: NodeId, b: NodeId) -> Rc<[&'p str]> {
        if let Some(known) = self.differing.get(&(a, b)) {
            return Rc::clone(known);
        }
        let (Some(left), Some(right)) = (self.forest.node(a), self.forest.node(b)) else { return Rc::default() };
        let names: BTreeSet<&str> = left.literals.keys().chain(right.literals.keys()).copied().collect();
        self.budget.spend(STEP_UNITS * names.len() as u64);
        let meaning = |id: Option<&NodeId>| id.and_then(|id| self.meaning(Item::Node(*id)));
        let differ = |name: &&str| meaning(left.literals.get(name)) != meaning(right.literals.get(name));
        let names: Rc<[&str]> = names.into_iter().filter(|name| !name.is_empty()).filter(differ).collect();
        self.differing.insert((a, b), Rc::clone(&names));
        names
    }

    /// A segment that no template names here.
    fn unnamed(&self, old: &Config, new: &Config) -> String {
        let is_named = |name: &str| {
            old.iter().chain(new).any(|item| match item {
                Item::Node(id) => self.forest.node(*id).is_some_and(|node| node.literals.contains_key(name)),
                Item::Rest(_) => false,
            })
        };
        fresh([ANY_SEGMENT], ANY_SEGMENT, is_named)
    }

    /// What differs for requests whose path ends here.
    fn ending(&mut self, ending: Ending, old: &Config, new: &Config, at: &Prefix) -> Found {
        let answers = |config: &Config| -> Vec<&Answers<'p>> {
            let answers = config.iter().filter_map(|item| self.answers(ending, *item));
            answers.filter(|answers| answers.meaning != NOTHING).collect()
        };
        let (before, after) = (answers(old), answers(new));
        let meaning = |answers: &&Answers<'p>| answers.meaning;
        if before.iter().map(meaning).eq(after.iter().map(meaning)) {
            return Found::new();
        }
        let mut named: BTreeSet<&str> = before.iter().chain(&after).flat_map(|at| at.named.keys().copied()).collect();
        let lets_reads_pass = |policy: &Policy, id: &RuleId| {
            policy.rules.get(id.0).is_some_and(|rule| rule.limits.on_outage == Outage::ReadOnly)
        };
        let any = |answers: &[&Answers<'p>], policy| {
            answers.iter().flat_map(|at| at.named.values().chain(&at.every)).any(|id| lets_reads_pass(policy, id))
        };
        if any(&before, self.old.policy) || any(&after, self.new.policy) {
            named.extend(READ_ONLY);
        }
        let path = format!("/{}", at.segments.join("/"));
        let path = if ending == Ending::Slash && !at.segments.is_empty() { path + "/" } else { path };
        self.requests(&named, &at.host, &path)
    }

    fn answers(&self, ending: Ending, item: Item) -> Option<&Answers<'p>> {
        match item {
            Item::Rest(id) => Some(&self.forest.node(id)?.rest),
            Item::Node(id) => {
                let node = self.forest.node(id)?;
                match ending {
                    Ending::Here => Some(&node.here),
                    Ending::Slash => Some(&self.forest.node(*node.literals.get("")?)?.here),
                }
            }
        }
    }

    /// What differs for a host and a path, by method.
    fn requests(&mut self, named: &BTreeSet<&str>, host: &str, path: &str) -> Found {
        if !self.budget.spend(REQUEST_UNITS * (1 + named.len() as u64)) {
            return Found::new();
        }
        let other = fresh(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"], "X-OTHER", |name| named.contains(name));
        let others = self.request(&other, host, path);
        let mut exceptions: BTreeMap<usize, Vec<&str>> = others.iter().map(|id| (*id, Vec::new())).collect();
        let mut kinds: BTreeMap<usize, u64> = others.iter().map(|id| (*id, 1)).collect();
        for method in named {
            let here = self.request(method, host, path);
            for id in here.iter().filter(|id| !others.contains(id)) {
                exceptions.entry(*id).or_default().push(method);
                *kinds.entry(*id).or_default() += 1;
            }
            for id in others.iter().filter(|id| !here.contains(id)) {
                exceptions.entry(*id).or_default().push(method);
            }
        }
        let spot = |(id, methods): (usize, Vec<&str>)| {
            let set = set::methods(others.contains(&id), &methods);
            (id, Spot { set, kinds: kinds.get(&id).copied().unwrap_or_default() })
        };
        exceptions.into_iter().map(spot).collect()
    }

    /// The differences of one request.
    fn request(&mut self, method: &str, host: &str, path: &str) -> Rc<[usize]> {
        let (Some(at), Ok(way)) = (Host::parse(host.as_bytes()), Path::parse(path.as_bytes())) else {
            // No such request can be made up: what can't be compared is not passed over.
            self.budget.exhaust();
            return Rc::default();
        };
        let [old, new] = [self.old, self.new].map(|world| world.policy.routes.find(&at, method, &way));
        let read_only = READ_ONLY.contains(&method);
        let ids = self.compare(old, new, read_only);
        for id in ids.iter() {
            if let Some(difference) = self.differences.get_mut(*id)
                && difference.examples.len() < EXAMPLES_MAX
            {
                difference.examples.push(Example { method: method.into(), host: host.into(), path: path.into() });
            }
        }
        ids
    }

    fn compare(&mut self, old: Option<RuleId>, new: Option<RuleId>, read_only: bool) -> Rc<[usize]> {
        if let Some(known) = self.compared.get(&(old, new, read_only)) {
            return Rc::clone(known);
        }
        // What was found for other methods of the same two rules.
        let others = self.compared.get(&(old, new, !read_only)).cloned().unwrap_or_default();
        let sides = (Side::of(self.old.policy, old), Side::of(self.new.policy, new));
        let changes = change::between(sides.0, sides.1, read_only, self.budget);
        let mut ids = Vec::with_capacity(changes.len());
        for change in changes {
            let is_known = |id: &&usize| self.differences.get(**id).is_some_and(|known| known.change == change);
            let known = others.iter().find(is_known).copied();
            ids.push(known.unwrap_or(self.differences.len()));
            if known.is_none() {
                let difference =
                    Difference { old, new, change, examples: Vec::new(), set: Digest::default(), kinds: 0 };
                self.differences.push(difference);
            }
        }
        let ids: Rc<[usize]> = ids.into();
        self.compared.insert((old, new, read_only), Rc::clone(&ids));
        ids
    }
}

/// The methods that `on_outage: read_only` lets pass.
const READ_ONLY: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// Where a table stands before the first segment.
fn root(roots: &Roots<'_>, kind: HostKind<'_>) -> Config {
    let exact = match kind {
        HostKind::Exact(host) => roots.exact.get(host),
        HostKind::Under(_) | HostKind::Other => None,
    };
    let under = kind.suffixes().filter_map(|suffix| roots.under.get(suffix));
    exact.into_iter().chain(under).chain(&roots.every).copied().map(Item::Node).collect()
}

/// The differences whose requests are others here than there, and which they are here.
fn unlike<'f>(here: &'f Found, there: &'f Found) -> impl Iterator<Item = (usize, Spot)> + 'f {
    let changed = here.iter().filter(|(id, spot)| there.get(id).and_then(|spot| spot.set) != spot.set);
    let missing = there.iter().filter(|(id, spot)| spot.set.is_some() && !here.contains_key(id));
    changed.map(|(id, spot)| (*id, *spot)).chain(missing.map(|(id, _)| (*id, Spot::default())))
}

/// The first name that is not taken.
pub(super) fn fresh<const N: usize>(names: [&str; N], stem: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (0_u32..).map(|number| format!("{stem}{number}"));
    let mut names = names.into_iter().map(str::to_owned).chain(numbered);
    names.find(|name| !is_taken(name)).unwrap_or_default()
}
