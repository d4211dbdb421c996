//! The state of a table in the middle of a path, and the transition for a segment.

use super::{STEP_UNITS, Walk};
use crate::policy::diff::{
    hosts::{HostKind, fresh},
    trees::{ANY_SEGMENT, NOTHING, NodeId, Roots},
};
use std::{collections::BTreeSet, rc::Rc};

/// A position in a table after some segments. More specific positions come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// In the middle of templates.
    Node(NodeId),
    /// Inside a `{*name}` of this node.
    Rest(NodeId),
}

pub(super) type Config = Vec<Item>;

/// The state before the first segment.
pub(super) fn root(roots: &Roots<'_>, kind: HostKind<'_>) -> Config {
    let exact = match kind {
        HostKind::Exact(host) => roots.exact.get(host),
        HostKind::Under(_) | HostKind::Other => None,
    };
    let under = kind.suffixes().filter_map(|suffix| roots.under.get(suffix));
    exact.into_iter().chain(under).chain(&roots.every).copied().map(Item::Node).collect()
}

impl<'p> Walk<'_, 'p> {
    /// The state after one more segment that is not empty.
    pub(super) fn step(&self, config: &Config, segment: Option<&str>) -> Config {
        let mut next = Vec::with_capacity(config.len() + 1);
        for item in config {
            let Item::Node(id) = *item else {
                next.push(*item);
                if self.answers_all(*item) {
                    break;
                }
                continue;
            };
            let Some(node) = self.trees.node(id) else { continue };
            next.extend(segment.and_then(|segment| node.literals.get(segment)).map(|next| Item::Node(*next)));
            next.extend(node.one.map(Item::Node));
            if node.rest.meaning != NOTHING {
                next.push(Item::Rest(id));
                // Positions that are less specific than a rest for every method are never reached.
                if node.rest.every.is_some() {
                    break;
                }
            }
        }
        next
    }

    pub(super) fn answers_all(&self, item: Item) -> bool {
        matches!(item, Item::Rest(id) if self.trees.node(id).is_some_and(|node| node.rest.every.is_some()))
    }

    pub(super) fn means(&self, config: &Config) -> impl Iterator<Item = u32> {
        config.iter().filter_map(|item| self.meaning(*item))
    }

    pub(super) fn meaning(&self, item: Item) -> Option<u32> {
        match item {
            Item::Node(id) => self.trees.node(id).map(|node| node.meaning),
            Item::Rest(id) => self.trees.node(id).map(|node| node.rest.meaning),
        }
    }

    /// The segments that may lead elsewhere than an unnamed one.
    pub(super) fn segments(&mut self, old: &Config, new: &Config) -> BTreeSet<&'p str> {
        if let Some(differing) = self.pairwise(old, new) {
            return differing;
        }
        let nodes = old.iter().chain(new).filter_map(|item| match item {
            Item::Node(id) => self.trees.node(*id),
            Item::Rest(_) => None,
        });
        nodes.flat_map(|node| node.literals.keys()).filter(|segment| !segment.is_empty()).copied().collect()
    }

    /// The segments that lead to a difference, if all others lead to none: then the two sides are equal, position by position,
    /// except below literal segments.
    pub(super) fn pairwise(&mut self, old: &Config, new: &Config) -> Option<BTreeSet<&'p str>> {
        if old.len() != new.len() {
            return None;
        }
        let mut segments = BTreeSet::new();
        for (a, b) in old.iter().zip(new) {
            match (*a, *b) {
                (a, b) if std::mem::discriminant(&a) != std::mem::discriminant(&b) => return None,
                (a, b) if self.meaning(a) == self.meaning(b) => {}
                (Item::Node(a), Item::Node(b)) => {
                    let (left, right) = (self.trees.node(a)?, self.trees.node(b)?);
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

    pub(super) fn differing(&mut self, a: NodeId, b: NodeId) -> Rc<[&'p str]> {
        if let Some(known) = self.differing.get(&(a, b)) {
            return Rc::clone(known);
        }
        let (Some(left), Some(right)) = (self.trees.node(a), self.trees.node(b)) else { return Rc::default() };
        let names: BTreeSet<&str> = left.literals.keys().chain(right.literals.keys()).copied().collect();
        self.budget.spend(STEP_UNITS * names.len() as u64);
        let meaning = |id: Option<&NodeId>| id.and_then(|id| self.meaning(Item::Node(*id)));
        let differ = |name: &&str| meaning(left.literals.get(name)) != meaning(right.literals.get(name));
        let names: Rc<[&str]> = names.into_iter().filter(|name| !name.is_empty()).filter(differ).collect();
        self.differing.insert((a, b), Rc::clone(&names));
        names
    }

    /// A segment that no template names here.
    pub(super) fn unnamed(&self, old: &Config, new: &Config) -> String {
        let is_named = |name: &str| {
            old.iter().chain(new).any(|item| match item {
                Item::Node(id) => self.trees.node(*id).is_some_and(|node| node.literals.contains_key(name)),
                Item::Rest(_) => false,
            })
        };
        fresh([ANY_SEGMENT], ANY_SEGMENT, is_named)
    }
}
