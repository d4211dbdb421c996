//! The guarantee under leases while everything fails between Envoys and the session service: connections that only one end knows
//! to be closed, or that lose what one end sends; processes that are stopped for longer than a lease, or killed; and clocks that
//! are set. Whatever takes something away is called.
//!
//! `PORTCULLIS_CHAOS=1000` sets the least number of changes, and `PORTCULLIS_REQUESTS=10000000` that of requests. Each test
//! prints how long answers took.

mod change;
mod fault;
mod stage;

use change::{Change, Changes, Prepared};
use fault::{Fault, Occurrence};
use portcullis_tests::{Answer, Load, PATIENCE, Postgres, Service, Testbed, Token, busy, shared_store};
use stage::Stage;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

const LEASE: Duration = Duration::from_millis(900);
/// By how much longer than leases run an answer waits on a busy machine.
const SLACK: Duration = Duration::from_millis(500);
/// A service that is paused does not answer.
const CALL_MAX: Duration = Duration::from_secs(3);
const REPLICAS: usize = 3;
const PASSES_MIN: usize = 64;
const REFUSALS_MIN: usize = 64;
/// Requests over new connections, at each Envoy, as soon as there is an answer.
const AFRESH: usize = 4;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute: run by `make test-faults`"]
async fn no_lease_releases_anything_late_whatever_each_end_believes_of_a_connection() {
    alone(&fault::OF_CONNECTIONS, 16).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute: run by `make test-faults`"]
async fn no_lease_releases_anything_late_whoever_is_stopped_or_killed() {
    alone(&fault::OF_PROCESSES, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute: run by `make test-faults`"]
async fn no_lease_releases_anything_late_whichever_clock_is_set() {
    alone(&fault::OF_CLOCKS, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, and half a minute: run by `make test-faults`"]
async fn no_lease_releases_anything_late_over_replicas_of_postgres() {
    let postgres = Postgres::start().await;
    let builder = Testbed::builder().policy(Changes::policy(LEASE));
    let builder = builder.replicas(REPLICAS, shared_store(&postgres.url()));
    let faults = [&fault::OF_CONNECTIONS[..], &fault::OF_PROCESSES, &fault::OF_CLOCKS].concat();
    // One after the other would break connections first.
    let faults: Vec<Fault> = (0..faults.len()).map(|at| faults[at * 7 % faults.len()]).collect();
    let _busy = busy().await;
    let stage = Stage::start(builder, REPLICAS).await;
    holds(&stage, &Changes::new(), &change::OF_REPLICAS, &faults, 10).await;
}

/// One service with a store of its own.
async fn alone(faults: &[Fault], count: usize) {
    let _busy = busy().await;
    let changes = Changes::new();
    let builder = Testbed::builder().policy(Changes::policy_with_approvals(LEASE)).session(changes.configure());
    let stage = Stage::start(builder, 1).await;
    holds(&stage, &changes, &change::ALL, faults, count).await;
}

/// The number that a variable of the environment sets.
fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

async fn holds(stage: &Stage, changes: &Changes, all: &[Change], faults: &[Fault], count: usize) {
    let count = number("PORTCULLIS_CHAOS").unwrap_or(count);
    let requests = number("PORTCULLIS_REQUESTS").unwrap_or_default();
    let load = Arc::new(Load::default());
    load.is_strict.store(true, Ordering::Relaxed);
    load.begin(stage.testbed.issuer.token().sign());
    let started = Instant::now();
    let drivers = stage.drive(&load);
    let (mut took, mut longest) = (Vec::new(), HashMap::<Fault, Duration>::new());
    for number in 0.. {
        if number >= count && load.answered() >= requests {
            break;
        }
        let occurrence = Occurrence::new(faults[number % faults.len()], stage, number);
        let time = play(stage, changes, all[number % all.len()], &occurrence, &load, number).await;
        took.push(time);
        let before = longest.entry(occurrence.fault).or_default();
        *before = time.max(*before);
    }
    let (released, rate) = (stage.end(&load, drivers).await, load.answered() as f64 / started.elapsed().as_secs_f64());
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "{} changes, {} requests ({rate:.0}/s), {released} of them released by leases, and {} without a verdict: none late; \
         answers took {:?} (p50), {:?} (p90), {:?} (p99); the longest were {longest:?}",
        took.len(),
        load.answered(),
        load.unavailable.load(Ordering::Relaxed),
        at(50),
        at(90),
        at(99),
    );
    let passes: usize =
        load.rounds.lock().expect("not poisoned").iter().map(|round| round.passes.load(Ordering::Relaxed)).sum();
    assert!(2 * released > passes as u64, "only {released} of {passes} requests were released by leases");
}

/// One change, with what goes wrong meanwhile; returns how long its answer took.
async fn play(
    stage: &Stage,
    changes: &Changes,
    change: Change,
    occurrence: &Occurrence<'_>,
    load: &Arc<Load>,
    number: usize,
) -> Duration {
    let token = Changes::token(&stage.testbed, number);
    let prepared = changes.prepare(change, &stage.testbed, &token, number).await;
    let round = load.begin_with(token.clone(), Vec::new(), change.refusal());
    super::guarantee::enough(load, &round.passes, PASSES_MIN, "requests pass").await;
    occurrence.begin().await;
    let _ = round.asked.set(Instant::now());
    let calling = call(stage, changes, prepared, &token, occurrence.service() + number);
    let ((took, answer), ()) = tokio::join!(calling, occurrence.go_on());
    round.revoked.set(answer.begun_at).expect("answered once");
    let mut afresh = Vec::new();
    for client in stage.clients() {
        for at in 0..AFRESH {
            afresh.push(tokio::spawn(load.clone().send_afresh(client.clone(), round.clone(), at)));
        }
    }
    occurrence.end().await;
    for request in afresh {
        request.await.expect("a request ends well");
    }
    super::guarantee::enough(load, &round.refusals, REFUSALS_MIN, "requests are refused").await;
    for service in stage.services() {
        service.becomes(200).await;
    }
    let waited = waited(&answer);
    let is_bounded = !occurrence.leaves_the_service() || waited < LEASE + SLACK;
    assert!(is_bounded, "{change:?} has waited {waited:?} for leases with {:?}", occurrence.fault);
    took
}

/// How long an answer of the admin API has waited for filters, as it says.
fn waited(answer: &Answer) -> Duration {
    let waited = answer.header("server-timing").strip_prefix("leases;dur=").and_then(|text| text.parse().ok());
    Duration::from_millis(waited.unwrap_or_default())
}

/// Calls one service after the other until one answers that it is so; returns how long that took, and the answer.
async fn call(
    stage: &Stage,
    changes: &Changes,
    mut prepared: Prepared,
    token: &Token,
    first: usize,
) -> (Duration, Answer) {
    let services: Vec<&Service> = stage.services();
    let started = Instant::now();
    for at in first.. {
        let call = changes.call(&prepared, &stage.testbed, services[at % services.len()], token);
        let called = Instant::now();
        if let Ok(Ok(answer)) = tokio::time::timeout(CALL_MAX, call.try_send()).await {
            match answer.status.as_u16() {
                200..300 => return (answer.begun_at - called, answer),
                409 => prepared.fall_back(),
                _ => {}
            }
        }
        assert!(started.elapsed() < PATIENCE, "{:?} is not answered", prepared.change);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("the loop ends with an answer")
}
