//! The route trees of both policies side by side, each node with a number for what it and all below it mean.

use portcullis_engine::route::{Answer, Branch, HostPattern, RouteTable, RuleId};
use std::collections::{BTreeMap, HashMap};

/// What means nothing: no rule answers.
pub(super) const NOTHING: u32 = 0;

/// A node of a forest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(usize);

/// The trees of both policies.
#[derive(Debug, Default)]
pub(super) struct Forest<'p> {
    nodes: Vec<Node<'p>>,
    numbers: HashMap<Shape<'p>, u32>,
}

/// The rules of one place: those of named methods, and the one of all others.
#[derive(Debug, Default, Clone)]
pub(super) struct Answers<'p> {
    pub(super) named: BTreeMap<&'p str, RuleId>,
    pub(super) every: Option<RuleId>,
    pub(super) meaning: u32,
}

/// As in the filter's tree; nodes that mean nothing are left out.
#[derive(Debug)]
pub(super) struct Node<'p> {
    pub(super) literals: BTreeMap<&'p str, NodeId>,
    pub(super) one: Option<NodeId>,
    pub(super) here: Answers<'p>,
    pub(super) rest: Answers<'p>,
    pub(super) meaning: u32,
}

/// What decides what a part means.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Shape<'p> {
    /// The meaning of the rule for each method, none of them the one for all others.
    Answers(Vec<(&'p str, u32)>, Option<u32>),
    Node {
        literals: Vec<(&'p str, u32)>,
        one: u32,
        here: u32,
        rest: u32,
    },
}

/// The roots of one policy's trees.
#[derive(Debug, Default)]
pub(super) struct Roots<'p> {
    pub(super) exact: HashMap<Box<str>, NodeId>,
    pub(super) under: HashMap<Box<str>, NodeId>,
    pub(super) every: Option<NodeId>,
    /// A request for each rule, unless a more specific one answers it.
    pub(super) places: HashMap<RuleId, Place<'p>>,
}

/// Where a rule hangs first.
#[derive(Debug, Clone)]
pub(super) struct Place<'p> {
    pub(super) host: Option<HostPattern>,
    pub(super) segments: Vec<&'p str>,
    pub(super) method: Option<&'p str>,
}

/// What stands for a segment that no template names.
pub(super) const ANY_SEGMENT: &str = "x";

impl<'p> Forest<'p> {
    /// Adds a policy's trees. `meanings` has a number for each of its rules.
    pub(super) fn plant(&mut self, table: &'p RouteTable, meanings: &[u32]) -> Roots<'p> {
        let mut roots = Roots::default();
        let mut trees: Vec<_> = table.trees().collect();
        trees.sort_by_cached_key(|(host, _)| format!("{host:?}"));
        for (host, root) in trees {
            let mut planter =
                Planter { forest: self, meanings, host: &host, segments: Vec::new(), places: &mut roots.places };
            let Some(node) = planter.node(root) else { continue };
            match host {
                Some(HostPattern::Exact(host)) => drop(roots.exact.insert(host, node)),
                Some(HostPattern::Under(suffix)) => drop(roots.under.insert(suffix, node)),
                None => roots.every = Some(node),
            }
        }
        roots
    }

    pub(super) fn node(&self, NodeId(id): NodeId) -> Option<&Node<'p>> {
        self.nodes.get(id)
    }

    fn number(&mut self, shape: Shape<'p>) -> u32 {
        let next = u32::try_from(self.numbers.len() + 1).unwrap_or(u32::MAX);
        *self.numbers.entry(shape).or_insert(next)
    }
}

struct Planter<'f, 'p> {
    forest: &'f mut Forest<'p>,
    meanings: &'f [u32],
    host: &'f Option<HostPattern>,
    segments: Vec<&'p str>,
    places: &'f mut HashMap<RuleId, Place<'p>>,
}

impl<'p> Planter<'_, 'p> {
    /// No deeper than the longest template, which has 64 segments.
    fn node(&mut self, branch: Branch<'p>) -> Option<NodeId> {
        let here = self.answers(branch.here());
        self.segments.push(ANY_SEGMENT);
        let rest = self.answers(branch.rest());
        let one = branch.one().and_then(|next| self.node(next));
        self.segments.pop();
        let mut literals = BTreeMap::new();
        for (segment, next) in branch.literals() {
            self.segments.push(segment);
            if let Some(next) = self.node(next) {
                literals.insert(segment, next);
            }
            self.segments.pop();
        }
        let shape = Shape::Node {
            literals: literals.iter().map(|(segment, next)| (*segment, self.meaning_of(Some(*next)))).collect(),
            one: self.meaning_of(one),
            here: here.meaning,
            rest: rest.meaning,
        };
        let means_nothing = matches!(
            &shape,
            Shape::Node { literals, one: NOTHING, here: NOTHING, rest: NOTHING } if literals.is_empty()
        );
        if means_nothing {
            return None;
        }
        let meaning = self.forest.number(shape);
        self.forest.nodes.push(Node { literals, one, here, rest, meaning });
        Some(NodeId(self.forest.nodes.len() - 1))
    }

    fn meaning_of(&self, node: Option<NodeId>) -> u32 {
        node.and_then(|id| self.forest.node(id)).map_or(NOTHING, |node| node.meaning)
    }

    fn answers(&mut self, given: impl Iterator<Item = Answer<'p>>) -> Answers<'p> {
        let mut answers = Answers::default();
        for (method, rule) in given {
            match method {
                Some(method) => drop(answers.named.insert(method, rule)),
                None => answers.every = Some(rule),
            }
            let place = || Place { host: self.host.clone(), segments: self.segments.clone(), method };
            self.places.entry(rule).or_insert_with(place);
        }
        if answers.named.is_empty() && answers.every.is_none() {
            return answers;
        }
        let meaning = |rule: &RuleId| self.meanings.get(rule.0).copied().unwrap_or(u32::MAX);
        let every = answers.every.as_ref().map(meaning);
        let named = answers.named.iter().map(|(method, rule)| (*method, meaning(rule)));
        let named = named.filter(|(_, number)| Some(*number) != every).collect();
        answers.meaning = self.forest.number(Shape::Answers(named, every));
        answers
    }
}
