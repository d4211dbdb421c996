//! How two rules that answer the same request differ, as text.

use super::{
    budget::Budget,
    meaning::{Formula, Guard, Meaning},
    request_set::{Digest, Hash},
    upstream_token, words,
};
use crate::policy::name_list::NameList;
use portcullis_engine::policy::{Access, Mode, Outage, Policy, Rule};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// The effect of a change on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Some requests pass that were refused, or may stay open longer, or another party is trusted.
    MorePermissive,
    /// Some requests are refused that passed, and none the other way round.
    LessPermissive,
    /// Neither of the two.
    Changed,
}

/// One way in which two policies differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// Its effect on requests.
    pub direction: Direction,
    /// Its kind: a stable name for programs.
    pub kind: &'static str,
    /// The change as text.
    pub text: String,
    /// The complete old value.
    pub(super) before: Value,
    /// The complete new value.
    pub(super) after: Value,
    /// Digest of everything both rules mean: somebody who approves a change of one part may rely on the other parts.
    pub(super) whole: Digest,
}

impl Change {
    pub(super) fn new(direction: Direction, kind: &'static str, text: String, before: Value, after: Value) -> Self {
        Self { direction, kind, text, before, after, whole: Digest::default() }
    }
}

/// A part of the policy, and a change of it.
pub(super) type Part = (String, Change);

/// A rule of one of the policies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'p> {
    pub(super) rule: &'p Rule,
    pub(super) policy: &'p Policy,
}

impl<'p> Side<'p> {
    pub(super) fn of(policy: &'p Policy, rule: Option<portcullis_engine::route::RuleId>) -> Option<Self> {
        Some(Self { rule: policy.rules.get(rule?.0)?, policy })
    }

    fn meaning(&self) -> Meaning<'p> {
        Meaning::of(self.rule, self.policy)
    }
}

