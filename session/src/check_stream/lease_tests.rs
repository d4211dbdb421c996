//! Which verdicts come with a lease, for how long, what renewals extend, and what is taken back.

use super::state::tests::{BACKGROUND, Stream, fresh, id, token};
use crate::audit::EndedBy;
use crate::check_stream::Answers;
use crate::fixtures::{Fixture, HOUR, IDLE, MINUTE, T0, narrowing};
use crate::registry::revoked;
use portcullis_contract::wire::{
    FilterMessage, Hello, Outcome, Proof, Question, Renewal, Route, Token, UpstreamToken, Use, Verdict,
};
use std::sync::Arc;

pub(super) const LENGTH: u64 = 500;

/// The routes of every test, by index.
pub(super) const LEASED: u32 = 0;
const UNLEASED: u32 = 2;
const YOUNG: u32 = 3;
const UPSTREAM: u32 = 4;
pub(super) const WRITE: u32 = 5;

pub(super) fn hello() -> Hello {
    let route = |name: &str| Route { name: name.to_owned(), lease_ms: LENGTH, ..Route::default() };
    let routes = vec![
        route("leased"),
        Route { background: true, ..route("background") },
        Route { lease_ms: 0, ..route("unleased") },
        Route { max_age_ms: Some(15 * MINUTE), ..route("young") },
        Route {
            upstream_token: Some(UpstreamToken { ttl_ms: MINUTE, ..UpstreamToken::default() }),
            ..route("upstream")
        },
        Route { all_of: vec!["orders:write".to_owned()], ..route("write") },
    ];
    Hello { routes, ..Hello::default() }
}

/// A stream whose filter asks for leases, and has used a token.
fn stream(fixture: &Fixture) -> Stream {
    fixture.registry.lease().may_give(LENGTH);
    let mut state = fresh(fixture);
    state.receive(FilterMessage { hello: Some(hello()), ..FilterMessage::default() }, T0).unwrap();
    let mut stream = Stream(state, Arc::clone(&fixture.registry));
    stream.describe(token(1, "s", T0), T0);
    stream
}

pub(super) fn ask(stream: &mut Stream, lease: u32, route: u32, now_ms: u64) -> Verdict {
    let method = "GET".to_owned();
    let question = Question { id: lease, token: 1, route, method, lease: Some(lease), ..Question::default() };
    let answers = stream.send(FilterMessage { questions: vec![question], ..FilterMessage::default() }, now_ms);
    let held = answers.held.into_iter().map(|held| held.verdict);
    let [verdict] = <[Verdict; 1]>::try_from(answers.verdicts.into_iter().chain(held).collect::<Vec<_>>()).unwrap();
    verdict
}

pub(super) fn renew(stream: &mut Stream, renewal: Renewal, now_ms: u64) -> Vec<u32> {
    let answers = stream.send(FilterMessage { renewal: Some(renewal), ..FilterMessage::default() }, now_ms);
    answers.renewed.expect("it is answered").refused
}

pub(super) fn taken_back(answers: &Answers) -> Vec<u32> {
    answers.take_backs.iter().flat_map(|taken| taken.leases.clone()).collect()
}

fn acknowledge(stream: &mut Stream, answers: &Answers, now_ms: u64) {
    let taken_back = answers.take_backs.iter().map(|taken| taken.id).collect();
    stream.send(FilterMessage { taken_back, ..FilterMessage::default() }, now_ms);
}

#[test]
fn a_verdict_that_depends_on_token_and_route_only_comes_with_a_lease_from_the_first_question_on() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture);
    let rows = [(LEASED, Some(LENGTH)), (BACKGROUND, Some(LENGTH)), (UNLEASED, None), (UPSTREAM, None)];
    for (number, (route, lease_ms)) in (0..).zip(rows) {
        let verdict = ask(&mut stream, number, route, T0);
        assert_eq!((verdict.outcome(), verdict.lease_ms), (Outcome::Active, lease_ms), "{route}");
    }
    assert_eq!(fixture.registry.followers().leases().count(), 2);
}

#[test]
fn a_lease_ends_with_the_nearest_limit() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture);
    for (number, (route, now_ms, lease_ms)) in (0..).zip([
        (LEASED, T0, Some(LENGTH)),
        // The route's, of a login that old.
        (YOUNG, T0 + 15 * MINUTE - 100, Some(100)),
        (BACKGROUND, T0 + 15 * MINUTE, Some(LENGTH)),
    ]) {
        let verdict = ask(&mut stream, number, route, now_ms);
        assert_eq!((verdict.outcome(), verdict.lease_ms), (Outcome::Active, lease_ms), "{route}");
    }
    // A background question is no activity: what is left of the idle time is left.
    let idle_at = T0 + 15 * MINUTE - 100 + IDLE;
    assert_eq!(ask(&mut stream, 10, BACKGROUND, idle_at - 40).lease_ms, Some(40));
    assert_eq!(ask(&mut stream, 11, LEASED, idle_at - 40).lease_ms, Some(LENGTH));
    // The token's own end is the last of them here.
    assert_eq!(ask(&mut stream, 12, LEASED, T0 + HOUR - 70).lease_ms, Some(70));
}

