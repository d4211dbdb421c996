//! The route trees of both policies. Each node has a number that identifies the meaning of its whole subtree.

use portcullis_engine::route::{Answer, Branch, HostPattern, RouteTable, RuleId};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

/// The meaning of a place without rules.
pub(super) const NOTHING: u32 = 0;

/// A node of a trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(usize);

/// The trees of both policies.
#[derive(Debug, Default)]
pub(super) struct RouteTrees<'p> {
    nodes: Vec<Node<'p>>,
    numbers: HashMap<Shape<'p>, u32>,
}

/// The rules of one place: one for each named method, and one for all other methods.
#[derive(Debug, Default, Clone)]
pub(super) struct Answers<'p> {
    pub(super) named: BTreeMap<&'p str, RuleId>,
    pub(super) every: Option<RuleId>,
    pub(super) meaning: u32,
}

/// A node of the filter's tree. Nodes without meaning are left out.
#[derive(Debug)]
pub(super) struct Node<'p> {
    pub(super) literals: BTreeMap<&'p str, NodeId>,
    /// Behind `{name}:literal`, the longest text first.
    pub(super) suffixes: Vec<(&'p str, NodeId)>,
    pub(super) one: Option<NodeId>,
    pub(super) here: Answers<'p>,
    pub(super) rest: Answers<'p>,
    pub(super) meaning: u32,
}

/// What the meaning of a part depends on.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Shape<'p> {
    /// The meaning for each method that differs from the default, and the default.
    Answers(Vec<(&'p str, u32)>, Option<u32>),
    Node {
        literals: Vec<(&'p str, u32)>,
        suffixes: Vec<(&'p str, u32)>,
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
    /// A place of each rule. A more specific rule may still answer there.
    pub(super) places: HashMap<RuleId, Place<'p>>,
}

/// The first place of a rule in the tree.
#[derive(Debug, Clone)]
pub(super) struct Place<'p> {
    pub(super) host: Option<HostPattern>,
    pub(super) segments: Vec<Cow<'p, str>>,
    pub(super) method: Option<&'p str>,
}

/// An example of a segment that no template names.
pub(super) const ANY_SEGMENT: &str = "x";

impl<'p> RouteTrees<'p> {
    /// Adds a policy's trees. `meanings` holds the number of each of its rules.
    pub(super) fn build(&mut self, table: &'p RouteTable, meanings: &[u32]) -> Roots<'p> {
        let mut roots = Roots::default();
        let mut trees: Vec<_> = table.trees().collect();
        trees.sort_by_cached_key(|(host, _)| format!("{host:?}"));
        for (host, root) in trees {
            let mut builder =
                Builder { trees: self, meanings, host: &host, segments: Vec::new(), places: &mut roots.places };
            let Some(node) = builder.node(root) else { continue };
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

struct Builder<'f, 'p> {
    trees: &'f mut RouteTrees<'p>,
    meanings: &'f [u32],
    host: &'f Option<HostPattern>,
    segments: Vec<Cow<'p, str>>,
    places: &'f mut HashMap<RuleId, Place<'p>>,
}

impl<'p> Builder<'_, 'p> {
    /// The recursion is as deep as the longest template, which has 64 segments.
    fn node(&mut self, branch: Branch<'p>) -> Option<NodeId> {
        let here = self.answers(branch.here());
        self.segments.push(ANY_SEGMENT.into());
        let rest = self.answers(branch.rest());
        let one = branch.one().and_then(|next| self.node(next));
        self.segments.pop();
        let mut literals = BTreeMap::new();
        for (segment, next) in branch.literals() {
            self.segments.push(segment.into());
            if let Some(next) = self.node(next) {
                literals.insert(segment, next);
            }
            self.segments.pop();
        }
        let mut suffixes = Vec::new();
        for (suffix, next) in branch.suffixes() {
            self.segments.push(format!("{ANY_SEGMENT}{suffix}").into());
            suffixes.extend(self.node(next).map(|next| (suffix, next)));
            self.segments.pop();
        }
        let shape = Shape::Node {
            literals: literals.iter().map(|(segment, next)| (*segment, self.meaning_of(Some(*next)))).collect(),
            suffixes: suffixes.iter().map(|(suffix, next)| (*suffix, self.meaning_of(Some(*next)))).collect(),
            one: self.meaning_of(one),
            here: here.meaning,
            rest: rest.meaning,
        };
        let means_nothing = matches!(
            &shape,
            Shape::Node { literals, suffixes, one: NOTHING, here: NOTHING, rest: NOTHING }
                if literals.is_empty() && suffixes.is_empty()
        );
        if means_nothing {
            return None;
        }
        let meaning = self.trees.number(shape);
        self.trees.nodes.push(Node { literals, suffixes, one, here, rest, meaning });
        Some(NodeId(self.trees.nodes.len() - 1))
    }

    fn meaning_of(&self, node: Option<NodeId>) -> u32 {
        node.and_then(|id| self.trees.node(id)).map_or(NOTHING, |node| node.meaning)
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
        answers.meaning = self.trees.number(Shape::Answers(named, every));
        answers
    }
}
