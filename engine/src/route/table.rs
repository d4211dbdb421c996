//! The route table: host pattern, then path, then method.

use super::{
    Host, HostPattern, Method, Path, RuleId, Template,
    trie::{Found, Trie, Wanted},
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Finds the rule for host, method and path.
///
/// The most specific matching rule wins: an exact host before a wildcard with the longest suffix before no host; then,
/// from left to right, a literal segment before `{name}` before `{*name}`. A rule that does not match, because of its
/// methods or otherwise, is skipped in favour of the next less specific one.
///
/// A rule for `GET` matches `HEAD` as well, unless that would take the request from a rule that names `HEAD`.
#[derive(Debug, Default)]
pub struct RouteTable {
    pub(super) exact: HashMap<Box<str>, Trie>,
    pub(super) under: HashMap<Box<str>, Trie>,
    pub(super) every: Trie,
}

/// Which requests a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Hosts; empty matches every host.
    pub hosts: Vec<HostPattern>,
    /// Methods; empty matches every method.
    pub methods: Vec<Method>,
    /// The path.
    pub path: Template,
}

impl Match {
    /// Whether it matches a method of these hosts and this path, as long as no other rule names the method.
    pub fn has(&self, method: &str) -> bool {
        let names = |name: &str| self.methods.iter().any(|method| *method.0 == *name);
        self.methods.is_empty() || names(method) || (method == "HEAD" && names("GET"))
    }
}

impl RouteTable {
    /// The rule that matches a request. Allocates nothing.
    pub fn find(&self, host: &Host<'_>, method: &str, path: &Path<'_>) -> Option<RuleId> {
        let path = path.as_str().strip_prefix('/')?;
        let found = self.search(host, Wanted::Method(method), path);
        // `HEAD` is answered as `GET` is, only without the content (RFC 9110, section 9.3.2): it must not fall to a rule
        // that requires less.
        let found = match method {
            "HEAD" if !found.is_some_and(|found| found.is_named) => self.search(host, Wanted::HeadOrGet, path),
            _ => found,
        };
        found.map(|found| found.rule)
    }

    fn search(&self, host: &Host<'_>, wanted: Wanted<'_>, path: &str) -> Option<Found> {
        let exact = self.exact.get(host.as_str()).and_then(|trie| trie.find(wanted, path));
        let under = || host.suffixes().find_map(|suffix| self.under.get(suffix)?.find(wanted, path));
        exact.or_else(under).or_else(|| self.every.find(wanted, path))
    }

    /// Adds a rule. If other rules match the same request with equal precedence, it is not added, and they are
    /// returned.
    pub fn insert(&mut self, rule: RuleId, answers: &Match) -> Result<(), BTreeSet<RuleId>> {
        let mut rivals = BTreeSet::new();
        self.each_place(answers, |at| rivals.extend(at.rivals(&answers.methods)));
        if !rivals.is_empty() {
            return Err(rivals);
        }
        self.each_place(answers, |at| at.add(&answers.methods, rule));
        Ok(())
    }

    fn each_place(&mut self, answers: &Match, mut visit: impl FnMut(&mut super::trie::Answers)) {
        let mut visit = |trie: &mut Trie| {
            let place = trie.place(&answers.path);
            if let Some(at) = trie.answers(place) {
                visit(at);
            }
        };
        if answers.hosts.is_empty() {
            visit(&mut self.every);
        }
        // A host listed twice is one place: otherwise the rule would conflict with itself.
        for host in answers.hosts.iter().collect::<HashSet<_>>() {
            visit(match host {
                HostPattern::Exact(host) => self.exact.entry(host.clone()).or_default(),
                HostPattern::Under(suffix) => self.under.entry(suffix.clone()).or_default(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
