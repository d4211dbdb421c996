//! Finds the rules that overlap with a more specific rule.
//!
//! Precedence is that of the filter: first the host pattern, then the segments from left to right, where a literal comes before
//! `{name}` and `{name}` before `{*name}`.

use portcullis_engine::route::{HostPattern, Match, Segment};
use std::collections::{BTreeSet, HashMap};

/// The most nodes visited in total. Only policies with many thousands of rules that match nearly everything reach the limit;
/// further overlaps are not found.
const VISITS_MAX: usize = 5_000_000;

/// The rules of a policy, indexed by what they match.
#[derive(Default)]
pub(super) struct Index<'m> {
    tries: HashMap<Option<&'m HostPattern>, Trie<'m>>,
    visits: usize,
}

#[derive(Default)]
struct Trie<'m> {
    nodes: Vec<Node<'m>>,
}

#[derive(Default)]
struct Node<'m> {
    literals: HashMap<&'m str, usize>,
    one: Option<usize>,
    /// The rules whose template ends here, as indexes.
    here: Vec<usize>,
    /// The rules whose template ends with a `{*name}` here.
    rest: Vec<usize>,
}

impl<'m> Index<'m> {
    pub(super) fn of(matches: &'m [Option<Match>]) -> Self {
        let mut index = Self::default();
        for (rule, answers) in matches.iter().enumerate() {
            let Some(answers) = answers else { continue };
            for host in hosts(answers) {
                index.tries.entry(host).or_insert_with(Trie::new).insert(answers.path.segments(), rule);
            }
        }
        index
    }

    /// The less specific rules that match some of the hosts and paths of a rule. Methods are not compared.
    pub(super) fn behind(&mut self, answers: &Match) -> BTreeSet<usize> {
        let mut search = Search { found: BTreeSet::new(), visits: self.visits };
        for host in hosts(answers) {
            // With the same host pattern, a rule is less specific if its path is; with a wider pattern, it always is.
            if let Some(trie) = self.tries.get(&host) {
                search.walk(trie, 0, answers.path.segments(), false);
            }
            for wider in wider(host) {
                if let Some(trie) = self.tries.get(&wider.as_ref()) {
                    search.walk(trie, 0, answers.path.segments(), true);
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

impl<'m> Trie<'m> {
    fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    fn insert(&mut self, segments: &'m [Segment], rule: usize) {
        let mut at = 0;
        for segment in segments {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            at = match segment {
                Segment::Rest => {
                    node.rest.push(rule);
                    return;
                }
                Segment::One => *node.one.get_or_insert(fresh),
                Segment::Literal(text) => *node.literals.entry(text).or_insert(fresh),
            };
            if at == fresh {
                self.nodes.push(Node::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.here.push(rule);
        }
    }
}

struct Search {
    found: BTreeSet<usize>,
    visits: usize,
}

impl Search {
    /// Collects the rules that also match a path of the template. Until it is decided that they are less specific, only branches
    /// that are not more specific are followed.
    fn walk(&mut self, trie: &Trie<'_>, at: usize, segments: &[Segment], is_decided: bool) {
        self.visits += 1;
        let Some(node) = trie.nodes.get(at).filter(|_| self.visits <= VISITS_MAX) else {
            return;
        };
        let Some((segment, tail)) = segments.split_first() else {
            if is_decided {
                self.found.extend(&node.here);
            }
            return;
        };
        match segment {
            Segment::Literal(text) => {
                if let Some(next) = node.literals.get(&**text) {
                    self.walk(trie, *next, tail, is_decided);
                }
                if !text.is_empty() {
                    self.found.extend(&node.rest);
                    node.one.into_iter().for_each(|next| self.walk(trie, next, tail, true));
                }
            }
            Segment::One => {
                self.found.extend(&node.rest);
                node.one.into_iter().for_each(|next| self.walk(trie, next, tail, is_decided));
                if is_decided {
                    Self::texts(node).for_each(|next| self.walk(trie, next, tail, true));
                }
            }
            Segment::Rest if is_decided => {
                self.found.extend(&node.rest);
                Self::texts(node).chain(node.one).for_each(|next| self.collect(trie, next));
            }
            Segment::Rest => {}
        }
    }

    /// The literal segments that a parameter matches.
    fn texts(node: &Node<'_>) -> impl Iterator<Item = usize> {
        node.literals.iter().filter(|(text, _)| !text.is_empty()).map(|(_, next)| *next)
    }

    /// Collects all rules below a node.
    fn collect(&mut self, trie: &Trie<'_>, at: usize) {
        self.visits += 1;
        let Some(node) = trie.nodes.get(at).filter(|_| self.visits <= VISITS_MAX) else {
            return;
        };
        self.found.extend(node.here.iter().chain(&node.rest));
        node.literals.values().copied().chain(node.one).for_each(|next| self.collect(trie, next));
    }
}