#[test]
fn what_was_used_by_a_lease_counts_as_of_when_it_was_given_or_extended_and_never_later() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture);
    ask(&mut stream, 1, LEASED, T0);
    ask(&mut stream, 2, BACKGROUND, T0 + 1);
    let session = fixture.registry.find(id("s")).unwrap();
    let seen = |session: &crate::session::Session| session.last_seen_ms() - T0;
    let active = |ids: &[u32]| Renewal { active: ids.to_vec(), ..Renewal::default() };
    assert_eq!((renew(&mut stream, active(&[1, 2]), T0 + 100), seen(&session)), (vec![], 0));
    assert_eq!((renew(&mut stream, active(&[]), T0 + 200), seen(&session)), (vec![], 0));
    // It may have been used while the renewal before was under way.
    assert_eq!((renew(&mut stream, active(&[1]), T0 + 300), seen(&session)), (vec![], 100));
    assert_eq!((renew(&mut stream, active(&[2]), T0 + 400), seen(&session)), (vec![], 100), "background");
    // One that the filter has dropped may have been used before.
    let ended = Renewal { active: vec![1], ended: vec![1] };
    assert_eq!((renew(&mut stream, ended, T0 + 500), seen(&session)), (vec![], 300));
    assert_eq!((renew(&mut stream, active(&[1]), T0 + 600), seen(&session)), (vec![], 300));
}

#[test]
fn a_renewal_extends_what_can_run_for_as_long_again_and_names_the_rest() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture);
    ask(&mut stream, 1, LEASED, T0);
    ask(&mut stream, 2, YOUNG, T0);
    let young_until = T0 + 15 * MINUTE;
    // Used elsewhere meanwhile, so that only the route's limit is near.
    stream.answers(1, LEASED, T0 + 14 * MINUTE);
    assert_eq!(renew(&mut stream, Renewal::default(), young_until - LENGTH), Vec::<u32>::new());
    assert_eq!(renew(&mut stream, Renewal::default(), young_until - LENGTH + 1), [2]);
    // It is named until the filter has dropped it.
    assert_eq!(renew(&mut stream, Renewal::default(), young_until - LENGTH + 2), [2]);
    assert_eq!(renew(&mut stream, Renewal { ended: vec![2], ..Renewal::default() }, young_until), Vec::<u32>::new());
    // The idle limit moves with what is done elsewhere: it is looked at again when it seems to be reached.
    let idle_until = T0 + 14 * MINUTE + IDLE;
    assert_eq!(renew(&mut stream, Renewal::default(), idle_until - LENGTH + 1), [1]);
}

#[test]
fn what_ends_or_narrows_a_session_takes_its_leases_back_and_what_changes_nothing_does_not() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture);
    stream.describe(Token { subject: "bob".to_owned(), ..token(2, "other", T0) }, T0);
    ask(&mut stream, 1, LEASED, T0);
    ask(&mut stream, 2, WRITE, T0);
    let question = Question { id: 9, token: 2, route: LEASED, lease: Some(9), ..Question::default() };
    stream.send(FilterMessage { questions: vec![question], ..FilterMessage::default() }, T0);
    let session = fixture.registry.find(id("s")).unwrap();
    fixture.registry.followers().changed(session.id);
    assert_eq!(taken_back(&stream.0.review(T0 + 1)), Vec::<u32>::new());
    fixture.registry.followers().all_changed();
    assert_eq!(taken_back(&stream.0.review(T0 + 1)), Vec::<u32>::new());
    fixture.registry.narrow(&[narrowing(&session, Some(&["openid"]))]);
    let answers = stream.0.review(T0 + 2);
    let mut taken = taken_back(&answers);
    taken.sort_unstable();
    assert_eq!(taken, [1, 2]);
    // Until they are dropped, no renewal extends them.
    let mut refused = renew(&mut stream, Renewal::default(), T0 + 3);
    refused.sort_unstable();
    assert_eq!(refused, [1, 2]);
    acknowledge(&mut stream, &answers, T0 + 4);
    assert_eq!(renew(&mut stream, Renewal::default(), T0 + 5), Vec::<u32>::new());
    // By the narrower verdict there is another one; not where the scopes do not suffice.
    assert_eq!(ask(&mut stream, 1, LEASED, T0 + 6).lease_ms, Some(LENGTH));
    assert_eq!(ask(&mut stream, 2, WRITE, T0 + 6).lease_ms, None);
    fixture.registry.end(&session, revoked(T0 + 7), EndedBy::Admin);
    assert_eq!(taken_back(&stream.0.review(T0 + 7)), [1]);
    let verdict = ask(&mut stream, 3, LEASED, T0 + 8);
    assert_eq!((verdict.outcome(), verdict.lease_ms), (Outcome::Revoked, None));
}

