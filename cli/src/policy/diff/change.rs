//! How two rules that answer the same request differ, in words.

use super::{
    budget::Budget,
    meaning::{Formula, Guard, Meaning},
    set::{Digest, Hash},
    words::{self, Elided},
};
use portcullis_engine::{
    policy::{Access, Outage, Policy, Rule},
    scope::ScopeRegistry,
};
use serde_json::{Value, json};
use std::time::Duration;

/// What a change does to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Some requests pass that were refused, or last longer, or somebody else is believed.
    Easier,
    /// Some are refused that passed, and none the other way round.
    Harder,
    /// Neither.
    Changed,
}

/// One way in which two policies differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// What it does to requests.
    pub direction: Direction,
    /// Its kind, a word for machines.
    pub kind: &'static str,
    /// What it is, in words.
    pub text: String,
    /// What was, in full.
    pub(super) before: Value,
    /// What is, in full.
    pub(super) after: Value,
    /// All that both rules mean, the rest of them too: who approves a change of one part may rely on another.
    pub(super) whole: Digest,
}

impl Change {
    pub(super) fn new(direction: Direction, kind: &'static str, text: String, before: Value, after: Value) -> Self {
        Self { direction, kind, text, before, after, whole: Digest::default() }
    }
}

/// A rule of one of the policies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'p> {
    pub(super) rule: &'p Rule,
    pub(super) register: &'p ScopeRegistry,
}

impl<'p> Side<'p> {
    pub(super) fn of(policy: &'p Policy, rule: Option<portcullis_engine::route::RuleId>) -> Option<Self> {
        Some(Self { rule: policy.rules.get(rule?.0)?, register: &policy.register })
    }

    fn meaning(&self) -> Meaning<'p> {
        Meaning::of(self.rule, self.register)
    }
}

/// How the answer to a request changes. `read_only` says whether its method is one that `on_outage: read_only` lets pass.
pub(super) fn between(
    old: Option<Side<'_>>,
    new: Option<Side<'_>>,
    read_only: bool,
    budget: &mut Budget,
) -> Vec<Change> {
    use Direction::{Easier, Harder};
    let meanings = (old.map(|side| side.meaning()), new.map(|side| side.meaning()));
    let canonical = |meaning: &Meaning<'_>| meaning.canonical();
    let change = |direction, kind, text: String, before: Option<&Meaning<'_>>, after: Option<&Meaning<'_>>| {
        vec![Change::new(direction, kind, text, json!(before.map(canonical)), json!(after.map(canonical)))]
    };
    match &meanings {
        (None, None) | (Some(Meaning::Public), Some(Meaning::Public)) => Vec::new(),
        (None, Some(after)) => {
            let text = format!("opened for {}; no route before", after.words());
            change(Easier, "opened", text, None, Some(after))
        }
        (Some(before), None) => {
            let text = format!("closed for {}; no route any more", before.words());
            change(Harder, "closed", text, Some(before), None)
        }
        (Some(before), Some(after @ Meaning::Public)) => {
            let text = format!("made public, was for {}", before.words());
            change(Easier, "public", text, Some(before), Some(after))
        }
        (Some(before @ Meaning::Public), Some(after)) => {
            let text = format!("no longer public, but for {}", after.words());
            change(Harder, "public", text, Some(before), Some(after))
        }
        (Some(Meaning::Guarded(before)), Some(Meaning::Guarded(after))) => {
            let enough = match (old, new) {
                (Some(old), Some(new)) => Enough::compare(old, new, before, after, budget),
                _ => Enough::default(),
            };
            let mut changes = guards(before, after, enough, read_only);
            if !changes.is_empty() {
                let mut hash = Hash::new(b"rules");
                [before, after].into_iter().for_each(|guard| hash.text(&guard.canonical().to_string()));
                let whole = hash.end();
                changes.iter_mut().for_each(|change| change.whole = whole);
            }
            changes
        }
    }
}

