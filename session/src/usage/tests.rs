//! Counts compared with a simple model, with restarts, failing stores and more clients than are kept apart.

use super::*;
use crate::fixtures::Fixture;
use crate::metrics::Metrics;
use crate::store::{Change, Store, StoreError};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The start of a day.
const DAY: u64 = 20_000 * DAY_MS;

type Model = BTreeMap<(Kind, String, String), Count>;

fn scopes(name: &str, all_of: &[&str], any_of: &[&[&str]]) -> RouteScopes {
    let names = |scopes: &[&str]| scopes.iter().map(|scope| Arc::from(*scope)).collect();
    RouteScopes::new(name.into(), names(all_of), any_of.iter().map(|group| names(group)).collect())
}

fn routes() -> [RouteScopes; 3] {
    [scopes("open", &[], &[]), scopes("read", &["a"], &[&["b"], &["c", "d"]]), scopes("write", &["a", "b"], &[])]
}

/// What a list shows.
fn listed(fixture: &Fixture, since: u32) -> Model {
    let mut summary = Summary::default();
    fixture.registry.usage().read(&*fixture.store, since, &mut |used| summary.add(used)).unwrap();
    let of = |kind| {
        let owned =
            move |(name, client, count): (&str, &str, Count)| ((kind, name.to_owned(), client.to_owned()), count);
        summary.of(kind).map(owned).collect::<Vec<_>>()
    };
    of(Kind::Scope).into_iter().chain(of(Kind::Route)).collect()
}

fn add(fixture: &Fixture, client: &str, route: u32, effect: Effect, count: u64, at_ms: u64) {
    let (mut stream, routes) = (StreamUsage::default(), routes());
    stream.reported(&client.into(), Some(route), effect, count, at_ms);
    stream.add(fixture.registry.usage(), &fixture.metrics, |index| routes.get(index as usize));
}

