//! Connections to the session service that are dead without being closed: nobody is told, and nothing arrives.

use portcullis_tests::{Break, Kind, Link, Stream, Testbed, Token, busy, policy, until};
use serde_json::json;
use std::time::{Duration, Instant};

/// The defaults of the policy.
const STREAM_LEASE: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_millis(200);

/// What the design adds to the lease.
const CUT_AFTER_LEASE: Duration = Duration::from_millis(250);

/// The silence after which a stream is left, the time for a question on the next one, and what a tick adds.
const RECOVERED: Duration = Duration::from_millis(1_500);

/// How often a bound is tried. A machine that is busy with something else can be late once, but not each time.
const TRIES: usize = 3;

const KINDS: [Kind; 4] = [Kind::QuietHttp1, Kind::WebSocket, Kind::QuietHttp2, Kind::Rpc];

async fn linked(timeout: Duration) -> (Testbed, Link) {
    let link = Link::open().await;
    let mut policy = policy::streams();
    policy["session"]["timeout"] = json!(format!("{}ms", timeout.as_millis()));
    let testbed = Testbed::builder().policy(policy).cluster("session", link.port).start().await;
    link.lead_to(testbed.service.address());
    testbed.ready().await;
    (testbed, link)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stream_outlives_a_revocation_by_more_than_its_lease_at_a_filter_that_is_not_reached() {
    let _busy = busy().await;
    let mut latest = Vec::new();
    for _ in 0..TRIES {
        let (testbed, link) = linked(Duration::from_secs(5)).await;
        let mut streams: Vec<(Stream, Token)> = Vec::new();
        for kind in KINDS.into_iter().cycle().take(24) {
            let token = testbed.issuer.token().sign();
            streams.push((testbed.open(kind, &token).await, token));
        }
        link.go_dead();
        for (_, token) in &streams {
            testbed.service.admin().revoke(&token.session).await;
        }
        let answered = Instant::now();
        let mut last = Duration::ZERO;
        for (stream, _) in &mut streams {
            last = last.max(stream.is_cut().await.at.saturating_duration_since(answered));
        }
        println!("the last of {} streams ended {last:?} after the last 200", streams.len());
        latest.push(last);
        assert_eq!(testbed.envoy.vm_reloads().await, 0);
        if last <= STREAM_LEASE + CUT_AFTER_LEASE {
            return;
        }
    }
    panic!("streams outlived a revocation by {latest:?}, each time longer than their lease allows");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_asked_over_another_connection_once_one_is_silent() {
    let _busy = busy().await;
    let mut waits = Vec::new();
    for _ in 0..TRIES {
        let (testbed, link) = linked(TIMEOUT).await;
        let token = testbed.issuer.token().sign();
        testbed.get("/orders").bearer(&token).await.passes();
        link.break_all(Break::Dead);
        let stranded = Instant::now();
        let (mut wait, mut released, mut refused) = (Duration::ZERO, 0, 0);
        // New connections reach every worker.
        until("every worker has verdicts again", async || {
            let is_released = testbed.get("/orders").bearer(&token).fresh().await.status == 200;
            released = if is_released { released + 1 } else { 0 };
            if !is_released {
                wait = stranded.elapsed();
                refused += 1;
            }
            (released >= 12).then_some(())
        })
        .await;
        println!("the last of {refused} requests without a verdict was refused {wait:?} after the connection died");
        waits.push(wait);
        if wait <= RECOVERED {
            return;
        }
    }
    panic!("requests had no verdict for {waits:?}");
}
