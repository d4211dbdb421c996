//! From a revocation to its effect, as clients see it. Testbed and measurement are those of the end-to-end tests.

use crate::{report::Revocation, stats::Spread};
use portcullis_tests::{Load, Round, Testbed, cut, policy, until};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

const CONNECTIONS: usize = 32;
const REVOCATIONS: usize = 60;
/// How many requests must be released before a revocation and refused after it.
const PASSES_MIN: usize = 64;
const REFUSALS_MIN: usize = 128;
const STREAMS: usize = 300;

pub(crate) async fn measure() -> Revocation {
    let testbed = Testbed::with_policy(policy::streams()).await;
    testbed.ready().await;
    let load = Arc::new(Load::default());
    load.begin(testbed.issuer.token().sign());
    let connections: Vec<_> =
        (0..CONNECTIONS).map(|offset| tokio::spawn(load.clone().drive(testbed.client(), offset))).collect();
    let mut last_releases = Vec::new();
    for _ in 0..REVOCATIONS {
        let round = load.begin(testbed.issuer.token().sign());
        enough(&round.passes, PASSES_MIN, "requests pass").await;
        testbed.service.admin().revoke(&round.token.session).await;
        round.revoked.set(Instant::now()).expect("revoked once");
        enough(&round.refusals, REFUSALS_MIN, "requests are refused").await;
        last_releases.push(last_release_ms(&round));
    }
    load.over.store(true, Ordering::Relaxed);
    for connection in connections {
        connection.await.expect("a connection ends well");
    }
    let cuts = cut(&testbed, STREAMS).await;
    let count = |list: &Mutex<Vec<String>>| list.lock().expect("not poisoned").len();
    Revocation {
        revocations: REVOCATIONS,
        released_after: count(&load.violations),
        strange: count(&load.strange),
        last_release_ms: Spread::of(&last_releases),
        streams: cuts.delays.len(),
        cut_p50_ms: cuts.at(0.5).as_secs_f64() * 1e3,
        cut_p99_ms: cuts.at(0.99).as_secs_f64() * 1e3,
    }
}

async fn enough(counter: &AtomicUsize, min: usize, what: &str) {
    until(what, async || (counter.load(Ordering::Relaxed) >= min).then_some(())).await;
}

/// From the 200 of the revocation to the last released request, by when it was sent: negative if it was sent before.
fn last_release_ms(round: &Round) -> f64 {
    let revoked = *round.revoked.get().expect("revoked before");
    let last = round.last_passed().expect("requests passed before");
    let before = revoked.saturating_duration_since(last).as_secs_f64();
    let after = last.saturating_duration_since(revoked).as_secs_f64();
    (after - before) * 1e3
}
