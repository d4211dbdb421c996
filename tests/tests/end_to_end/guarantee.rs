//! The guarantee: once a revocation has answered 200, no request sent afterwards is released for that session.

mod bad_days;

use portcullis_tests::{Load, Testbed, busy, policy, until};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 200;
/// The answers of some wait for a lease that a killed service may have given.
const ROUNDS_OF_LEASES: usize = 40;
/// The service is killed and restarted once in this many rounds, before or after the revocation.
const KILL_EVERY: usize = 8;
const PASSES_MIN: usize = 64;
const REFUSALS_MIN: usize = 128;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_sent_after_the_end_of_a_session_is_released() {
    holds(policy::patient(), ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_sent_after_the_end_of_a_session_is_released_by_a_lease() {
    holds(policy::leased(policy::patient(), "500ms"), ROUNDS_OF_LEASES).await;
}

async fn holds(mut policy: Value, rounds: usize) {
    let _busy = busy().await;
    policy["session"]["timeout"] = json!("1s");
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let load = Arc::new(Load::default());
    load.begin(testbed.issuer.token().sign());
    let connections: Vec<_> =
        (0..CONNECTIONS).map(|offset| tokio::spawn(load.clone().drive(testbed.client(), offset))).collect();
    for number in 0..rounds {
        play(&testbed, &load, number).await;
    }
    load.over.store(true, Ordering::Relaxed);
    for connection in connections {
        connection.await.expect("a connection ends well");
    }
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
    load.demand_no_violation();
    load.demand_nothing_strange();
}

async fn play(testbed: &Testbed, load: &Load, number: usize) {
    let round = load.begin(testbed.issuer.token().sign());
    enough(load, &round.passes, PASSES_MIN, "requests pass").await;
    if number % KILL_EVERY == 1 {
        testbed.service.kill();
        testbed.service.restart().await;
        // A first use that the crash lost is repeated by the next question.
        until("the session is known again", async || {
            let session = testbed.service.admin().call("GET", &format!("/v1/sessions/{}", round.token.session)).await;
            session.status.is_success().then_some(())
        })
        .await;
    }
    testbed.service.admin().revoke(&round.token.session).await;
    round.revoked.set(Instant::now()).expect("revoked once");
    if number % KILL_EVERY == 5 {
        testbed.service.kill();
        testbed.service.restart().await;
    }
    enough(load, &round.refusals, REFUSALS_MIN, "requests are refused").await;
}

/// Waits until there are so many, and panics at the first violation.
pub(crate) async fn enough(load: &Load, counter: &AtomicUsize, min: usize, what: &str) {
    until(what, async || {
        load.demand_no_violation();
        (counter.load(Ordering::Relaxed) >= min).then_some(())
    })
    .await;
}