#[test]
fn no_lease_is_given_or_extended_before_the_store_knows_of_its_length_nor_while_the_clocks_disagree() {
    let fixture = Fixture::new();
    let mut state = fresh(&fixture);
    state.receive(FilterMessage { hello: Some(hello()), ..FilterMessage::default() }, T0).unwrap();
    let mut stream = Stream(state, Arc::clone(&fixture.registry));
    stream.describe(token(1, "s", T0), T0);
    assert_eq!(ask(&mut stream, 1, LEASED, T0).lease_ms, None);
    assert_eq!(*fixture.registry.followers().leases().wanted().borrow(), LENGTH);
    fixture.registry.lease().may_give(LENGTH - 1);
    assert_eq!(ask(&mut stream, 1, LEASED, T0).lease_ms, Some(LENGTH - 1));
}

#[test]
fn a_question_with_a_proof_gets_no_lease() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture);
    let proof = Some(Proof { id: vec![7; 16], asker: 1, lasts_ms: MINUTE });
    let question = Question { id: 1, token: 1, route: LEASED, lease: Some(1), proof, ..Question::default() };
    let answers =
        stream.0.receive(FilterMessage { questions: vec![question], ..FilterMessage::default() }, T0).unwrap();
    assert_eq!((answers.proofs.len(), fixture.registry.followers().leases().count()), (1, 0));
}

#[test]
fn leases_of_a_closed_stream_are_in_the_book_until_they_have_run_out() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture);
    ask(&mut stream, 1, LEASED, T0);
    drop(stream);
    let leases = fixture.registry.followers().leases();
    assert_eq!(leases.count(), 1);
    fixture.registry.followers().changed(id("s"));
    assert!(leases.until_ms().is_some());
}

#[test]
fn a_lease_of_a_session_that_is_looked_up_first_is_given_with_its_verdict() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture);
    let question = Question { id: 1, token: 1, route: LEASED, lease: Some(1), ..Question::default() };
    let answers =
        stream.0.receive(FilterMessage { questions: vec![question], ..FilterMessage::default() }, T0).unwrap();
    assert_eq!((answers.look_ups.len(), fixture.registry.followers().leases().count()), (1, 1));
    // What changes meanwhile strikes it.
    fixture.registry.followers().changed(id("s"));
    let found: Vec<_> = answers.look_ups.iter().map(|look_up| fixture.registry.look_up(look_up).unwrap()).collect();
    let answers = stream.0.looked_up(&found, T0);
    assert_eq!(answers.verdicts[0].lease_ms, None);
    assert_eq!(ask(&mut stream, 1, LEASED, T0).lease_ms, Some(LENGTH));
}

#[test]
fn what_was_released_by_leases_counts_for_the_scopes_that_it_took() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture);
    let used = Use {
        route: Some(WRITE),
        client_id: "web".to_owned(),
        count: 7,
        granted: vec!["orders:write".to_owned()],
        ..Use::default()
    };
    stream.send(FilterMessage { uses: vec![used], ..FilterMessage::default() }, T0);
    drop(stream);
    let mut counted = Vec::new();
    fixture.registry.usage().write(usize::MAX, |used| {
        counted = used;
        Ok(())
    });
    let of_scope = counted.iter().find(|used| used.name == "orders:write").unwrap();
    assert_eq!((of_scope.count.asked, of_scope.count.granted), (7, 7));
}

/// Run by hand: what a renewal of 10,000 leases costs, all of them used.
#[test]
#[ignore = "a measurement"]
fn ten_thousand_leases_are_extended_by_one_message() {
    let fixture = Fixture::new();
    let mut stream = stream(&fixture);
    for number in 2..10_002_u32 {
        stream.describe(token(number, &number.to_string(), T0), T0);
        let question =
            Question { id: number, token: number, route: LEASED, lease: Some(number), ..Question::default() };
        stream.send(FilterMessage { questions: vec![question], ..FilterMessage::default() }, T0);
    }
    for is_used in [false, true] {
        let active = if is_used { (2..10_002).collect() } else { Vec::new() };
        let message =
            FilterMessage { renewal: Some(Renewal { active, ..Renewal::default() }), ..FilterMessage::default() };
        let started = std::time::Instant::now();
        for round in 1..=100 {
            stream.0.receive(message.clone(), T0 + round).unwrap();
        }
        println!("used: {is_used}: {:?} a renewal", started.elapsed() / 100);
    }
}
