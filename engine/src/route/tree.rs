//! The route table as trees, for tools that compare tables: exactly what [`RouteTable::find`] walks.

use super::{
    HostPattern, RouteTable, RuleId,
    trie::{Answers, NodeId, ROOT, Trie},
};

/// A node in the tree of one host pattern. It represents the first segments of paths.
#[derive(Debug, Clone, Copy)]
pub struct Branch<'t> {
    trie: &'t Trie,
    node: NodeId,
}

/// The methods of one template and their rules; no method stands for all methods that are not listed.
pub type Answer<'t> = (Option<&'t str>, RuleId);

impl RouteTable {
    /// The trees of all host patterns, in no particular order; `None` is the tree for every host.
    pub fn trees(&self) -> impl Iterator<Item = (Option<HostPattern>, Branch<'_>)> {
        let root = |trie| Branch { trie, node: ROOT };
        let exact = self.exact.iter().map(move |(host, trie)| (Some(HostPattern::Exact(host.clone())), root(trie)));
        let under = self.under.iter().map(move |(host, trie)| (Some(HostPattern::Under(host.clone())), root(trie)));
        exact.chain(under).chain([(None, root(&self.every))])
    }
}

impl<'t> Branch<'t> {
    /// The nodes behind literal segments, in no particular order. The empty segment is the one behind a final `/`.
    pub fn literals(self) -> impl Iterator<Item = (&'t str, Branch<'t>)> {
        let node = self.trie.node(self.node);
        let literals = node.into_iter().flat_map(|node| &node.literals);
        literals.map(move |(segment, next)| (&**segment, Branch { node: *next, ..self }))
    }

    /// The node behind a literal segment.
    pub fn literal(self, segment: &str) -> Option<Branch<'t>> {
        let next = self.trie.node(self.node)?.literals.get(segment)?;
        Some(Branch { node: *next, ..self })
    }

    /// The nodes behind `{name}:literal`, by that text, the longest first.
    pub fn suffixes(self) -> impl Iterator<Item = (&'t str, Branch<'t>)> {
        let node = self.trie.node(self.node);
        let suffixes = node.into_iter().flat_map(|node| &node.suffixes);
        suffixes.map(move |(suffix, next)| (&**suffix, Branch { node: *next, ..self }))
    }

    /// The node behind `{name}`.
    pub fn one(self) -> Option<Branch<'t>> {
        let next = self.trie.node(self.node)?.one?;
        Some(Branch { node: next, ..self })
    }

    /// The rules of paths that end here.
    pub fn here(self) -> impl Iterator<Item = Answer<'t>> {
        self.trie.node(self.node).into_iter().flat_map(|node| answers(&node.here))
    }

    /// The rules of all longer paths, through a final `{*name}`.
    pub fn rest(self) -> impl Iterator<Item = Answer<'t>> {
        self.trie.node(self.node).into_iter().flat_map(|node| answers(&node.rest))
    }
}

fn answers(at: &Answers) -> impl Iterator<Item = Answer<'_>> {
    let named = at.named.iter().map(|(method, rule)| (Some(&**method), *rule));
    named.chain(at.every.map(|rule| (None, rule)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Match, Method, Template};

    #[test]
    fn every_rule_hangs_where_it_was_put() {
        let mut table = RouteTable::default();
        for (id, hosts, methods, path) in [
            (0, vec!["a.com"], vec!["GET", "PUT"], "/a/{x}"),
            (1, vec!["*.a.com"], vec![], "/a/{*x}"),
            (2, vec![], vec![], "/a/"),
        ] {
            let answers = Match {
                hosts: hosts.into_iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
                methods: methods.into_iter().map(|method| Method::parse(method).unwrap()).collect(),
                path: Template::parse(path).unwrap(),
                encoded_slash: false,
            };
            table.insert(RuleId(id), &answers).unwrap();
        }
        let mut seen: Vec<_> = table
            .trees()
            .map(|(host, root)| {
                let (_, a) = root.literals().find(|(segment, _)| *segment == "a").unwrap();
                let one: Vec<_> = a.one().into_iter().flat_map(Branch::here).collect();
                let empty = a.literals().flat_map(|(segment, next)| {
                    assert_eq!(segment, "");
                    next.here()
                });
                (host, one, a.rest().collect::<Vec<_>>(), empty.collect::<Vec<_>>())
            })
            .collect();
        seen.sort_by_key(|(host, ..)| host.as_ref().map(|host| format!("{host:?}")));
        let exact = Some(HostPattern::Exact("a.com".into()));
        let under = Some(HostPattern::Under("a.com".into()));
        assert_eq!(
            seen,
            [
                (None, vec![], vec![], vec![(None, RuleId(2))]),
                (exact, vec![(Some("GET"), RuleId(0)), (Some("PUT"), RuleId(0))], vec![], vec![]),
                (under, vec![], vec![(None, RuleId(1))], vec![]),
            ]
        );
    }
}
