//! Envoy's wall clock is set back: what the filter waits for does not take longer.

use portcullis_tests::{Kind, Testbed, now_s, policy, quiet};
use serde_json::json;
use std::time::{Duration, Instant};

/// How far the clock is set back. Every deadline that went by it would be late by as much.
const BACK_S: i64 = 20;
/// `session.timeout`, and what a busy machine may add to it, or to a cut.
const TIMEOUT: Duration = Duration::from_millis(300);
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_is_set_back_delays_neither_cuts_nor_timeouts() {
    let _quiet = quiet().await;
    let mut policy = policy::streams();
    policy["session"]["timeout"] = json!(format!("{}ms", TIMEOUT.as_millis()));
    let testbed = Testbed::builder().policy(policy).faulty_envoy().start().await;
    testbed.ready().await;
    testbed.envoy.faults().set_clock(-BACK_S);
    // Proves that it is: what was issued just now is from the future.
    testbed.get("/me").bearer(testbed.issuer.token().sign()).await.refused(401, "invalid_token");

    let issued_s = now_s() - 3 * BACK_S;
    let token = || testbed.issuer.token().claim("iat", json!(issued_s)).claim("auth_time", json!(issued_s)).sign();
    for kind in Kind::FLOWING.into_iter().chain([Kind::QuietHttp1, Kind::QuietHttp2]) {
        let token = token();
        let mut stream = testbed.open(kind, &token).await;
        testbed.service.admin().revoke(&token.session).await;
        let answered = Instant::now();
        let delay = stream.is_cut().await.at.saturating_duration_since(answered);
        assert!(delay < SLACK, "{kind:?}: cut {delay:?} after the 200");
    }

    testbed.service.pause();
    let asked = Instant::now();
    let answer = testbed.get("/me").bearer(token()).fresh().await;
    let took = asked.elapsed();
    testbed.service.resume();
    answer.refused(503, "session_unavailable");
    assert!((TIMEOUT..TIMEOUT + SLACK).contains(&took), "{took:?} for a timeout of {TIMEOUT:?}");
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
}
