//! Leases: requests that need no question, revocations that are final all the same, and a service that is away for a moment.

use portcullis_tests::{Answer, Testbed, Token, holds_for, policy, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The longest lease that a policy can have: a busy machine renews it in time.
const LEASE: Duration = Duration::from_secs(5);
/// An absence of the service that each lease outlives: renewed every third of its time, it has at least two thirds left, less
/// what a busy machine takes.
const SHORT: Duration = Duration::from_secs(2);
/// New connections that are enough to meet every worker of Envoy.
const EVERY_WORKER: usize = 16;
const REVOCATIONS: usize = 20;

/// A policy with leases on every route.
fn leased(lease: Duration) -> Value {
    let mut policy = policy::with_routes(json!([
        {"name": "me", "match": {"path": "/me"}, "authenticated": true},
        {"name": "list", "match": {"path": "/orders"}, "require": {"all_of": ["orders:read"]}},
    ]));
    policy["session"]["freshness"] = json!({"lease": format!("{}ms", lease.as_millis())});
    policy
}

async fn everywhere(testbed: &Testbed, path: &str, token: &Token, demand: impl Fn(&Answer)) {
    for _ in 0..EVERY_WORKER {
        demand(&testbed.get(path).bearer(token).fresh().await);
    }
}

fn passes(answer: &Answer) {
    answer.passes();
}

fn revoked(answer: &Answer) {
    answer.refused(401, "session_revoked");
}

fn is_blocked(answer: &Answer) {
    answer.refused(403, "blocked");
}

fn lacks_scope(answer: &Answer) {
    answer.refused(403, "insufficient_scope");
}

/// The access-log lines of requests of a session.
fn lines(testbed: &Testbed, token: &Token) -> Vec<String> {
    let lines = testbed.envoy.access_log().into_iter().map(|line| line["portcullis"].to_string());
    lines.filter(|line| line.contains(&format!("session={}", token.session))).collect()
}

async fn counted(testbed: &Testbed, event: &str) {
    let name = format!("portcullis.leases.event.{event}");
    until(&name, async || (testbed.envoy.stat(&name).await > 0).then_some(())).await;
}

/// Sends requests until a lease releases one. The first answers may bring none: a session that was just opened, or a service that
/// has never given a lease, has something to write first.
async fn released(testbed: &Testbed, mut send: impl AsyncFnMut()) {
    until("a lease releases a request", async || {
        send().await;
        (testbed.envoy.stat("portcullis.leases.event.released").await > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_question_is_enough_for_a_worker_and_the_upstream_sees_no_difference() {
    const REQUESTS: usize = 50;
    let testbed = Testbed::with_policy(leased(LEASE)).await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    // One connection belongs to one worker; a client of HTTP/1.1 may open a second one while the first is put back.
    let call = testbed.get("/me").bearer(&token).http2();
    let identity = |answer: &Answer| {
        ["subject", "client", "scopes", "session"].map(|name| answer.passes().echoed(&format!("x-portcullis-{name}")))
    };
    let first = identity(&call.clone().await);
    let mut asked = 1;
    released(&testbed, async || {
        asked += 1;
        assert_eq!(identity(&call.clone().await), first);
    })
    .await;
    for _ in 0..REQUESTS {
        assert_eq!(identity(&call.clone().await), first);
    }
    let lines = until("every request is in the access log", async || {
        let lines = lines(&testbed, &token);
        (lines.len() >= asked + REQUESTS).then_some(lines)
    })
    .await;
    let by_lease = lines.iter().rev().take(REQUESTS).filter(|line| line.contains(" by=lease")).count();
    assert_eq!((by_lease, lines.len()), (REQUESTS, asked + REQUESTS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_final_at_its_answer() {
    let testbed = Testbed::with_policy(leased(LEASE)).await;
    testbed.ready().await;
    let admin = testbed.service.admin();
    for n in 0..REVOCATIONS {
        let token = testbed.issuer.token().subject(&format!("user-{n}")).sign();
        everywhere(&testbed, "/me", &token, passes).await;
        let start = Instant::now();
        admin.revoke(&token.session).await;
        assert!(start.elapsed() < LEASE, "workers that are reached need not be waited out");
        everywhere(&testbed, "/me", &token, revoked).await;
    }
    counted(&testbed, "taken_back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_for_workers_to_give_leases_back_and_not_for_leases_to_run_out() {
    let testbed = Testbed::with_policy(leased(LEASE)).await;
    testbed.ready().await;
    let mut took = Vec::new();
    for _ in 0..REVOCATIONS {
        let token = testbed.issuer.token().sign();
        everywhere(&testbed, "/me", &token, passes).await;
        let start = Instant::now();
        testbed.service.admin().revoke(&token.session).await;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    println!("answers took {:?} (p50), at most {:?}", took[REVOCATIONS / 2], took[REVOCATIONS - 1]);
    assert!(took[REVOCATIONS / 2] < LEASE / 10, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_and_a_narrowing_are_final_at_their_answers() {
    let testbed = Testbed::with_policy(leased(LEASE)).await;
    testbed.ready().await;
    let admin = testbed.service.admin();
    for n in 0..REVOCATIONS {
        let (anna, bert) = (format!("anna-{n}"), format!("bert-{n}"));
        let token = |subject: &str| testbed.issuer.token().subject(subject).scopes("orders:read orders:write").sign();
        let (blocked, narrowed) = (token(&anna), token(&bert));
        for token in [&blocked, &narrowed] {
            everywhere(&testbed, "/orders", token, passes).await;
        }
        admin.block(&json!({"issuer": testbed.issuer.name, "subject": anna})).await;
        everywhere(&testbed, "/orders", &blocked, is_blocked).await;
        admin.narrow(&narrowed.session, &["orders:write"]).await;
        everywhere(&testbed, "/orders", &narrowed, lacks_scope).await;
        everywhere(&testbed, "/me", &narrowed, passes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_for_less_than_a_lease_is_not_noticed_and_then_on_outage_decides() {
    let mut policy = leased(LEASE);
    policy["session"]["timeout"] = json!("1s");
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let (token, other) = (testbed.issuer.token().sign(), testbed.issuer.token().sign());
    let call = testbed.get("/me").bearer(&token).http2();
    released(&testbed, async || passes(&call.clone().await)).await;
    testbed.service.pause();
    holds_for(SHORT, "a lease outlives it", async || call.clone().await.status == 200).await;
    testbed.service.resume();
    // Nobody has told this worker anything about another session.
    testbed.get("/me").bearer(&other).until("there are verdicts", |answer| answer.status == 200).await;

    // Long enough for a renewal, so that a fresh lease does not end with the pause.
    holds_for(SHORT, "it goes on", async || call.clone().await.status == 200).await;
    testbed.service.pause();
    let start = Instant::now();
    let refused = until("the lease runs out", async || {
        let answer = call.clone().await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    let took = start.elapsed();
    refused.refused(503, "session_unavailable");
    assert!(took >= SHORT, "it took only {took:?}");
    testbed.service.resume();
    call.clone().until("there are verdicts again", |answer| answer.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_does_not_end_late() {
    const IDLE: Duration = Duration::from_secs(3);
    let builder = Testbed::builder().policy(leased(Duration::from_secs(1)));
    let testbed = builder.session(|config| config["access"] = json!([{"name": "all", "idle": "3s"}])).start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    let call = testbed.get("/me").bearer(&token);
    // It is used for longer than its idle limit, and lives on.
    holds_for(2 * IDLE, "activity under leases counts", async || call.clone().await.status == 200).await;
    let last = Instant::now();
    let idle_until = async || testbed.session(&token).await["state"].clone();
    until("the idle time passes", async || (last.elapsed() >= IDLE).then_some(())).await;
    call.clone().await.refused(401, "session_idle_timeout");
    assert_eq!(idle_until().await, "ended");
}
