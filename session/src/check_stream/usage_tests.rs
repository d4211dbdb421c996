//! What a stream counts, compared with a simple count of the same requests and of their answers.

use super::state::StreamState;
use super::state::tests::{fresh, token};
use crate::fixtures::{Fixture, HOUR, MINUTE, T0, narrowing};
use crate::made_by::MadeBy;
use crate::revocations::{Revocation, RevokedParty};
use crate::store::Change;
use crate::usage::{Count, Kind, Summary};
use portcullis_contract::wire::{FilterMessage, Hello, Outcome, Question, Route, Scopes, Use};
use portcullis_contract::{KeyKind, Requirement, SessionId};
use std::collections::{BTreeMap, BTreeSet};

const REQUESTS: usize = 100_000;
const PER_MESSAGE: u32 = 50;
const TOKENS: u32 = 60;
const CLIENTS: u32 = 7;
/// Half an hour before midnight.
const START: u64 = T0 + HOUR + 17 * MINUTE;

type Model = BTreeMap<(Kind, String, String), Count>;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap() % end
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn routes() -> Vec<Route> {
    let group = |scopes: &[&str]| Scopes { scopes: owned(scopes) };
    vec![
        Route { name: "open".to_owned(), ..Route::default() },
        Route { name: "read".to_owned(), all_of: owned(&["orders:read"]), ..Route::default() },
        Route {
            name: "write".to_owned(),
            all_of: owned(&["orders:read"]),
            any_of: vec![group(&["admin"]), group(&["orders:write", "openid"]), group(&["openid"])],
            ..Route::default()
        },
        Route {
            name: "young".to_owned(),
            all_of: owned(&["openid"]),
            max_age_ms: Some(20 * MINUTE),
            ..Route::default()
        },
    ]
}

fn client_of(number: u32) -> String {
    format!("client {}", number % CLIENTS)
}

