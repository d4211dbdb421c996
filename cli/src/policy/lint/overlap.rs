//! Finds the rules that overlap with a more specific rule.
//!
//! Precedence is that of the filter: first the host pattern, then the segments from left to right, where a literal comes before
//! `{name}:literal`, that before `{name}`, and `{name}` before `{*name}`.

use portcullis_engine::route::{Answer, Branch, HostPattern, Match, RouteTable, RuleId, Segment, has_suffix};
use std::collections::{BTreeSet, HashMap};

/// The most nodes visited in total. Only policies with many thousands of rules that match nearly everything reach the limit;
/// further overlaps are not found.
const VISITS_MAX: usize = 5_000_000;

/// The trees of a route table, by host pattern.
pub(super) struct Index<'t> {
    trees: HashMap<Option<HostPattern>, Branch<'t>>,
    visits: usize,
}

impl<'t> Index<'t> {
    pub(super) fn of(table: &'t RouteTable) -> Self {
        Self { trees: table.trees().collect(), visits: 0 }
    }

    /// The less specific rules that match some of the hosts and paths of a rule. Methods are not compared.
    pub(super) fn behind(&mut self, answers: &Match) -> BTreeSet<usize> {
        let mut search = Search { found: BTreeSet::new(), visits: self.visits };
        for host in hosts(answers) {
            // With the same host pattern, a rule is less specific if its path is; with a wider pattern, it always is.
            if let Some(root) = self.trees.get(&host.cloned()) {
                search.walk(*root, answers.path.segments(), false);
            }
            for wider in wider(host) {
                if let Some(root) = self.trees.get(&wider) {
                    search.walk(*root, answers.path.segments(), true);
                }
            }
        }
        self.visits = search.visits;
        search.found
    }
}

/// The host patterns of a rule; `None` is every host.
pub(super) fn hosts(answers: &Match) -> Vec<Option<&HostPattern>> {
    if answers.hosts.is_empty() { vec![None] } else { answers.hosts.iter().map(Some).collect() }
}

/// The less specific patterns that match every host of a pattern.
fn wider(host: Option<&HostPattern>) -> Vec<Option<HostPattern>> {
    let Some(HostPattern::Exact(name) | HostPattern::Under(name)) = host else {
        return Vec::new();
    };
    let mut rest = &**name;
    let suffixes = std::iter::from_fn(|| {
        rest = rest.split_once('.')?.1;
        Some(Some(HostPattern::Under(rest.into())))
    });
    suffixes.chain([None]).collect()
}

struct Search {
    found: BTreeSet<usize>,
    visits: usize,
}

impl Search {
    /// Collects the rules that also match a path of the template. Until it is decided that they are less specific, only branches
    /// that are not more specific are followed.
    fn walk(&mut self, node: Branch<'_>, segments: &[Segment], is_decided: bool) {
        self.visits += 1;
        if self.visits > VISITS_MAX {
            return;
        }
        let Some((segment, tail)) = segments.split_first() else {
            if is_decided {
                self.add(node.here());
            }
            return;
        };
        match segment {
            Segment::Literal(text) => {
                if let Some(next) = node.literal(text) {
                    self.walk(next, tail, is_decided);
                }
                if !text.is_empty() {
                    self.add(node.rest());
                    let suffixes = node.suffixes().filter(|(suffix, _)| has_suffix(text, suffix));
                    suffixes.for_each(|(_, next)| self.walk(next, tail, true));
                    node.one().into_iter().for_each(|next| self.walk(next, tail, true));
                }
            }
            Segment::Suffixed(text) => {
                self.add(node.rest());
                for (suffix, next) in node.suffixes() {
                    if *suffix == **text {
                        self.walk(next, tail, is_decided);
                    } else if has_suffix(text, suffix) || is_decided && has_suffix(suffix, text) {
                        self.walk(next, tail, true);
                    }
                }
                node.one().into_iter().for_each(|next| self.walk(next, tail, true));
                if is_decided {
                    let literals = node.literals().filter(|(literal, _)| has_suffix(literal, text));
                    literals.for_each(|(_, next)| self.walk(next, tail, true));
                }
            }
            Segment::One => {
                self.add(node.rest());
                node.one().into_iter().for_each(|next| self.walk(next, tail, is_decided));
                if is_decided {
                    texts(node).for_each(|next| self.walk(next, tail, true));
                }
            }
            Segment::Rest if is_decided => {
                self.add(node.rest());
                texts(node).chain(node.one()).for_each(|next| self.collect(next));
            }
            Segment::Rest => {}
        }
    }

    /// Collects all rules below a node.
    fn collect(&mut self, node: Branch<'_>) {
        self.visits += 1;
        if self.visits > VISITS_MAX {
            return;
        }
        self.add(node.here());
        self.add(node.rest());
        let suffixed = node.suffixes().map(|(_, next)| next);
        node.literals().map(|(_, next)| next).chain(suffixed).chain(node.one()).for_each(|next| self.collect(next));
    }

    fn add<'t>(&mut self, answers: impl Iterator<Item = Answer<'t>>) {
        self.found.extend(answers.map(|(_, RuleId(rule))| rule));
    }
}

/// The nodes behind the literal and suffixed segments that a parameter matches.
fn texts(node: Branch<'_>) -> impl Iterator<Item = Branch<'_>> {
    let suffixed = node.suffixes().map(|(_, next)| next);
    node.literals().filter(|(text, _)| !text.is_empty()).map(|(_, next)| next).chain(suffixed)
}
