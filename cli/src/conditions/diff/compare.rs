//! Asks two sets of conditions about cases and generated requests.

use super::example;
use crate::{
    conditions::{generated::Generator, play::play},
    error::Error,
    policy::{cases::Case, simulator::Simulator},
};
use portcullis_conditions::{Change, Decision, Literals, METHODS, Request, Route, Session, Set, Sliced};
use std::collections::BTreeSet;

/// The generated requests for a route and a method, and for all of them together.
const DRAWN: usize = 2_000;
const DRAWN_ALL: usize = 400_000;

/// How two sets of conditions differ.
pub(super) struct Comparison {
    /// What became of conditions.
    pub(super) changes: Vec<(String, Change)>,
    /// What is released now and was refused, once for each condition that refused it.
    pub(super) more: Vec<Found>,
    /// What is refused now and was released.
    pub(super) less: Vec<Found>,
    /// How many cases and generated requests were tried.
    pub(super) played: usize,
    pub(super) generated: usize,
}

/// A request that only one set refuses.
pub(super) struct Found {
    /// The method and the route, or the case.
    pub(super) request: String,
    /// The condition that refuses it, or refused it.
    pub(super) id: String,
    /// What was asked.
    pub(super) example: String,
}

impl Comparison {
    /// Compares two sets on the routes of a policy.
    pub(super) fn of(old: &Set, new: &Set, routes: &[Route]) -> Result<Self, Error> {
        let changes = old.changes(new);
        let literals = both(old.literals(), new.literals());
        let mut generator = Generator::new(&literals, new.declared());
        let decides = |change: &Change| *change != Change::Answer;
        let changed: BTreeSet<&str> =
            changes.iter().filter(|(_, change)| decides(change)).map(|(id, _)| id.as_str()).collect();
        let (mut more, mut less, mut generated) = (Vec::new(), Vec::new(), 0);
        for route in routes {
            let (before, after) = (sliced(old, route)?, sliced(new, route)?);
            for method in METHODS {
                let is_changed = |ids: &Sliced| ids.ids(method).any(|id| changed.contains(id));
                if !is_changed(&before) && !is_changed(&after) {
                    continue;
                }
                for _ in 0..DRAWN {
                    if generated >= DRAWN_ALL {
                        break;
                    }
                    generated += 1;
                    let (session, request) = generator.draw(method, &route.scopes);
                    let example = || example::words(&session, &request);
                    let name = || format!("{method} {}", route.name);
                    match (decide(&before, &session, &request), decide(&after, &session, &request)) {
                        (Some(id), None) => add(&mut more, name, id, example),
                        (None, Some(id)) => add(&mut less, name, id, example),
                        _ => {}
                    }
                }
            }
        }
        Ok(Self { changes, more, less, played: 0, generated })
    }

    /// Asks both about a case. The cases come first: somebody wrote them.
    pub(super) fn play(&mut self, case: &Case, before: &mut Simulator, after: &mut Simulator) {
        self.played += 1;
        let ((old, old_judged), (new, new_judged)) = (play(before, case), play(after, case));
        let refused = |judged: Option<crate::policy::simulator::Judged>| match judged?.decision {
            Decision::Refused(refusal) => Some(refusal.id),
            Decision::Allowed => None,
        };
        let (list, id) = match (old.as_str(), new.as_str()) {
            ("released", "released") => return,
            (_, "released") => (&mut self.more, refused(old_judged)),
            ("released", _) => (&mut self.less, refused(new_judged)),
            _ => return,
        };
        let example = format!("{old} by the old conditions, {new} by the new ones");
        list.insert(0, Found { request: format!("case `{}`", case.name), id: id.unwrap_or_default(), example });
    }

    /// Removed and changed conditions without a request that shows what they no longer refuse.
    pub(super) fn unproved(&self) -> impl Iterator<Item = &str> {
        let may = self.changes.iter().filter(|(_, change)| matches!(change, Change::Removed | Change::Forbids));
        may.map(|(id, _)| id.as_str()).filter(|id| !self.more.iter().any(|found| found.id == *id))
    }
}

/// Keeps the first request for each condition.
fn add(list: &mut Vec<Found>, name: impl Fn() -> String, id: String, example: impl Fn() -> String) {
    if !list.iter().any(|found| found.id == id) {
        list.push(Found { request: name(), id, example: example() });
    }
}

fn sliced(set: &Set, route: &Route) -> Result<Sliced, Error> {
    set.for_route(route).map_err(|faults| Error::Several(faults.iter().map(Error::invalid).collect()))
}

/// The condition that refuses.
fn decide(sliced: &Sliced, session: &Session, request: &Request) -> Option<String> {
    match sliced.prepare(session, &request.method).decide(session, request) {
        Decision::Allowed => None,
        Decision::Refused(refusal) => Some(refusal.id),
    }
}

fn both(old: Literals, new: Literals) -> Literals {
    fn union<T: Ord>(old: Vec<T>, new: Vec<T>) -> Vec<T> {
        old.into_iter().chain(new).collect::<BTreeSet<_>>().into_iter().collect()
    }
    Literals {
        texts: union(old.texts, new.texts),
        numbers: union(old.numbers, new.numbers),
        spans_ms: union(old.spans_ms, new.spans_ms),
        times_ms: union(old.times_ms, new.times_ms),
        addresses: union(old.addresses, new.addresses),
        parties: union(old.parties, new.parties),
    }
}
