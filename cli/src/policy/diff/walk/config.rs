//! The state of a table in the middle of a path, and the transition for a segment.

use super::{STEP_UNITS, Walk, segments::Kind};
use crate::policy::diff::{
    hosts::{HostKind, fresh},
    trees::{ANY_SEGMENT, NOTHING, Node, NodeId, Roots},
};
use std::{collections::BTreeSet, rc::Rc};

/// A position in a table after some segments. More specific positions come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// In the middle of templates.
    Node(NodeId, Slashes),
    /// Inside a `{*name}` of this node.
    Rest(NodeId, Slashes),
}

/// The encoded slashes on the way to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Slashes {
    None,
    /// In segments that `{name}` matches: a rule that says so lets them through.
    InVariables,
    /// Elsewhere: no rule lets them through.
    Elsewhere,
}

pub(super) type Config = Vec<Item>;

/// The state before the first segment.
pub(super) fn root(roots: &Roots<'_>, kind: HostKind<'_>) -> Config {
    let exact = match kind {
        HostKind::Exact(host) => roots.exact.get(host),
        HostKind::Under(_) | HostKind::Other => None,
    };
    let under = kind.suffixes().filter_map(|suffix| roots.under.get(suffix));
    exact.into_iter().chain(under).chain(&roots.every).copied().map(|id| Item::Node(id, Slashes::None)).collect()
}