fn guards(before: &Guard<'_>, after: &Guard<'_>, enough: Enough, read_only: bool) -> Vec<Change> {
    [
        scopes(&before.scopes, &after.scopes, enough),
        acr(before, after),
        limit("max_age", before.max_age, after.max_age),
        limit("max_idle", before.max_idle, after.max_idle),
        touch(before.touch, after.touch),
        outlive_token(before.outlive_token, after.outlive_token),
        outage(before.on_outage, after.on_outage, read_only),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether there are scopes that one side accepts and the other does not.
#[derive(Debug, Clone, Copy, Default)]
struct Enough {
    /// The new rule accepts some that the old one did not.
    easier: bool,
    /// The old rule accepted some that the new one does not.
    harder: bool,
}

impl Enough {
    fn compare(old: Side<'_>, new: Side<'_>, before: &Guard<'_>, after: &Guard<'_>, budget: &mut Budget) -> Self {
        if before.scopes == after.scopes {
            return Self::default();
        }
        Self { easier: !implies(new, old, budget), harder: !implies(old, new, budget) }
    }
}

/// Whether all scopes that suffice for one rule suffice for the other, by the filter's own comparison: requirements are
/// monotone, so it is enough to try the least that suffices.
fn implies(one: Side<'_>, other: Side<'_>, budget: &mut Budget) -> bool {
    let Access::Scopes(required) = &other.rule.access else { return true };
    let Access::Scopes(given) = &one.rule.access else {
        return required.met_by(&other.register.held([]));
    };
    let all: Vec<&str> = given.all_of(one.register).collect();
    let asked = required.all_of(other.register).count()
        + required.any_of(other.register).map(|group| group.len()).sum::<usize>();
    let mut is_enough = |group: &[&str]| {
        let cost = all.len() * 10 + group.len() * 10 + asked;
        // What can't be compared any more counts as different.
        budget.spend(cost as u64) && required.met_by(&other.register.held(all.iter().chain(group).copied()))
    };
    let mut groups = given.any_of(one.register).filter(|group| !group.is_empty()).peekable();
    match groups.peek() {
        None => is_enough(&[]),
        Some(_) => groups.all(|group| is_enough(&group)),
    }
}

fn scopes(before: &Formula<'_>, after: &Formula<'_>, enough: Enough) -> Option<Change> {
    let direction = match enough {
        Enough { easier: true, .. } => Direction::Easier,
        Enough { easier: false, harder: true } => Direction::Harder,
        Enough { easier: false, harder: false } => return None,
    };
    let dropped: Vec<_> = before.all.difference(&after.all).collect();
    let added: Vec<_> = after.all.difference(&before.all).collect();
    let text = match (before.any == after.any, dropped.is_empty(), added.is_empty()) {
        (true, false, true) => format!("no longer requires {}", Elided::and(dropped)),
        (true, true, false) => format!("requires {} too", Elided::and(added)),
        _ => format!("requires {} instead of {}", after.words(), before.words()),
    };
    Some(Change::new(direction, "scopes", text, before.canonical(), after.canonical()))
}

fn acr(before: &Guard<'_>, after: &Guard<'_>) -> Option<Change> {
    let (old, new) = (&before.acr, &after.acr);
    let (direction, text) = match (old.is_empty(), new.is_empty()) {
        _ if old == new => return None,
        (_, true) => (Direction::Easier, format!("any `acr` is enough, no longer {}", Elided::or(old))),
        (true, false) => (Direction::Harder, format!("requires `acr` {}", Elided::or(new))),
        (false, false) => {
            let added: Vec<_> = new.difference(old).collect();
            match added.is_empty() {
                false => {
                    (Direction::Easier, format!("`acr` {} is enough, not only {}", Elided::or(added), Elided::or(old)))
                }
                true => (Direction::Harder, format!("`acr` {} is no longer enough", Elided::or(old.difference(new)))),
            }
        }
    };
    Some(Change::new(direction, "acr", text, json!(old), json!(new)))
}

fn limit(key: &'static str, before: Option<Duration>, after: Option<Duration>) -> Option<Change> {
    let (direction, text) = match (before, after) {
        (Some(old), None) => (Direction::Easier, format!("`{key}` removed, was {}", words::duration(old))),
        (None, Some(new)) => (Direction::Harder, format!("`{key}` is {}, was not limited", words::duration(new))),
        (Some(old), Some(new)) if old != new => {
            let direction = if new > old { Direction::Easier } else { Direction::Harder };
            (direction, format!("`{key}` is {}, was {}", words::duration(new), words::duration(old)))
        }
        _ => return None,
    };
    let [before, after] = [before, after].map(|limit| json!(limit.map(words::duration)));
    Some(Change::new(direction, key, text, before, after))
}

fn touch(before: bool, after: bool) -> Option<Change> {
    let (direction, text) = match (before, after) {
        (false, true) => (Direction::Easier, "its requests keep a session alive, did not before (`touch`)"),
        (true, false) => (Direction::Harder, "its requests keep no session alive any more (`touch: false`)"),
        _ => return None,
    };
    Some(Change::new(direction, "touch", text.to_owned(), json!(before), json!(after)))
}

fn outlive_token(before: bool, after: bool) -> Option<Change> {
    let (direction, text) = match (before, after) {
        (false, true) => (Direction::Easier, "open streams go on when the token expires (`outlive_token: true`)"),
        (true, false) => (Direction::Harder, "open streams end when the token expires (no `outlive_token`)"),
        _ => return None,
    };
    Some(Change::new(direction, "outlive_token", text.to_owned(), json!(before), json!(after)))
}

fn outage(before: Outage, after: Outage, read_only: bool) -> Option<Change> {
    // What `read_only` means for a method that is none: it is refused.
    let effective = |outage| match outage {
        Outage::ReadOnly if !read_only => Outage::Deny,
        outage => outage,
    };
    let rank = |outage| match outage {
        Outage::Deny => (0, Duration::ZERO),
        Outage::Grace(grace) => (1, grace),
        Outage::ReadOnly => (2, Duration::ZERO),
    };
    let (old, new) = (effective(before), effective(after));
    let direction = match rank(new).cmp(&rank(old)) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Greater => Direction::Easier,
        std::cmp::Ordering::Less => Direction::Harder,
    };
    let [old, new] = [old, new].map(words::outage);
    let text = format!("without a verdict `on_outage: {new}`, was `{old}`");
    Some(Change::new(direction, "on_outage", text, json!(old), json!(new)))
}
