//! Tests of scopes against a model of plain sets of names.

use super::{Entry, Held, ScopeId, ScopeRegistry};
use std::collections::BTreeSet;

const NAMES: [&str; 4] = ["a", "A", "ab", "orders:read"];

fn register<'a>(names: impl IntoIterator<Item = &'a str>) -> ScopeRegistry {
    let mut register = ScopeRegistry::default();
    for name in names {
        let entry = Entry { name: name.into(), ..Entry::default() };
        register.declare(entry).unwrap();
    }
    register
}

fn subset(mask: usize) -> Vec<&'static str> {
    NAMES.into_iter().enumerate().filter(|(i, _)| mask & (1 << i) != 0).map(|(_, name)| name).collect()
}

fn ids(register: &ScopeRegistry, names: &[&str]) -> Vec<ScopeId> {
    names.iter().map(|name| register.id(name).unwrap()).collect()
}

/// The rule as the policy's documentation puts it, over names.
fn model(all_of: &[&str], any_of: &[Vec<&str>], held: &BTreeSet<&str>) -> bool {
    let has = |names: &[&str]| names.iter().all(|name| held.contains(name));
    has(all_of) && (any_of.is_empty() || any_of.iter().any(|group| has(group)))
}

#[test]
fn every_requirement_of_a_small_register_agrees_with_sets_of_names() {
    let register = register(NAMES);
    let all = 1 << NAMES.len();
    // Each pair of groups, where 0 stands for "no group": none, one or two groups in any_of.
    for (required, first, second) in triples(all) {
        let all_of = subset(required);
        let any_of: Vec<_> = [first, second].into_iter().filter(|mask| *mask != 0).map(subset).collect();
        let groups: Vec<_> = any_of.iter().map(|group| ids(&register, group)).collect();
        let requirement = register.requirement(&ids(&register, &all_of), &groups);
        for mask in 0..all {
            let held: BTreeSet<_> = subset(mask).into_iter().collect();
            let met = requirement.met_by(&register.held(held.iter().copied()));
            assert_eq!(met, model(&all_of, &any_of, &held), "{all_of:?} {any_of:?} {held:?}");
        }
    }
}

fn triples(n: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..n).flat_map(move |a| (0..n).flat_map(move |b| (0..n).map(move |c| (a, b, c))))
}

#[test]
fn scopes_that_only_look_alike_are_not_held() {
    let register = register(["orders:read"]);
    let requirement = register.requirement(&ids(&register, &["orders:read"]), &[]);
    for name in ["Orders:read", "orders:rea", "orders:reads", "orders", "orders:*", "*", "", " orders:read"] {
        assert!(!requirement.met_by(&register.held([name])), "{name}");
    }
    assert!(requirement.met_by(&register.held(["x", "orders:read", "orders:read"])));
}

#[test]
fn the_challenge_names_everything_once_and_in_order() {
    let register = register(["a", "b", "c", "d"]);
    let id = |name| register.id(name).unwrap();
    let requirement =
        register.requirement(&[id("c"), id("a")], &[vec![id("a"), id("d")], vec![id("b")], vec![id("c")]]);
    assert_eq!(requirement.challenge(), "c a d b");
    assert_eq!(requirement.all_of(&register).collect::<Vec<_>>(), ["c", "a"]);
    assert_eq!(requirement.any_of(&register).collect::<Vec<_>>(), [vec!["a", "d"], vec!["b"], vec!["c"]]);
}

#[test]
fn a_group_without_scopes_lets_nobody_in() {
    let register = register(["a"]);
    assert!(!register.requirement(&[], &[vec![]]).met_by(&register.held(["a"])));
}

#[test]
fn a_register_beyond_one_word_keeps_its_scopes_apart() {
    let names: Vec<String> = (0..200).map(|n| format!("s{n}")).collect();
    let register = register(names.iter().map(String::as_str));
    for held in [0, 1, 63, 64, 65, 127, 128, 199] {
        let token = register.held([names[held].as_str()]);
        for (asked, name) in names.iter().enumerate() {
            let requirement = register.requirement(&ids(&register, &[name]), &[]);
            assert_eq!(requirement.met_by(&token), asked == held);
        }
    }
}

#[test]
fn what_both_hold_is_never_more_than_either() {
    let register = register(NAMES);
    for (a, b, _) in triples(1 << NAMES.len()) {
        let both = register.held(subset(a)).and(&register.held(subset(b)));
        assert_eq!(both, register.held(subset(a & b)));
    }
    assert_eq!(register.held(["unknown"]), Held::default());
}

#[test]
fn a_name_is_declared_once() {
    let mut register = register(["a"]);
    let again = register.entries().next().unwrap().clone();
    assert_eq!(register.declare(again), None);
    assert_eq!(register.entries().len(), 1);
}
