//! The rules of one host pattern, as a tree of path segments.
//!
//! Router crates do not fit: they refuse `/{name}` beside `/{*name}`, and do not fall back to a less specific path if a
//! rule's methods do not match.

use super::{
    Method, RuleId,
    template::{Segment, Template},
};
use std::collections::HashMap;

/// A tree whose nodes represent the first segments of templates. Each node has a unique path, so that a lookup visits
/// it at most once, whatever the request, and no node is deeper than the longest template.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) literals: HashMap<Box<str>, NodeId>,
    /// The nodes behind `{name}:literal`, the longest text first: the more specific one.
    pub(super) suffixes: Vec<(Box<str>, NodeId)>,
    pub(super) one: Option<NodeId>,
    /// The rules whose template ends here.
    pub(super) here: Answers,
    /// The rules whose template ends with a `{*name}` here.
    pub(super) rest: Answers,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct NodeId(usize);

pub(super) const ROOT: NodeId = NodeId(0);

/// A place in the tree that rules can be attached to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    node: NodeId,
    rest: bool,
}

/// What a lookup looks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'m> {
    /// A rule that names this method, or matches every method.
    Method(&'m str),
    /// A rule for `HEAD`, or for `GET` in its place.
    HeadOrGet,
}

/// A rule that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) rule: RuleId,
    /// Whether it names the method.
    pub(super) is_named: bool,
}

/// The rules of one template shape; no two of them match the same method.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) every: Option<RuleId>,
    pub(super) named: Vec<(Box<str>, RuleId)>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    /// The rule of the most specific template that matches path and method. `path` is what follows the first `/`.
    pub(super) fn find(&self, wanted: Wanted<'_>, path: &str) -> Option<Found> {
        self.descend(ROOT, wanted, path)
    }

    fn descend(&self, NodeId(id): NodeId, wanted: Wanted<'_>, path: &str) -> Option<Found> {
        let node = self.nodes.get(id)?;
        let (segment, tail) = match path.split_once('/') {
            Some((segment, tail)) => (segment, Some(tail)),
            None => (path, None),
        };
        let literal = node.literals.get(segment).and_then(|next| self.follow(*next, wanted, tail));
        if literal.is_some() || segment.is_empty() {
            return literal;
        }
        let suffixes = node.suffixes.iter().filter(|(suffix, _)| has_suffix(segment, suffix));
        suffixes
            .map(|(_, next)| *next)
            .chain(node.one)
            .find_map(|next| self.follow(next, wanted, tail))
            .or_else(|| node.rest.find(wanted))
    }

    fn follow(&self, next: NodeId, wanted: Wanted<'_>, tail: Option<&str>) -> Option<Found> {
        match tail {
            Some(tail) => self.descend(next, wanted, tail),
            None => self.nodes.get(next.0)?.here.find(wanted),
        }
    }

    pub(super) fn node(&self, NodeId(id): NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// Adds the nodes of a template.
    pub(super) fn place(&mut self, template: &Template) -> Place {
        let mut node = ROOT;
        for segment in &template.0 {
            let fresh = NodeId(self.nodes.len());
            let Some(parent) = self.nodes.get_mut(node.0) else {
                break;
            };
            node = match segment {
                Segment::Rest => return Place { node, rest: true },
                Segment::One => *parent.one.get_or_insert(fresh),
                Segment::Suffixed(text) => parent.suffix(text, fresh),
                Segment::Literal(text) => match parent.literals.get(text) {
                    Some(next) => *next,
                    None => *parent.literals.entry(text.clone()).or_insert(fresh),
                },
            };
            if node.0 == fresh.0 {
                self.nodes.push(Node::default());
            }
        }
        Place { node, rest: false }
    }

    /// The rules at a place.
    pub(super) fn answers(&mut self, place: Place) -> Option<&mut Answers> {
        let node = self.nodes.get_mut(place.node.0)?;
        Some(if place.rest { &mut node.rest } else { &mut node.here })
    }
}

impl Node {
    /// The node behind `{name}:literal`, or `fresh` as a new one.
    fn suffix(&mut self, text: &str, fresh: NodeId) -> NodeId {
        if let Some((_, next)) = self.suffixes.iter().find(|(suffix, _)| **suffix == *text) {
            return *next;
        }
        let place = self.suffixes.partition_point(|(suffix, _)| suffix.len() >= text.len());
        self.suffixes.insert(place, (text.into(), fresh));
        fresh
    }
}

/// Whether a segment is a variable and then this text.
pub fn has_suffix(segment: &str, suffix: &str) -> bool {
    segment.len() > suffix.len() && segment.ends_with(suffix)
}

impl Answers {
    fn find(&self, wanted: Wanted<'_>) -> Option<Found> {
        let named = match wanted {
            Wanted::Method(method) => self.named(method),
            Wanted::HeadOrGet => self.named("HEAD").or_else(|| self.named("GET")),
        };
        let every = || self.every.map(|rule| Found { rule, is_named: false });
        named.map(|rule| Found { rule, is_named: true }).or_else(every)
    }

    fn named(&self, method: &str) -> Option<RuleId> {
        self.named.iter().find(|(name, _)| **name == *method).map(|(_, rule)| *rule)
    }

    /// The rules that already match one of these methods; an empty list stands for all methods.
    pub(super) fn rivals(&self, methods: &[Method]) -> impl Iterator<Item = RuleId> {
        let overlaps = |name: &str| methods.is_empty() || methods.iter().any(|method| *method.0 == *name);
        let named = self.named.iter().filter(move |(name, _)| overlaps(name)).map(|(_, rule)| *rule);
        self.every.into_iter().chain(named)
    }

    /// Attaches a rule that conflicts with none here.
    pub(super) fn add(&mut self, methods: &[Method], rule: RuleId) {
        if methods.is_empty() {
            self.every = Some(rule);
        }
        self.named.extend(methods.iter().map(|method| (method.0.clone(), rule)));
    }
}