impl<'p> Walk<'_, 'p> {
    /// The state after one more segment that is not empty. `heeds_case`: whether the table does.
    pub(super) fn step(&self, config: &Config, segment: Kind<'_>, heeds_case: bool) -> Config {
        let segment = segment.in_case(heeds_case);
        let mut next = Vec::with_capacity(config.len() + 1);
        for item in config {
            let (id, slashes) = match *item {
                Item::Node(id, slashes) => (id, slashes),
                Item::Rest(id, slashes) => {
                    next.push(Item::Rest(id, slashes.elsewhere(segment.is_slashed())));
                    if self.answers_all(*item) {
                        break;
                    }
                    continue;
                }
            };
            let Some(node) = self.trees.node(id) else { continue };
            let elsewhere = slashes.elsewhere(segment.is_slashed());
            next.extend(
                segment.literal().and_then(|text| node.literals.get(text)).map(|next| Item::Node(*next, slashes)),
            );
            let suffixed = node.suffixes.iter().filter(|(suffix, _)| segment.ends_with(suffix));
            next.extend(suffixed.map(|(_, next)| Item::Node(*next, elsewhere)));
            next.extend(node.one.map(|next| Item::Node(next, slashes.in_variable(segment.is_slashed()))));
            if node.rest.meaning != NOTHING {
                next.push(Item::Rest(id, elsewhere));
                // Positions that are less specific than a rest for every method are never reached.
                if node.rest.every.is_some() {
                    break;
                }
            }
        }
        next
    }

    pub(super) fn answers_all(&self, item: Item) -> bool {
        matches!(item, Item::Rest(id, _) if self.trees.node(id).is_some_and(|node| node.rest.every.is_some()))
    }

    /// What each position means, with the slashes on the way to it: a rule's number says whether it lets them through.
    pub(super) fn means(&self, config: &Config) -> impl Iterator<Item = (u32, Slashes)> {
        config.iter().filter_map(|item| self.meaning(*item))
    }

    pub(super) fn meaning(&self, item: Item) -> Option<(u32, Slashes)> {
        match item {
            Item::Node(id, slashes) => self.trees.node(id).map(|node| (node.meaning, slashes)),
            Item::Rest(id, slashes) => self.trees.node(id).map(|node| (node.rest.meaning, slashes)),
        }
    }

    /// The kinds of segments that may lead elsewhere than an unnamed one, each behind the one that it is an exception from.
    pub(super) fn segments(&mut self, old: &Config, new: &Config) -> BTreeSet<Kind<'p>> {
        if let Some(differing) = self.pairwise(old, new) {
            return differing.into_iter().map(Kind::Named).collect();
        }
        let nodes: Vec<_> = old.iter().chain(new).filter_map(|item| self.node_of(*item)).collect();
        let names = nodes.iter().flat_map(|node| node.literals.keys()).filter(|segment| !segment.is_empty());
        let suffixes: BTreeSet<&str> =
            nodes.iter().flat_map(|node| &node.suffixes).map(|(suffix, _)| *suffix).chain([""]).collect();
        let slashes = [self.old, self.new].iter().any(|version| version.policy.routes.has_encoded_slashes());
        let open =
            |is_slashed| suffixes.iter().map(move |suffix| Kind::Open { is_slashed, length: suffix.len(), suffix });
        let mut kinds: BTreeSet<Kind<'p>> = names.map(|name| Kind::Named(name)).chain(open(false)).collect();
        if slashes {
            kinds.extend(open(true));
        }
        kinds.remove(&Kind::OTHER);
        kinds
    }

    fn node_of(&self, item: Item) -> Option<&'_ Node<'p>> {
        match item {
            Item::Node(id, _) => self.trees.node(id),
            Item::Rest(..) => None,
        }
    }

    /// The segments that lead to a difference, if all others lead to none: then the two sides are equal, position by position,
    /// except below literal segments.
    pub(super) fn pairwise(&mut self, old: &Config, new: &Config) -> Option<BTreeSet<&'p str>> {
        // A name of one side may be several on the other.
        if old.len() != new.len() || self.old.policy.routes.ignores_case() != self.new.policy.routes.ignores_case() {
            return None;
        }
        let mut segments = BTreeSet::new();
        for (a, b) in old.iter().zip(new) {
            match (*a, *b) {
                (a, b) if std::mem::discriminant(&a) != std::mem::discriminant(&b) => return None,
                (a, b) if self.meaning(a) == self.meaning(b) => {}
                (Item::Node(a, before), Item::Node(b, after)) if before == after => {
                    let (left, right) = (self.trees.node(a)?, self.trees.node(b)?);
                    let meaning = |id: NodeId| self.trees.node(id).map(|node| node.meaning);
                    let one = |id: Option<NodeId>| id.and_then(meaning);
                    let suffixes = |node: &Node<'p>| -> Vec<_> {
                        node.suffixes.iter().map(|(suffix, next)| (*suffix, meaning(*next))).collect()
                    };
                    if one(left.one) != one(right.one)
                        || left.rest.meaning != right.rest.meaning
                        || suffixes(left) != suffixes(right)
                    {
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
        let meaning = |id: Option<&NodeId>| id.and_then(|id| self.trees.node(*id)).map(|node| node.meaning);
        let differ = |name: &&str| meaning(left.literals.get(name)) != meaning(right.literals.get(name));
        let names: Rc<[&str]> = names.into_iter().filter(|name| !name.is_empty()).filter(differ).collect();
        self.differing.insert((a, b), Rc::clone(&names));
        names
    }

    /// A segment of a kind.
    pub(super) fn example(&self, segment: Kind<'_>, old: &Config, new: &Config) -> String {
        let (suffix, is_slashed) = match segment {
            Kind::Named(name) => return name.to_owned(),
            Kind::Open { suffix, is_slashed, .. } => (suffix, is_slashed),
        };
        if is_slashed {
            return format!("{ANY_SEGMENT}%2F{ANY_SEGMENT}{suffix}");
        }
        let is_named = |name: &str| {
            let name = format!("{name}{suffix}");
            old.iter().chain(new).any(|item| self.node_of(*item).is_some_and(|node| node.literals.contains_key(&*name)))
        };
        fresh([ANY_SEGMENT], ANY_SEGMENT, is_named) + suffix
    }
}

impl Slashes {
    fn in_variable(self, is_slashed: bool) -> Self {
        match self {
            Self::None if is_slashed => Self::InVariables,
            other => other,
        }
    }

    fn elsewhere(self, is_slashed: bool) -> Self {
        if is_slashed { Self::Elsewhere } else { self }
    }
}
