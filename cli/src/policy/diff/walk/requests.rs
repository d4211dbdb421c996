//! Single requests: looks them up in both tables with the filter's own `find` and compares the rules that answer.

use super::{
    Count, Difference, Example, Found, Prefix, Walk,
    config::{Config, Item},
};
use crate::policy::diff::{
    change::{self, Side},
    hosts::fresh,
    request_set::{self, Digest},
    trees::{Answers, NOTHING},
};
use portcullis_engine::{
    policy::{Outage, Policy},
    route::{Host, Path, RuleId},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// The most examples kept for a difference.
const EXAMPLES_MAX: usize = 3;
/// Cost of a request, in units of the budget.
const REQUEST_UNITS: u64 = 100;
/// The methods that `on_outage: read_only` lets pass.
const READ_ONLY: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// How a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Here,
    Slash,
}

impl<'p> Walk<'_, 'p> {
    /// The differences for requests whose path ends here.
    pub(super) fn ending(&mut self, ending: Ending, old: &Config, new: &Config, at: &Prefix) -> Found {
        let answers = |config: &Config| -> Vec<&Answers<'p>> {
            let answers = config.iter().filter_map(|item| self.answers(ending, *item));
            answers.filter(|answers| answers.meaning != NOTHING).collect()
        };
        let (before, after) = (answers(old), answers(new));
        let meaning = |answers: &&Answers<'p>| answers.meaning;
        if before.iter().map(meaning).eq(after.iter().map(meaning)) {
            return Found::new();
        }
        let mut named: BTreeSet<&str> = before.iter().chain(&after).flat_map(|at| at.named.keys().copied()).collect();
        // A rule for `GET` answers `HEAD` as well, unless another rule names it.
        if named.contains("GET") {
            named.insert("HEAD");
        }
        let lets_reads_pass = |policy: &Policy, id: &RuleId| {
            policy.rules.get(id.0).is_some_and(|rule| rule.limits.on_outage == Outage::ReadOnly)
        };
        let any = |answers: &[&Answers<'p>], policy| {
            answers.iter().flat_map(|at| at.named.values().chain(&at.every)).any(|id| lets_reads_pass(policy, id))
        };
        if any(&before, self.old.policy) || any(&after, self.new.policy) {
            named.extend(READ_ONLY);
        }
        let path = format!("/{}", at.segments.join("/"));
        let path = if ending == Ending::Slash && !at.segments.is_empty() { path + "/" } else { path };
        self.requests(&named, &at.host, &path)
    }

    pub(super) fn answers(&self, ending: Ending, item: Item) -> Option<&Answers<'p>> {
        match item {
            Item::Rest(id, _) => Some(&self.trees.node(id)?.rest),
            Item::Node(id, _) => {
                let node = self.trees.node(id)?;
                match ending {
                    Ending::Here => Some(&node.here),
                    Ending::Slash => Some(&self.trees.node(*node.literals.get("")?)?.here),
                }
            }
        }
    }

    /// The differences for a host and a path, by method.
    pub(super) fn requests(&mut self, named: &BTreeSet<&str>, host: &str, path: &str) -> Found {
        if !self.budget.spend(REQUEST_UNITS * (1 + named.len() as u64)) {
            return Found::new();
        }
        let other = fresh(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"], "X-OTHER", |name| named.contains(name));
        let others = self.request(&other, host, path);
        let mut exceptions: BTreeMap<usize, Vec<&str>> = others.iter().map(|id| (*id, Vec::new())).collect();
        let mut kinds: BTreeMap<usize, u64> = others.iter().map(|id| (*id, 1)).collect();
        for method in named {
            let here = self.request(method, host, path);
            for id in here.iter().filter(|id| !others.contains(id)) {
                exceptions.entry(*id).or_default().push(method);
                *kinds.entry(*id).or_default() += 1;
            }
            for id in others.iter().filter(|id| !here.contains(id)) {
                exceptions.entry(*id).or_default().push(method);
            }
        }
        let count = |(id, methods): (usize, Vec<&str>)| {
            let set = request_set::methods(others.contains(&id), &methods);
            (id, Count { set, kinds: kinds.get(&id).copied().unwrap_or_default() })
        };
        exceptions.into_iter().map(count).collect()
    }

    /// The differences of one request.
    pub(super) fn request(&mut self, method: &str, host: &str, path: &str) -> Rc<[usize]> {
        let (Some(at), Ok(way)) = (Host::parse(host.as_bytes()), Path::parse(path.as_bytes())) else {
            // No example request could be made. What cannot be compared must not be ignored.
            self.budget.exhaust();
            return Rc::default();
        };
        let [old, new] = [self.old, self.new].map(|version| version.policy.routes.find(&at, method, &way));
        let read_only = READ_ONLY.contains(&method);
        let ids = self.compare(old, new, read_only);
        for id in ids.iter() {
            if let Some(difference) = self.differences.get_mut(*id)
                && difference.examples.len() < EXAMPLES_MAX
            {
                difference.examples.push(Example { method: method.into(), host: host.into(), path: path.into() });
            }
        }
        ids
    }

    pub(super) fn compare(&mut self, old: Option<RuleId>, new: Option<RuleId>, read_only: bool) -> Rc<[usize]> {
        if let Some(known) = self.compared.get(&(old, new, read_only)) {
            return Rc::clone(known);
        }
        // What was found for the other kind of methods of the same two rules.
        let others = self.compared.get(&(old, new, !read_only)).cloned().unwrap_or_default();
        let sides = (Side::of(self.old.policy, old), Side::of(self.new.policy, new));
        let changes = change::between(sides.0, sides.1, read_only, self.budget);
        let mut ids = Vec::with_capacity(changes.len());
        for change in changes {
            let is_known = |id: &&usize| self.differences.get(**id).is_some_and(|known| known.change == change);
            let known = others.iter().find(is_known).copied();
            ids.push(known.unwrap_or(self.differences.len()));
            if known.is_none() {
                let difference =
                    Difference { old, new, change, examples: Vec::new(), set: Digest::default(), kinds: 0 };
                self.differences.push(difference);
            }
        }
        let ids: Rc<[usize]> = ids.into();
        self.compared.insert((old, new, read_only), Rc::clone(&ids));
        ids
    }
}