#[test]
fn the_first_group_that_is_met_is_what_was_needed() {
    let read = &routes()[1];
    let of = |held: &[&str]| read.effect(|scope| held.contains(&scope));
    let missing = |scopes: &[&str]| Effect::Missing(scopes.iter().map(|scope| Arc::from(*scope)).collect());
    for (held, effect) in [
        (&["a", "b"][..], Effect::Granted(Some(0))),
        (&["a", "b", "c", "d"], Effect::Granted(Some(0))),
        (&["a", "c", "d"], Effect::Granted(Some(1))),
        (&["a", "c"], missing(&["b", "d"])),
        (&["b"], missing(&["a"])),
        (&[], missing(&["a", "b", "c", "d"])),
    ] {
        assert_eq!(of(held), effect, "{held:?}");
    }
    assert_eq!(routes()[0].effect(|_| false), Effect::Granted(None));
    let said = |names: &[&str]| read.refused(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(said(&["d", "x"]), missing(&["d"]), "a name that the route does not have counts for nothing");
    assert_eq!(said(&[]), Effect::Barred);
}

/// A step of a random run.
#[derive(Debug, Clone)]
enum Step {
    /// Requests of a client on a route, on a day; the number chooses the effect.
    Requests { client: u8, route: u32, effect: u8, count: u64, day: u64 },
    /// The writer writes that many.
    Write(usize),
    /// The same, and the store fails.
    Fail(usize),
    /// The service starts again after it has written everything.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let requests = (0..4_u8, 0..3_u32, 0..8_u8, 1..1_000_u64, 0..3_u64)
        .prop_map(|(client, route, effect, count, day)| Step::Requests { client, route, effect, count, day });
    let step = prop_oneof![
        8 => requests,
        2 => (1..4_usize).prop_map(Step::Write),
        1 => (1..4_usize).prop_map(Step::Fail),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 0..40)
}

/// The effect of requests with these scopes, and what they count by the documentation's own words.
fn expected(model: &mut Model, client: &str, route: &RouteScopes, held: &[&str], count: u64, last_ms: u64) -> Effect {
    let named: Vec<&str> = route.all_of.iter().chain(route.any_of.iter().flatten()).map(|scope| &**scope).collect();
    let holds = |scope: &str| held.contains(&scope);
    let met = route.any_of.iter().position(|group| group.iter().all(|scope| holds(scope)));
    let is_met = route.all_of.iter().all(|scope| holds(scope)) && (met.is_some() || route.any_of.is_empty());
    let mut entry = |kind, name: &str, count| {
        model.entry((kind, name.to_owned(), client.to_owned())).or_default().add(count);
    };
    entry(Kind::Route, &route.name, Count { asked: count, last_ms, ..Count::default() });
    for scope in named.into_iter().collect::<std::collections::BTreeSet<_>>() {
        let in_all = route.all_of.iter().any(|of| **of == *scope);
        let in_met = met.is_some_and(|group| route.any_of[group].iter().any(|of| **of == *scope));
        let is_needed = in_all || met.is_none();
        let granted = if is_met && (in_all || in_met) { count } else { 0 };
        let refused = if !is_met && is_needed && !holds(scope) { count } else { 0 };
        entry(Kind::Scope, scope, Count { asked: count, granted, refused, last_ms });
    }
    route.effect(holds)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is written when, and whatever fails, a list has every request once.
    #[test]
    fn a_list_agrees_with_a_simple_model(steps in steps()) {
        let mut fixture = Fixture::new();
        let (mut model, routes) = (Model::new(), routes());
        for step in steps {
            match step {
                Step::Requests { client, route, effect, count, day } => {
                    let client = format!("client {client}");
                    let all = ["a", "b", "c", "d"];
                    let held: Vec<&str> =
                        all.iter().enumerate().filter(|(bit, _)| effect & (1 << bit) != 0).map(|(_, s)| *s).collect();
                    let at_ms = DAY + day * DAY_MS;
                    let of = &routes[route as usize];
                    let effect = expected(&mut model, &client, of, &held, count, at_ms);
                    add(&fixture, &client, route, effect, count, at_ms);
                }
                Step::Write(max) => {
                    let store = Arc::clone(&fixture.store);
                    fixture.registry.usage().write(max, |used| store.apply(&[Change::Used(used)]));
                }
                Step::Fail(max) => {
                    let failed = |_| Err(StoreError("disk on fire".to_owned()));
                    prop_assert!(!fixture.registry.usage().write(max, failed));
                }
                Step::Restart => {
                    while fixture.commit().write_usage() {}
                    fixture = fixture.crash();
                    fixture.registry.usage().load(&*fixture.store, DAY).unwrap();
                }
            }
            prop_assert_eq!(&listed(&fixture, 0), &model);
        }
    }
}

#[test]
fn a_list_since_a_day_has_that_day_and_no_earlier_one() {
    let fixture = Fixture::new();
    for day in 0..4 {
        add(&fixture, "web", 2, Effect::Granted(None), 10 + day, DAY + day * DAY_MS);
        if day == 1 {
            while fixture.commit().write_usage() {}
        }
    }
    let asked =
        |since| listed(&fixture, since).get(&(Kind::Route, "write".to_owned(), "web".to_owned())).map(|c| c.asked);
    let first = day_of(DAY);
    assert_eq!([0, 1, 2, 3, 4].map(|day| asked(first + day)), [Some(46), Some(36), Some(25), Some(13), None]);
}

#[test]
fn what_could_not_be_written_is_written_later_and_once() {
    let fixture = Fixture::new();
    add(&fixture, "web", 1, Effect::Barred, 5, DAY);
    fixture.store.fails.store(true, Ordering::SeqCst);
    assert!(!fixture.commit().write_usage());
    fixture.store.fails.store(false, Ordering::SeqCst);
    while fixture.commit().write_usage() {}
    while fixture.commit().write_usage() {}
    let before = listed(&fixture, 0);
    assert_eq!(before.len(), 5, "the route and its four scopes");
    assert!(before.values().all(|count| count.asked == 5 && count.granted == 0 && count.refused == 0));
    assert_eq!(listed(&fixture.crash(), 0), before);
}

/// Counts requests of many clients, as a stream would.
fn flood(usage: &Usage, metrics: &Metrics, clients: std::ops::Range<usize>) {
    let (mut stream, routes) = (StreamUsage::default(), routes());
    for client in clients {
        stream.reported(&format!("client {client}").into(), Some(2), Effect::Granted(None), 1, DAY);
        if stream.is_due(DAY) {
            stream.add(usage, metrics, |index| routes.get(index as usize));
        }
    }
    stream.add(usage, metrics, |index| routes.get(index as usize));
}

#[test]
fn a_million_clients_take_bounded_memory_and_no_request_is_lost() {
    let (usage, metrics) = (Usage::default(), Metrics::new().unwrap());
    flood(&usage, &metrics, 0..1_000_000);
    // The scopes and the route without a client come on top.
    assert_eq!(usage.lock().len(), KEPT_MAX + 3);
    let (mut asked, mut together) = (0, 0);
    let mut written = 0;
    let mut has_more = true;
    while has_more {
        has_more = usage.write(4_096, |used| {
            written += used.len();
            for used in used.into_iter().filter(|used| used.kind == Kind::Route) {
                assert_eq!(used.name, "write");
                asked += used.count.asked;
                together += if used.client.is_empty() { used.count.asked } else { 0 };
            }
            Ok(())
        });
    }
    assert_eq!((asked, written, usage.lock().len()), (1_000_000, KEPT_MAX + 3, 0));
    assert!(together > 900_000, "{together}");
    // What the day has counts for keeps its place when the counts are written; new clients have none.
    flood(&usage, &metrics, 0..10);
    flood(&usage, &metrics, 2_000_000..2_000_010);
    assert_eq!(usage.lock().len(), 10 * 3 + 3);
}

#[test]
fn a_restart_makes_no_room_for_as_many_again() {
    let fixture = Fixture::new();
    flood(fixture.registry.usage(), &fixture.metrics, 0..KEPT_MAX / 2);
    while fixture.commit().write_usage() {}
    let fixture = fixture.crash();
    fixture.registry.usage().load(&*fixture.store, DAY).unwrap();
    flood(fixture.registry.usage(), &fixture.metrics, 1_000_000..1_000_100);
    assert_eq!(fixture.registry.usage().lock().len(), 3);
}

#[test]
fn names_that_are_too_long_are_counted_without_them() {
    let (usage, metrics) = (Usage::default(), Metrics::new().unwrap());
    let mut stream = StreamUsage::default();
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let routes = [scopes(&long, &["a"], &[])];
    stream.reported(&long.as_str().into(), Some(0), Effect::Granted(None), 3, DAY);
    stream.reported(&"web".into(), None, Effect::Barred, 4, DAY);
    stream.add(&usage, &metrics, |index| routes.get(index as usize));
    let mut all = Vec::new();
    usage.write(10, |used| {
        all = used;
        Ok(())
    });
    all.sort_by_key(|used| used.kind);
    let seen: Vec<_> = all.iter().map(|used| (used.name.as_str(), used.client.as_str(), used.count.asked)).collect();
    assert_eq!(seen, [("a", "", 3), ("", "", 7)]);
}

#[test]
fn a_route_with_too_many_scopes_is_counted_so_that_nobody_takes_them_for_unused() {
    let (usage, metrics) = (Usage::default(), Metrics::new().unwrap());
    let names: Vec<String> = (0..3_000).map(|n| format!("scope {n}")).collect();
    let routes = [scopes("large", &names.iter().map(String::as_str).collect::<Vec<_>>(), &[])];
    let mut stream = StreamUsage::default();
    stream.reported(&"web".into(), Some(0), Effect::Granted(None), 3, DAY);
    stream.add(&usage, &metrics, |index| routes.get(index as usize));
    let mut all = Vec::new();
    usage.write(10, |used| {
        all = used;
        Ok(())
    });
    all.sort_by_key(|used| used.kind);
    let seen: Vec<_> = all.iter().map(|used| (used.name.as_str(), used.count.asked, used.count.granted)).collect();
    assert_eq!(seen, [("", 3, 3), ("large", 3, 0)]);
}
