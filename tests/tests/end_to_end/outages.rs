//! How each route's `on_outage` answers while the session service is dead, hanging or lying, and when it comes back.

use portcullis_contract::wire::Outcome;
use portcullis_tests::{
    Answer, Call, FakeService, PATIENCE, ServiceBehaviour, Testbed, Token, busy, policy, quiet, until,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// `session.timeout` in tests where requests may have to wait for it, and what a busy machine may add.
const TIMEOUT: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_secs(3);
/// `session.timeout` in tests where no request may wait for it, and how long an answer may take instead.
const LONG_TIMEOUT: Duration = Duration::from_secs(5);
const PROMPT: Duration = Duration::from_secs(2);
/// How long a recovery may take. The goal is one second.
const RECOVERY: Duration = Duration::from_secs(5);
/// New connections that are enough to meet every worker of Envoy.
const EVERY_WORKER: usize = 16;

/// A policy with a route for each `on_outage` and one with the default.
fn policy(timeout: Duration, default: Value) -> Value {
    let route = |name: &str, session: Value| {
        let path = format!("/{name}");
        json!({"name": name, "match": {"path": path}, "authenticated": true, "session": session})
    };
    let mut policy = policy::with_routes(json!([
        route("me", json!({"on_outage": "deny"})),
        route("deny", json!({"on_outage": "deny"})),
        route("read", json!({"on_outage": "read_only"})),
        route("grace", json!({"on_outage": {"grace": "1h"}})),
        route("default", json!({})),
    ]));
    policy["session"]["timeout"] = json!(format!("{}ms", timeout.as_millis()));
    policy["session"]["on_outage"] = default;
    policy
}

async fn passes_everywhere(call: Call) {
    for _ in 0..EVERY_WORKER {
        let answer = call.clone().fresh().await;
        assert_eq!(answer.passes().echoed("x-portcullis-outage"), [""; 0]);
    }
}

/// Sends it and demands an answer within `time`.
async fn within(time: Duration, call: Call) -> Answer {
    let start = Instant::now();
    let answer = call.fresh().await;
    assert!(start.elapsed() < time, "{:?} for {answer:?}", start.elapsed());
    answer
}

fn released_as(answer: &Answer, kind: &str) {
    assert_eq!(answer.passes().echoed("x-portcullis-outage"), [kind]);
}

fn unavailable(answer: &Answer) {
    assert_ne!(answer.refused(503, "session_unavailable").header("retry-after"), "", "{answer:?}");
}

/// Waits until every worker knows of the outage. Earlier requests may wait for the whole timeout.
async fn outage_is_known(testbed: &Testbed, token: &Token) {
    let mut in_a_row = 0;
    until("every worker knows of the outage", async || {
        let start = Instant::now();
        unavailable(&testbed.get("/deny").bearer(token).fresh().await);
        in_a_row = if start.elapsed() < PROMPT { in_a_row + 1 } else { 0 };
        (in_a_row == EVERY_WORKER).then_some(())
    })
    .await;
}

/// The time until every worker has verdicts again.
async fn recovery(testbed: &Testbed, token: &Token) -> Duration {
    let start = Instant::now();
    let mut in_a_row = 0;
    until("every worker has verdicts again", async || {
        let answer = testbed.get("/me").bearer(token).fresh().await;
        in_a_row = if answer.status == 200 { in_a_row + 1 } else { 0 };
        (in_a_row == EVERY_WORKER).then_some(())
    })
    .await;
    start.elapsed()
}

/// Tokens of sessions that were used before the outage.
struct Tokens {
    /// Has a positive verdict on every worker.
    granted: Token,
    /// Had a positive verdict on every worker before its session ended.
    ended: Token,
}

impl Tokens {
    async fn grant(testbed: &Testbed, end: impl AsyncFnOnce(&Token, &str)) -> Self {
        let ended = testbed.issuer.token().session("ended").sign();
        let granted = testbed.issuer.token().session("granted").sign();
        passes_everywhere(testbed.get("/grace").bearer(&ended)).await;
        passes_everywhere(testbed.get("/grace").bearer(&granted)).await;
        end(&ended, "ended").await;
        for _ in 0..EVERY_WORKER {
            testbed.get("/grace").bearer(&ended).fresh().await.refused(401, "session_revoked");
        }
        Self { granted, ended }
    }
}

/// Demands the answer of every route's `on_outage`, each within `time`.
async fn every_route_answers_by_its_on_outage(testbed: &Testbed, tokens: &Tokens, time: Duration) {
    let fresh = testbed.issuer.token().sign();
    let granted = |method: &str, path: &str| within(time, testbed.call(method, path).bearer(&tokens.granted));
    let (denied, read, write, options, grace) = tokio::join!(
        granted("GET", "/deny"),
        granted("GET", "/read"),
        granted("POST", "/read"),
        granted("OPTIONS", "/read"),
        granted("GET", "/grace"),
    );
    unavailable(&denied);
    released_as(&read, "read_only");
    unavailable(&write);
    released_as(&options, "read_only");
    released_as(&grace, "grace");
    let (ended, ended_reader, unknown, reader, nobody) = tokio::join!(
        within(time, testbed.get("/grace").bearer(&tokens.ended)),
        within(time, testbed.get("/read").bearer(&tokens.ended)),
        within(time, testbed.get("/grace").bearer(&fresh)),
        within(time, testbed.get("/read").bearer(&fresh)),
        within(time, testbed.get("/read")),
    );
    for answer in [ended, ended_reader] {
        assert!(answer.status == 401 || answer.status == 503, "a session known to be ended: {answer:?}");
    }
    unavailable(&unknown);
    released_as(&reader, "read_only");
    nobody.refused(401, "no_credentials");
}

/// Each kind of release is counted by route and written to the access log.
async fn releases_are_seen(testbed: &Testbed, kinds: &[(&str, &str)]) {
    for (kind, route) in kinds {
        let name = format!("portcullis.outage_releases.kind.{kind}.route.{route}");
        until(&name, async || (testbed.envoy.stat(&name).await > 0).then_some(())).await;
        let field = format!("code=outage:{kind} route={route} ");
        until(&field, async || {
            let lines = testbed.envoy.access_log();
            lines.iter().any(|line| line["portcullis"].to_string().contains(&field)).then_some(())
        })
        .await;
    }
}

/// Runs a testbed with a fake session service that behaves well, then differently, then well again.
async fn live_through(behaviour: ServiceBehaviour) {
    let _quiet = quiet().await;
    let fake = FakeService::start().await;
    let policy = policy(TIMEOUT, json!("deny"));
    let testbed = Testbed::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    testbed.ready().await;
    let tokens = Tokens::grant(&testbed, async |_, sid| fake.end(sid)).await;
    fake.behave(behaviour);
    if let ServiceBehaviour::Hangs | ServiceBehaviour::Status(_) = behaviour {
        fake.break_off();
    }
    for _ in 0..3 {
        every_route_answers_by_its_on_outage(&testbed, &tokens, TIMEOUT + SLACK).await;
    }
    fake.behave(ServiceBehaviour::Good);
    let took = recovery(&testbed, &tokens.granted).await;
    println!("{behaviour:?}: recovered after {took:?}");
    assert!(took < TIMEOUT + RECOVERY, "{took:?}");
    passes_everywhere(testbed.get("/deny").bearer(&tokens.granted)).await;
    releases_are_seen(&testbed, &[("read_only", "read"), ("grace", "grace")]).await;
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_accepts_streams_and_sends_nothing() {
    live_through(ServiceBehaviour::Hangs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_answers_no_question() {
    live_through(ServiceBehaviour::Deaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_too_slow() {
    live_through(ServiceBehaviour::Late(TIMEOUT * 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_no_messages() {
    live_through(ServiceBehaviour::NoMessage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_no_frames() {
    live_through(ServiceBehaviour::NoFrame).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_too_much() {
    live_through(ServiceBehaviour::Oversized).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_answers_what_was_not_asked() {
    live_through(ServiceBehaviour::UnknownIds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_read_its_store() {
    live_through(ServiceBehaviour::Outcome(Outcome::Unavailable as i32)).await;
}

/// An outcome that the filter does not know is a refusal on every route, whatever its `on_outage`.
async fn refuses_unknown_outcome(outcome: i32) {
    let fake = FakeService::start().await;
    let policy = policy(TIMEOUT, json!("deny"));
    let testbed = Testbed::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    passes_everywhere(testbed.get("/grace").bearer(&token)).await;
    fake.behave(ServiceBehaviour::Outcome(outcome));
    for path in ["/deny", "/read", "/grace", "/default"] {
        testbed.get(path).bearer(&token).await.refused(401, "session_unknown");
    }
    fake.behave(ServiceBehaviour::Good);
    passes_everywhere(testbed.get("/deny").bearer(&token)).await;
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_no_outcome() {
    refuses_unknown_outcome(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_unknown_outcomes() {
    refuses_unknown_outcome(4711).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_closes_the_stream() {
    live_through(ServiceBehaviour::Closes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_streams() {
    live_through(ServiceBehaviour::Status(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_service_is_waited_for() {
    let _quiet = quiet().await;
    let fake = FakeService::start().await;
    let policy = policy(PATIENCE, json!({"grace": "1h"}));
    let testbed = Testbed::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    testbed.ready().await;
    fake.behave(ServiceBehaviour::Late(TIMEOUT));
    let token = testbed.issuer.token().sign();
    let start = Instant::now();
    for path in ["/deny", "/default"] {
        let answer = testbed.get(path).bearer(&token).await;
        assert_eq!(answer.passes().echoed("x-portcullis-outage"), [""; 0]);
    }
    assert!(start.elapsed() >= TIMEOUT, "released before the verdict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_service_costs_nothing_and_is_back_at_once() {
    let _quiet = quiet().await;
    let testbed = Testbed::with_policy(policy(LONG_TIMEOUT, json!("read_only"))).await;
    testbed.ready().await;
    let admin = testbed.service.admin();
    let tokens = Tokens::grant(&testbed, async |token, _| admin.revoke(&token.session).await).await;
    for round in 0..3 {
        testbed.service.kill();
        every_route_answers_by_its_on_outage(&testbed, &tokens, LONG_TIMEOUT + SLACK).await;
        outage_is_known(&testbed, &tokens.granted).await;
        for _ in 0..3 {
            every_route_answers_by_its_on_outage(&testbed, &tokens, PROMPT).await;
            let answer = within(PROMPT, testbed.get("/default").bearer(&tokens.granted)).await;
            released_as(&answer, "read_only");
        }
        testbed.service.restart().await;
        let took = recovery(&testbed, &tokens.granted).await;
        println!("round {round}: recovered {took:?} after the service was ready");
        assert!(took < RECOVERY, "{took:?}");
    }
    let kinds = [("read_only", "read"), ("read_only", "default"), ("grace", "grace")];
    releases_are_seen(&testbed, &kinds).await;
}

/// Demands that a route is closed to a token on every worker, without a new verdict.
async fn is_closed(testbed: &Testbed, path: &str, token: &Token) {
    for _ in 0..EVERY_WORKER {
        let answer = within(PROMPT, testbed.get(path).bearer(token)).await;
        assert!(answer.status == 403 || answer.status == 503, "{path}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_or_refused_before_an_outage_is_not_given_back_by_it() {
    let _quiet = quiet().await;
    let mut policy = policy(LONG_TIMEOUT, json!("deny"));
    let writer = |name: &str, on_outage: Value| {
        let (path, name) = (format!("/{name}/orders"), format!("{name}.orders"));
        let require = json!({"all_of": ["orders:write"]});
        json!({"name": name, "match": {"path": path}, "require": require, "session": {"on_outage": on_outage}})
    };
    let routes = policy["routes"].as_array_mut().expect("routes");
    routes.extend([writer("read", json!("read_only")), writer("grace", json!({"grace": "1h"}))]);
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let narrowed = testbed.issuer.token().session("narrowed").scopes("orders:read orders:write").sign();
    let original = testbed.issuer.token().session("escalated").scopes("orders:read").sign();
    let escalated = testbed.issuer.token().session("escalated").scopes("orders:read orders:write").sign();
    for path in ["/read", "/grace", "/read/orders", "/grace/orders"] {
        passes_everywhere(testbed.get(path).bearer(&narrowed)).await;
    }
    passes_everywhere(testbed.get("/grace").bearer(&original)).await;
    testbed.service.admin().narrow(&narrowed.session, &["orders:read"]).await;
    // Each worker hears of both on one route, and remembers them for all.
    for _ in 0..EVERY_WORKER {
        let answer = testbed.get("/grace").bearer(&narrowed).fresh().await;
        assert_eq!(answer.passes().echoed("x-portcullis-scopes"), ["orders:read"]);
        testbed.get("/grace").bearer(&escalated).fresh().await.refused(403, "scope_escalation");
    }
    testbed.service.kill();
    outage_is_known(&testbed, &narrowed).await;
    for path in ["/read/orders", "/grace/orders"] {
        is_closed(&testbed, path, &narrowed).await;
    }
    for path in ["/read", "/grace", "/read/orders", "/grace/orders"] {
        is_closed(&testbed, path, &escalated).await;
    }
    for (path, kind) in [("/read", "read_only"), ("/grace", "grace")] {
        for token in [&narrowed, &original] {
            let answer = within(PROMPT, testbed.get(path).bearer(token)).await;
            released_as(&answer, kind);
            assert_eq!(answer.echoed("x-portcullis-scopes"), ["orders:read"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hangs_costs_nothing_once_that_is_known() {
    let _quiet = quiet().await;
    // Longer than the wait for the welcome, and shorter than the test's patience.
    let fake = FakeService::start().await;
    let policy = policy(PATIENCE / 10, json!("deny"));
    let testbed = Testbed::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    fake.behave(ServiceBehaviour::Hangs);
    fake.break_off();
    outage_is_known(&testbed, &token).await;
    for _ in 0..EVERY_WORKER {
        unavailable(&within(PROMPT, testbed.get("/deny").bearer(&token)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grace_is_the_default_where_the_policy_says_so_and_ends() {
    let _quiet = quiet().await;
    let grace = Duration::from_secs(15);
    let policy = policy(LONG_TIMEOUT, json!({"grace": format!("{}s", grace.as_secs())}));
    let testbed = Testbed::with_policy(policy).await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    passes_everywhere(testbed.get("/default").bearer(&token)).await;
    testbed.service.kill();
    outage_is_known(&testbed, &token).await;
    released_as(&within(PROMPT, testbed.get("/default").bearer(&token)).await, "grace");
    // A verdict for one route gives no grace to another.
    unavailable(&within(PROMPT, testbed.get("/grace").bearer(&token)).await);
    let call = testbed.get("/default").bearer(&token);
    let late = call.until("the grace is over", |answer| answer.status != 200).await;
    unavailable(&late);
    // A release during an outage is not a verdict, so it gives no further grace.
    for _ in 0..EVERY_WORKER {
        unavailable(&within(PROMPT, testbed.get("/default").bearer(&token)).await);
    }
    testbed.service.restart().await;
    recovery(&testbed, &token).await;
    passes_everywhere(testbed.get("/default").bearer(&token)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_is_not_hammered() {
    let _quiet = quiet().await;
    const WATCHED: Duration = Duration::from_secs(4);
    // Two workers and the main thread, about every half second at the slowest, and some more at first.
    const ATTEMPTS_MAX: usize = 80;
    let fake = FakeService::start().await;
    let policy = policy(TIMEOUT, json!("deny"));
    let testbed = Testbed::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    fake.behave(ServiceBehaviour::Status(503));
    fake.break_off();
    let (before, start) = (fake.opened(), Instant::now());
    until("a while has passed under load", async || {
        unavailable(&testbed.get("/deny").bearer(&token).fresh().await);
        (start.elapsed() > WATCHED).then_some(())
    })
    .await;
    let attempts = fake.opened() - before;
    println!("{attempts} attempts in {WATCHED:?}");
    assert!((3..ATTEMPTS_MAX).contains(&attempts), "{attempts} attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_under_load_refuse_nobody_who_has_grace() {
    let _busy = busy().await;
    let testbed = Testbed::with_policy(policy(LONG_TIMEOUT, json!({"grace": "1h"}))).await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    passes_everywhere(testbed.get("/default").bearer(&token)).await;
    let restarts = async {
        for _ in 0..5 {
            testbed.service.kill();
            testbed.service.restart().await;
            recovery(&testbed, &token).await;
        }
    };
    let load = async || {
        loop {
            testbed.get("/default").bearer(&token).await.passes();
        }
    };
    tokio::select! {
        () = restarts => {}
        _ = eight(load) => {}
    }
}

/// Runs eight loads at once.
async fn eight<F: Future>(load: impl Fn() -> F) {
    tokio::join!(load(), load(), load(), load(), load(), load(), load(), load());
}

/// Envoy defers what a callback asks for until the callback returns, and then nests it: if all were refused in one callback,
/// these requests would overflow the stack of their worker's VM.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_that_are_decided_at_once_hurt_no_worker() {
    let _busy = busy().await;
    const REQUESTS: usize = 1_200;
    let fake = FakeService::start().await;
    let policy = policy(TIMEOUT, json!("deny"));
    let testbed = Testbed::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    let token = testbed.issuer.token().sign();
    passes_everywhere(testbed.get("/me").bearer(&token)).await;
    // Requests that wait behind a late answer may time out.
    for (behaviour, answers) in
        [(ServiceBehaviour::Deaf, &[503][..]), (ServiceBehaviour::Late(TIMEOUT / 2), &[200, 503])]
    {
        recovery(&testbed, &token).await;
        fake.behave(behaviour);
        let requests: Vec<_> = (0..REQUESTS)
            .map(|_| {
                let call = testbed.get("/deny").bearer(&token);
                tokio::spawn(async move { call.try_send().await.map(|answer| answer.status.as_u16()) })
            })
            .collect();
        for request in requests {
            let answer = request.await.expect("a request ends well");
            assert!(answer.as_ref().is_ok_and(|status| answers.contains(status)), "{answer:?}");
        }
        fake.behave(ServiceBehaviour::Good);
    }
    assert_eq!(testbed.envoy.vm_reloads().await, 0);
}
