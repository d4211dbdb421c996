//! Decides what goes. It works on the file's tree, which has the sets as they are written. Pure.

use crate::document::{Content, Node};
use std::collections::{HashMap, HashSet};

/// An item of a list, or a pair of an object: the indexes of the parts on the way to it.
pub(super) type Removal = Vec<usize>;

/// What goes, and what stays although nobody uses it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) removals: Vec<Removal>,
    /// For people.
    pub(super) removed: Vec<String>,
    /// Routes.
    pub(super) kept: Vec<String>,
}

impl Plan {
    /// What goes from a policy, if `granted` are the scopes that requests needed.
    pub(super) fn of(root: &Node, granted: &HashSet<&str>) -> Self {
        let mut plan = Self::default();
        let sets: HashMap<&str, Vec<&str>> =
            pairs(root, "sets").map(|(name, set)| (name, texts(set).collect())).collect();
        let is_used = |entry: &str| match entry.strip_prefix('@') {
            Some(set) => sets.get(set).is_none_or(|scopes| scopes.iter().all(|scope| granted.contains(scope))),
            None => granted.contains(entry),
        };
        let mut referred: HashSet<&str> = HashSet::new();
        let routes_at = index(root, "routes");
        let routes = root.get("routes").into_iter().flat_map(Node::parts).enumerate();
        for (at, route) in routes {
            let Some(require) = route.get("require") else { continue };
            referred.extend(require.get("all_of").into_iter().flat_map(texts));
            let Some(any_of) = require.get("any_of") else { continue };
            let entries: Vec<&str> = texts(any_of).collect();
            let unused: Vec<usize> =
                entries.iter().enumerate().filter(|(_, entry)| !is_used(entry)).map(|(at, _)| at).collect();
            let name = route.get("name").and_then(Node::text).unwrap_or_default();
            let keeps_all = unused.len() == entries.len();
            if keeps_all && entries.len() > 1 {
                plan.kept.push(name.to_owned());
            }
            let way = (!keeps_all).then(|| Some([routes_at?, at, index(route, "require")?, index(require, "any_of")?]));
            let way = way.flatten();
            for (item, entry) in entries.iter().enumerate() {
                match way.filter(|_| unused.contains(&item)) {
                    Some(way) => {
                        plan.removals.push(way.into_iter().chain([item]).collect());
                        plan.removed.push(format!("route {name}: `{entry}` in `any_of`"));
                    }
                    None => drop(referred.insert(entry)),
                }
            }
        }
        let set_is_referred = |set: &str| referred.iter().any(|entry| entry.strip_prefix('@') == Some(set));
        let mut needed: HashSet<&str> = referred.iter().copied().filter(|entry| !entry.starts_with('@')).collect();
        plan.entries(root, "sets", "set", |set| !set_is_referred(set));
        needed
            .extend(sets.iter().filter(|(set, _)| set_is_referred(set)).flat_map(|(_, scopes)| scopes.iter().copied()));
        plan.entries(root, "scopes", "scope", |scope| !needed.contains(scope) && !granted.contains(scope));
        plan
    }

    /// Removes those entries of an object; all of them, with their key.
    fn entries(&mut self, root: &Node, key: &'static str, what: &str, goes: impl Fn(&str) -> bool) {
        let Some(at) = index(root, key) else { return };
        let all: Vec<&str> = pairs(root, key).map(|(name, _)| name).collect();
        let gone: Vec<usize> = all.iter().enumerate().filter(|(_, name)| goes(name)).map(|(at, _)| at).collect();
        self.removed.extend(gone.iter().filter_map(|item| all.get(*item)).map(|name| format!("{what} `{name}`")));
        match gone.len() == all.len() && !all.is_empty() {
            true => self.removals.push(vec![at]),
            false => self.removals.extend(gone.into_iter().map(|item| vec![at, item])),
        }
    }
}

/// Removes parts of a tree.
pub(super) fn apply(root: &mut Node, removals: &[Removal]) {
    let mut last_first: Vec<&Removal> = removals.iter().collect();
    // The indexes of those before stay what they are.
    last_first.sort_unstable_by(|one, other| other.cmp(one));
    for removal in last_first {
        if let Some((item, way)) = removal.split_last() {
            remove(root, way, *item);
        }
    }
}

fn remove(node: &mut Node, way: &[usize], item: usize) {
    match (&mut node.content, way.split_first()) {
        (Content::List(items), None) if item < items.len() => drop(items.remove(item)),
        (Content::Object(pairs), None) if item < pairs.len() => drop(pairs.remove(item)),
        (Content::List(items), Some((next, way))) => {
            items.get_mut(*next).into_iter().for_each(|node| remove(node, way, item));
        }
        (Content::Object(pairs), Some((next, way))) => {
            pairs.get_mut(*next).into_iter().for_each(|(_, node)| remove(node, way, item));
        }
        _ => {}
    }
}

/// The index of a key.
fn index(node: &Node, key: &str) -> Option<usize> {
    let Content::Object(pairs) = &node.content else { return None };
    pairs.iter().position(|(named, _)| named.name == key)
}

/// The pairs of an object under a key.
fn pairs<'n>(root: &'n Node, key: &str) -> impl Iterator<Item = (&'n str, &'n Node)> {
    let pairs = match root.get(key).map(|node| &node.content) {
        Some(Content::Object(pairs)) => pairs.as_slice(),
        _ => &[],
    };
    pairs.iter().map(|(key, value)| (key.name.as_str(), value))
}

/// The texts of a list.
fn texts(list: &Node) -> impl Iterator<Item = &str> {
    list.parts().filter_map(Node::text)
}