/// How the answer to a request changes. `read_only`: the method is one that `on_outage: read_only` lets pass.
pub(super) fn between(
    old: Option<Side<'_>>,
    new: Option<Side<'_>>,
    read_only: bool,
    budget: &mut Budget,
) -> Vec<Change> {
    use Direction::{LessPermissive, MorePermissive};
    let meanings = (old.map(|side| side.meaning()), new.map(|side| side.meaning()));
    let canonical = |meaning: &Meaning<'_>| meaning.canonical();
    let change = |direction, kind, text: String, before: Option<&Meaning<'_>>, after: Option<&Meaning<'_>>| {
        vec![Change::new(direction, kind, text, json!(before.map(canonical)), json!(after.map(canonical)))]
    };
    match &meanings {
        (None, None) | (Some(Meaning::Public), Some(Meaning::Public)) => Vec::new(),
        (None, Some(after)) => {
            let text = format!("opened to {}; previously no route", after.words());
            change(MorePermissive, "opened", text, None, Some(after))
        }
        (Some(before), None) => {
            let text = format!("closed to {}; no route matches any more", before.words());
            change(LessPermissive, "closed", text, Some(before), None)
        }
        (Some(before), Some(after @ Meaning::Public)) => {
            let text = format!("made public; previously for {}", before.words());
            change(MorePermissive, "public", text, Some(before), Some(after))
        }
        (Some(before @ Meaning::Public), Some(after)) => {
            let text = format!("no longer public; now for {}", after.words());
            change(LessPermissive, "public", text, Some(before), Some(after))
        }
        (Some(Meaning::Guarded(before)), Some(Meaning::Guarded(after))) => {
            let accepted = match (old, new) {
                (Some(old), Some(new)) => Accepted::compare(old, new, before, after, budget),
                _ => Accepted::default(),
            };
            let mut changes = guards(before, after, accepted, read_only);
            changes.extend(mode(before, after, [old, new]));
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

fn guards(before: &Guard<'_>, after: &Guard<'_>, accepted: Accepted, read_only: bool) -> Vec<Change> {
    [
        optional(before.optional, after.optional),
        scopes(&before.scopes, &after.scopes, accepted),
        acr(before, after),
        limit("max_age", before.max_age, after.max_age),
        limit("max_idle", before.max_idle, after.max_idle),
        touch(before.touch, after.touch),
        outlive_token(before.outlive_token, after.outlive_token),
        outage(before.on_outage, after.on_outage, read_only),
        freshness(before.lease, after.lease),
        class(before, after),
        tags(before, after),
        upstream_token::change(before.upstream_token, after.upstream_token),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether the refusals of a rule are carried out. Where both rules have the mode of their policy, that is one change of the
/// policy's settings.
fn mode(before: &Guard<'_>, after: &Guard<'_>, sides: [Option<Side<'_>>; 2]) -> Option<Change> {
    let [Some(old), Some(new)] = sides.map(|side| side.map(|side| side.rule.mode)) else { return None };
    if before.mode == after.mode {
        return None;
    }
    let (direction, text) = match (old, new) {
        (Mode::Enforce, Mode::Shadow) => (Direction::MorePermissive, "`mode` is `shadow`: nothing is refused any more"),
        (Mode::Shadow, Mode::Enforce) => (Direction::LessPermissive, "`mode` is `enforce`: requests are refused again"),
        (Mode::Enforce, Mode::Enforce) | (Mode::Shadow, Mode::Shadow) => return None,
    };
    let [before, after] = [old, new].map(words::mode);
    Some(Change::new(direction, "mode", text.to_owned(), json!(before), json!(after)))
}

/// Whether one side accepts scopes that the other does not.
#[derive(Debug, Clone, Copy, Default)]
struct Accepted {
    /// The new rule accepts some that the old one did not.
    more: bool,
    /// The old rule accepted some that the new one does not.
    fewer: bool,
}

impl Accepted {
    fn compare(old: Side<'_>, new: Side<'_>, before: &Guard<'_>, after: &Guard<'_>, budget: &mut Budget) -> Self {
        if before.scopes == after.scopes {
            return Self::default();
        }
        Self { more: !implies(new, old, budget), fewer: !implies(old, new, budget) }
    }
}

/// Whether all scopes that suffice for one rule suffice for the other, by the filter's own comparison. Requirements are
/// monotone, so it is enough to try the smallest sets that suffice.
fn implies(one: Side<'_>, other: Side<'_>, budget: &mut Budget) -> bool {
    let Access::Scopes(required) = &other.rule.access else { return true };
    let Access::Scopes(given) = &one.rule.access else {
        return required.met_by(&other.policy.register.held([]));
    };
    let all: Vec<&str> = given.all_of(&one.policy.register).collect();
    let asked = required.all_of(&other.policy.register).count()
        + required.any_of(&other.policy.register).map(|group| group.len()).sum::<usize>();
    let mut is_enough = |group: &[&str]| {
        let cost = all.len() * 10 + group.len() * 10 + asked;
        // What the budget no longer covers counts as different.
        budget.spend(cost as u64) && required.met_by(&other.policy.register.held(all.iter().chain(group).copied()))
    };
    let mut groups = given.any_of(&one.policy.register).filter(|group| !group.is_empty()).peekable();
    match groups.peek() {
        None => is_enough(&[]),
        Some(_) => groups.all(|group| is_enough(&group)),
    }
}

fn scopes(before: &Formula<'_>, after: &Formula<'_>, accepted: Accepted) -> Option<Change> {
    let direction = match accepted {
        Accepted { more: true, .. } => Direction::MorePermissive,
        Accepted { more: false, fewer: true } => Direction::LessPermissive,
        Accepted { more: false, fewer: false } => return None,
    };
    let dropped: Vec<_> = before.all.difference(&after.all).collect();
    let added: Vec<_> = after.all.difference(&before.all).collect();
    let text = match (before.any == after.any, dropped.is_empty(), added.is_empty()) {
        (true, false, true) => format!("no longer requires {}", NameList::and(dropped)),
        (true, true, false) => format!("also requires {}", NameList::and(added)),
        _ => format!("requires {} instead of {}", after.words(), before.words()),
    };
    Some(Change::new(direction, "scopes", text, before.canonical(), after.canonical()))
}

fn optional(before: bool, after: bool) -> Option<Change> {
    let (direction, text) = match (before, after) {
        (false, true) => (Direction::MorePermissive, "requests without a token pass (`authenticated: optional`)"),
        (true, false) => (Direction::LessPermissive, "requests without a token no longer pass"),
        _ => return None,
    };
    Some(Change::new(direction, "optional", text.to_owned(), json!(before), json!(after)))
}

fn acr(before: &Guard<'_>, after: &Guard<'_>) -> Option<Change> {
    let (old, new) = (&before.acr, &after.acr);
    let (direction, text) = match (old.is_empty(), new.is_empty()) {
        _ if old == new => return None,
        (_, true) => {
            (Direction::MorePermissive, format!("any `acr` is accepted, previously only {}", NameList::or(old)))
        }
        (true, false) => (Direction::LessPermissive, format!("requires `acr` {}", NameList::or(new))),
        (false, false) => {
            let added: Vec<_> = new.difference(old).collect();
            match added.is_empty() {
                false => (
                    Direction::MorePermissive,
                    format!("`acr` {} is accepted too, previously only {}", NameList::or(added), NameList::or(old)),
                ),
                true => (
                    Direction::LessPermissive,
                    format!("`acr` {} is no longer accepted", NameList::or(old.difference(new))),
                ),
            }
        }
    };
    Some(Change::new(direction, "acr", text, json!(old), json!(new)))
}

fn limit(key: &'static str, before: Option<Duration>, after: Option<Duration>) -> Option<Change> {
    let (direction, text) = match (before, after) {
        (Some(old), None) => (Direction::MorePermissive, format!("`{key}` removed, was {}", words::duration(old))),
        (None, Some(new)) => (Direction::LessPermissive, format!("`{key}` is {}, was unlimited", words::duration(new))),
        (Some(old), Some(new)) if old != new => {
            let direction = if new > old { Direction::MorePermissive } else { Direction::LessPermissive };
            (direction, format!("`{key}` is {}, was {}", words::duration(new), words::duration(old)))
        }
        _ => return None,
    };
    let [before, after] = [before, after].map(|limit| json!(limit.map(words::duration)));
    Some(Change::new(direction, key, text, before, after))
}

fn touch(before: bool, after: bool) -> Option<Change> {
    let (direction, text) = match (before, after) {
        (false, true) => (Direction::MorePermissive, "its requests now count as session activity (`touch: true`)"),
        (true, false) => {
            (Direction::LessPermissive, "its requests no longer count as session activity (`touch: false`)")
        }
        _ => return None,
    };
    Some(Change::new(direction, "touch", text.to_owned(), json!(before), json!(after)))
}

/// Which conditions of the session service concern a route can depend on its words, and nothing here knows the conditions.
fn class(before: &Guard<'_>, after: &Guard<'_>) -> Option<Change> {
    let text = |class: Option<&str>| class.map_or_else(|| "nothing".to_owned(), |class| format!("`{class}`"));
    (before.class != after.class).then(|| {
        let text = format!(
            "`class` is {}, was {}: other conditions of the session service may apply",
            text(after.class),
            text(before.class)
        );
        Change::new(Direction::MorePermissive, "class", text, json!(before.class), json!(after.class))
    })
}

fn tags(before: &Guard<'_>, after: &Guard<'_>) -> Option<Change> {
    let text = |tags: &BTreeSet<&str>| match tags.is_empty() {
        true => "nothing".to_owned(),
        false => NameList::and(tags).to_string(),
    };
    (before.tags != after.tags).then(|| {
        let text = format!(
            "`tags` are {}, were {}: other conditions of the session service may apply",
            text(&after.tags),
            text(&before.tags)
        );
        Change::new(Direction::MorePermissive, "tags", text, json!(before.tags), json!(after.tags))
    })
}

fn outlive_token(before: bool, after: bool) -> Option<Change> {
    let (direction, text) = match (before, after) {
        (false, true) => {
            (Direction::MorePermissive, "open streams continue when the token expires (`outlive_token: true`)")
        }
        (true, false) => {
            (Direction::LessPermissive, "open streams end when the token expires (`outlive_token: false`)")
        }
        _ => return None,
    };
    Some(Change::new(direction, "outlive_token", text.to_owned(), json!(before), json!(after)))
}

fn outage(before: Outage, after: Outage, read_only: bool) -> Option<Change> {
    // `read_only` refuses every method that is not a read.
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
        std::cmp::Ordering::Greater => Direction::MorePermissive,
        std::cmp::Ordering::Less => Direction::LessPermissive,
    };
    let [old, new] = [old, new].map(words::outage);
    let text = format!("`on_outage` is `{new}`, was `{old}`");
    Some(Change::new(direction, "on_outage", text, json!(old), json!(new)))
}

/// For as long as a lease, a revocation can have to wait, or a worker whose clocks all stand still does not learn of it.
fn freshness(before: Option<Duration>, after: Option<Duration>) -> Option<Change> {
    let direction = match after.cmp(&before) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Greater => Direction::MorePermissive,
        std::cmp::Ordering::Less => Direction::LessPermissive,
    };
    let [old, new] = [before, after].map(words::freshness);
    let text = format!("`freshness` is `{new}`, was `{old}`");
    Some(Change::new(direction, "freshness", text, json!(old), json!(new)))
}
