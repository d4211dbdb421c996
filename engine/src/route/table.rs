//! The route table: host pattern, then path, then method.

use super::{
    Host, HostPattern, Method, Path, RuleId, Segment, Template,
    path::ENCODED_SLASH,
    trie::{Found, Trie, Wanted},
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Finds the rule for host, method and path.
///
/// The most specific matching rule wins: an exact host before a wildcard with the longest suffix before no host; then,
/// from left to right, a literal segment before `{name}:literal` (the longer text first) before `{name}` before
/// `{*name}`. A rule that does not match, because of its methods or otherwise, is skipped in favour of the next less
/// specific one.
///
/// A rule for `GET` matches `HEAD` as well, unless that would take the request from a rule that names `HEAD`.
#[derive(Debug, Default)]
pub struct RouteTable {
    ignore_case: bool,
    /// For the rules that let an encoded `/` through: in which segments.
    slashes: HashMap<RuleId, Box<[bool]>>,
    pub(super) exact: HashMap<Box<str>, Trie>,
    pub(super) under: HashMap<Box<str>, Trie>,
    pub(super) every: Trie,
    is_for_every_host: bool,
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
    /// Whether its `{name}` segments can contain an encoded `/`.
    pub encoded_slash: bool,
}

impl Match {
    /// Whether it matches a method of these hosts and this path, as long as no other rule names the method.
    pub fn has(&self, method: &str) -> bool {
        let names = |name: &str| self.methods.iter().any(|method| *method.0 == *name);
        self.methods.is_empty() || names(method) || (method == "HEAD" && names("GET"))
    }
}

impl RouteTable {
    /// An empty table; `ignore_case` tells whether it matches paths without case. Its templates must then be in lower
    /// case, see [`Template::without_case`].
    pub fn new(ignore_case: bool) -> Self {
        Self { ignore_case, ..Self::default() }
    }

    /// Whether it matches paths without case.
    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    /// Whether some rule is for this host.
    pub fn serves(&self, host: &Host<'_>) -> bool {
        let mut suffixes = host.suffixes();
        self.is_for_every_host
            || self.exact.contains_key(host.as_str())
            || suffixes.any(|suffix| self.under.contains_key(suffix))
    }

    /// Whether one of its rules lets an encoded `/` through.
    pub fn has_encoded_slashes(&self) -> bool {
        !self.slashes.is_empty()
    }

    /// The rule that matches a request. Allocates nothing, unless it ignores case and the path has some.
    ///
    /// A path with an encoded `/` is decided by the same rule as any other. If that rule does not let it through in this
    /// segment, no rule does: a less specific one would require less.
    pub fn find(&self, host: &Host<'_>, method: &str, path: &Path<'_>) -> Option<RuleId> {
        let folded = if self.ignore_case { path.without_case() } else { path.as_str().into() };
        let found = self.find_any(host, method, folded.strip_prefix('/')?)?;
        (!path.has_encoded_slash() || self.lets_slashes_through(found, path)).then_some(found)
    }

    fn lets_slashes_through(&self, rule: RuleId, path: &Path<'_>) -> bool {
        let Some(places) = self.slashes.get(&rule) else { return false };
        let mut segments = path.as_str().split('/').skip(1).enumerate();
        segments.all(|(at, segment)| !segment.contains(ENCODED_SLASH) || places.get(at) == Some(&true))
    }

    fn find_any(&self, host: &Host<'_>, method: &str, path: &str) -> Option<RuleId> {
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
        self.is_for_every_host |= answers.hosts.is_empty();
        if answers.encoded_slash {
            let places = answers.path.segments().iter().map(|segment| *segment == Segment::One);
            self.slashes.insert(rule, places.collect());
        }
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