fn scopes_of(number: u32) -> Vec<String> {
    let mut scopes = owned(&["openid"]);
    for (bit, scope) in ["orders:read", "orders:write", "admin"].into_iter().enumerate() {
        if number & (1 << bit) != 0 {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

fn id_of(number: u32) -> SessionId {
    SessionId::of(KeyKind::Claim, "https://id", &format!("s{number}"), &client_of(number))
}

/// Counts requests in the words of the documentation. `held`: the scopes of those that were answered with `ACTIVE`.
fn count(model: &mut Model, client: &str, route: &Route, held: Option<&[String]>, times: u64, last_ms: u64) {
    let mut add = |kind, name: &str, count| {
        model.entry((kind, name.to_owned(), client.to_owned())).or_default().add(count);
    };
    add(Kind::Route, &route.name, Count { asked: times, last_ms, ..Count::default() });
    let requirement = Requirement::of(route.all_of.clone(), route.any_of.clone());
    let holds = |scope: &String| held.is_some_and(|held| held.contains(scope));
    let is_met = held.is_some() && requirement.met_by(holds);
    let met = route.any_of.iter().find(|group| group.scopes.iter().all(holds));
    let named: BTreeSet<&String> =
        route.all_of.iter().chain(route.any_of.iter().flat_map(|group| &group.scopes)).collect();
    for scope in named {
        let is_needed = route.all_of.contains(scope) || met.is_none_or(|group| group.scopes.contains(scope));
        let of = |is_it: bool| if is_it { times } else { 0 };
        let refused = of(held.is_some() && !is_met && is_needed && !holds(scope));
        add(Kind::Scope, scope, Count { asked: times, granted: of(is_met && is_needed), refused, last_ms });
    }
}

fn listed(fixture: &Fixture) -> Model {
    let mut summary = Summary::default();
    fixture.registry.usage().read(&*fixture.store, 0, &mut |used| summary.add(used)).unwrap();
    let of = |kind| {
        let keyed =
            move |(name, client, count): (&str, &str, Count)| ((kind, name.to_owned(), client.to_owned()), count);
        summary.of(kind).map(keyed).collect::<Vec<_>>()
    };
    of(Kind::Scope).into_iter().chain(of(Kind::Route)).collect()
}

/// Describes the token of that number under its handle.
fn described(number: u32) -> portcullis_contract::wire::Token {
    let described = token(number, &format!("s{number}"), START);
    let subject = format!("subject {number}");
    portcullis_contract::wire::Token { subject, client_id: client_of(number), scopes: scopes_of(number), ..described }
}

fn greet(state: &mut StreamState) {
    let hello = Hello { routes: routes(), ..Hello::default() };
    let tokens = (0..TOKENS).map(described).collect();
    state.receive(FilterMessage { hello: Some(hello), tokens, ..FilterMessage::default() }, START).unwrap();
}

/// What happens to sessions now and then: some lose scopes, some are revoked.
fn disturb(fixture: &Fixture, numbers: &mut Numbers, now_ms: u64) {
    let number = numbers.below(TOKENS);
    let Some(session) = fixture.registry.find(id_of(number)) else { return };
    if number % 9 == 4 {
        let revocation = Revocation {
            issuer: "https://id".to_owned(),
            party: RevokedParty::Sid(format!("s{number}")),
            before_ms: now_ms,
            made_at_ms: now_ms,
            ends_at_ms: now_ms,
            reason: String::new(),
            by: MadeBy::default(),
        };
        return fixture.registry.apply(Change::Revocation(revocation));
    }
    let left: [Option<&[&str]>; 3] = [None, Some(&["openid"]), Some(&["openid", "orders:read"])];
    let left = left[numbers.below(3) as usize];
    fixture.registry.apply(Change::Narrowing(narrowing(&session, left)));
}

#[test]
fn a_replay_of_known_requests_is_counted_exactly() {
    let (mut fixture, mut numbers, mut model) = (Fixture::new(), Numbers(15), Model::new());
    let routes = routes();
    let (mut now_ms, mut sent, mut outcomes) = (START, 0, BTreeSet::new());
    let mut state = fresh(&fixture);
    greet(&mut state);
    while sent < REQUESTS {
        now_ms += 1_700;
        let asked: Vec<(u32, u32)> = (0..PER_MESSAGE).map(|_| (numbers.below(TOKENS), numbers.below(4))).collect();
        let question = |(id, (token, route)): (usize, &(u32, u32))| Question {
            id: u32::try_from(id).unwrap(),
            token: *token,
            route: *route,
            ..Question::default()
        };
        let missing = owned(&["orders:write", "admin"]);
        let refused = Use { route: Some(2), client_id: client_of(sent as u32), missing, count: 3, ..Use::default() };
        let public = Use { route: Some(0), count: 2, ..Use::default() };
        let mut message = FilterMessage {
            questions: asked.iter().enumerate().map(question).collect(),
            uses: vec![refused.clone(), public],
            ..FilterMessage::default()
        };
        // Handles are forgotten, and given again.
        let again = numbers.below(TOKENS);
        message.forgotten = vec![again];
        let mut answers = state.receive(message, now_ms).unwrap();
        while !answers.look_ups.is_empty() {
            let look_ups = std::mem::take(&mut answers.look_ups);
            let found: Vec<_> = look_ups.iter().map(|look_up| fixture.registry.look_up(look_up).unwrap()).collect();
            let more = state.looked_up(&found, now_ms);
            answers.verdicts.extend(more.verdicts);
            answers.held.extend(more.held);
            answers.look_ups.extend(more.look_ups);
        }
        let verdicts: Vec<_> =
            answers.verdicts.into_iter().chain(answers.held.into_iter().map(|held| held.verdict)).collect();
        assert_eq!(verdicts.len(), asked.len());
        for verdict in verdicts {
            let (token, route) = asked[verdict.id as usize];
            let held = verdict.narrowed.as_ref().map_or_else(|| scopes_of(token), |left| left.scopes.clone());
            let held = (verdict.outcome() == Outcome::Active).then_some(held);
            outcomes.insert(verdict.outcome());
            count(&mut model, &client_of(token), &routes[route as usize], held.as_deref(), 1, now_ms);
        }
        sent += asked.len() + 5;
        // The token had all others.
        let held = owned(&["orders:read"]);
        let own = Route { any_of: vec![Scopes { scopes: refused.missing.clone() }], ..routes[2].clone() };
        count(&mut model, &refused.client_id, &own, Some(&held), 3, now_ms);
        let openid = model.entry((Kind::Scope, "openid".to_owned(), refused.client_id)).or_default();
        openid.add(Count { asked: 3, last_ms: now_ms, ..Count::default() });
        count(&mut model, "", &routes[0], None, 2, now_ms);
        state.receive(FilterMessage { tokens: vec![described(again)], ..FilterMessage::default() }, now_ms).unwrap();
        match numbers.below(40) {
            0..10 => disturb(&fixture, &mut numbers, now_ms),
            10 => while fixture.commit().write_usage() {},
            11 => {
                // The filter connects again.
                drop(state);
                state = fresh(&fixture);
                greet(&mut state);
            }
            12 => {
                // The service starts again.
                drop(state);
                fixture.flush();
                while fixture.commit().write_usage() {}
                fixture = fixture.crash();
                state = fresh(&fixture);
                greet(&mut state);
            }
            _ => {}
        }
    }
    drop(state);
    assert!(outcomes.len() >= 3 && outcomes.contains(&Outcome::Revoked), "{outcomes:?}");
    assert_eq!(listed(&fixture), model);
    let of_routes: u64 =
        model.iter().filter(|((kind, ..), _)| *kind == Kind::Route).map(|(_, count)| count.asked).sum();
    assert_eq!(of_routes, sent as u64);
}

#[test]
fn counts_are_visible_after_a_second_without_another_question() {
    let fixture = Fixture::new();
    let mut state = fresh(&fixture);
    greet(&mut state);
    let question = Question { id: 1, token: 7, route: 1, ..Question::default() };
    let answers =
        state.receive(FilterMessage { questions: vec![question], ..FilterMessage::default() }, START).unwrap();
    let found: Vec<_> = answers.look_ups.iter().map(|look_up| fixture.registry.look_up(look_up).unwrap()).collect();
    state.looked_up(&found, START);
    assert!(listed(&fixture).is_empty());
    let due_at_ms = state.usage_at_ms().expect("there is something to add");
    assert!((1..=1_000).contains(&(due_at_ms - START)), "{due_at_ms}");
    state.review(due_at_ms);
    assert_eq!(listed(&fixture).len(), 2);
    assert_eq!(state.usage_at_ms(), None);
}
