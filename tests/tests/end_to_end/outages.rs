//! The session service dies, hangs, lies and comes back: what each route's `on_outage` makes of it.

use portcullis_tests::{Answer, Call, FakeService, Manner, PATIENCE, Token, World, busy, policy, quiet, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// `session.timeout` where a request may have to wait for it, and what a busy machine may add.
const TIMEOUT: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_secs(3);
/// `session.timeout` where nobody may wait for it, and how long an answer may take instead.
const LONG_TIMEOUT: Duration = Duration::from_secs(5);
const PROMPT: Duration = Duration::from_secs(2);
/// How long a recovery may take; a second is the aim.
const RECOVERY: Duration = Duration::from_secs(5);
/// New connections that are enough to meet every worker of Envoy.
const EVERY_WORKER: usize = 16;

/// A route for each `on_outage`, and one that has the default.
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

/// Sends it, and demands an answer within a time.
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

/// Waits until every worker knows that there are no verdicts: what is asked before that may wait for its time.
async fn outage_is_known(world: &World, token: &Token) {
    let mut in_a_row = 0;
    until("every worker knows of the outage", async || {
        let start = Instant::now();
        unavailable(&world.get("/deny").bearer(token).fresh().await);
        in_a_row = if start.elapsed() < PROMPT { in_a_row + 1 } else { 0 };
        (in_a_row == EVERY_WORKER).then_some(())
    })
    .await;
}

/// The time until every worker has verdicts again.
async fn recovery(world: &World, token: &Token) -> Duration {
    let start = Instant::now();
    let mut in_a_row = 0;
    until("every worker has verdicts again", async || {
        let answer = world.get("/me").bearer(token).fresh().await;
        in_a_row = if answer.status == 200 { in_a_row + 1 } else { 0 };
        (in_a_row == EVERY_WORKER).then_some(())
    })
    .await;
    start.elapsed()
}

/// The tokens of a world that has seen better times.
struct Tokens {
    /// Was granted on every worker.
    granted: Token,
    /// Was granted on every worker, and ended then.
    ended: Token,
}

impl Tokens {
    async fn grant(world: &World, end: impl AsyncFnOnce(&Token, &str)) -> Self {
        let ended = world.issuer.token().session("ended").sign();
        let granted = world.issuer.token().session("granted").sign();
        passes_everywhere(world.get("/grace").bearer(&ended)).await;
        passes_everywhere(world.get("/grace").bearer(&granted)).await;
        end(&ended, "ended").await;
        for _ in 0..EVERY_WORKER {
            world.get("/grace").bearer(&ended).fresh().await.refused(401, "session_revoked");
        }
        Self { granted, ended }
    }
}

/// What every route answers while there are no verdicts, each within a time.
async fn every_route_keeps_its_word(world: &World, tokens: &Tokens, time: Duration) {
    let fresh = world.issuer.token().sign();
    let granted = |method: &str, path: &str| within(time, world.call(method, path).bearer(&tokens.granted));
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
    let (ended, unknown, reader, nobody) = tokio::join!(
        within(time, world.get("/grace").bearer(&tokens.ended)),
        within(time, world.get("/grace").bearer(&fresh)),
        within(time, world.get("/read").bearer(&fresh)),
        within(time, world.get("/read")),
    );
    assert!(ended.status == 401 || ended.status == 503, "a session known to be ended: {ended:?}");
    unavailable(&unknown);
    released_as(&reader, "read_only");
    nobody.refused(401, "no_credentials");
}

/// Each kind of release is counted by route, and stands in the access log.
async fn releases_are_seen(world: &World, kinds: &[(&str, &str)]) {
    for (kind, route) in kinds {
        let name = format!("portcullis.outage_releases.kind.{kind}.route.{route}");
        until(&name, async || (world.envoy.stat(&name).await > 0).then_some(())).await;
        let field = format!("code=outage:{kind} route={route} ");
        until(&field, async || {
            let lines = world.envoy.access_log();
            lines.iter().any(|line| line["portcullis"].to_string().contains(&field)).then_some(())
        })
        .await;
    }
}

/// A world whose session service is a fake: well at first, then of another manner, then well again.
async fn live_through(manner: Manner) {
    let _quiet = quiet().await;
    let fake = FakeService::start().await;
    let policy = policy(TIMEOUT, json!("deny"));
    let world = World::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    world.settled().await;
    let tokens = Tokens::grant(&world, async |_, sid| fake.end(sid)).await;
    fake.behave(manner);
    if let Manner::Hangs | Manner::Status(_) = manner {
        fake.break_off();
    }
    for _ in 0..3 {
        every_route_keeps_its_word(&world, &tokens, TIMEOUT + SLACK).await;
    }
    fake.behave(Manner::Good);
    let took = recovery(&world, &tokens.granted).await;
    println!("{manner:?}: recovered after {took:?}");
    assert!(took < TIMEOUT + RECOVERY, "{took:?}");
    passes_everywhere(world.get("/deny").bearer(&tokens.granted)).await;
    releases_are_seen(&world, &[("read_only", "read"), ("grace", "grace")]).await;
    assert_eq!(world.envoy.vm_reloads().await, 0, "{}", world.envoy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_takes_streams_and_says_nothing() {
    live_through(Manner::Hangs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_answers_no_question() {
    live_through(Manner::Deaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_too_slow() {
    live_through(Manner::Late(TIMEOUT * 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_no_messages() {
    live_through(Manner::NoMessage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_no_frames() {
    live_through(Manner::NoFrame).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_too_much() {
    live_through(Manner::Oversized).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_answers_what_was_not_asked() {
    live_through(Manner::UnknownIds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_say_what_it_means() {
    live_through(Manner::Outcome(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_outcomes_that_nobody_knows() {
    live_through(Manner::Outcome(4711)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hangs_up() {
    live_through(Manner::Closes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_streams() {
    live_through(Manner::Status(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_service_is_waited_for() {
    let _quiet = quiet().await;
    let fake = FakeService::start().await;
    let policy = policy(PATIENCE, json!({"grace": "1h"}));
    let world = World::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    world.settled().await;
    fake.behave(Manner::Late(TIMEOUT));
    let token = world.issuer.token().sign();
    let start = Instant::now();
    for path in ["/deny", "/default"] {
        let answer = world.get(path).bearer(&token).await;
        assert_eq!(answer.passes().echoed("x-portcullis-outage"), [""; 0]);
    }
    assert!(start.elapsed() >= TIMEOUT, "released before the verdict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_service_costs_nothing_and_is_back_at_once() {
    let _quiet = quiet().await;
    let world = World::with_policy(policy(LONG_TIMEOUT, json!("read_only"))).await;
    world.settled().await;
    let admin = world.service.admin();
    let tokens = Tokens::grant(&world, async |token, _| admin.revoke(&token.session).await).await;
    for round in 0..3 {
        world.service.kill();
        every_route_keeps_its_word(&world, &tokens, LONG_TIMEOUT + SLACK).await;
        outage_is_known(&world, &tokens.granted).await;
        for _ in 0..3 {
            every_route_keeps_its_word(&world, &tokens, PROMPT).await;
            let answer = within(PROMPT, world.get("/default").bearer(&tokens.granted)).await;
            released_as(&answer, "read_only");
        }
        world.service.restart().await;
        let took = recovery(&world, &tokens.granted).await;
        println!("round {round}: recovered {took:?} after the service was ready");
        assert!(took < RECOVERY, "{took:?}");
    }
    let kinds = [("read_only", "read"), ("read_only", "default"), ("grace", "grace")];
    releases_are_seen(&world, &kinds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hangs_costs_nothing_once_that_is_known() {
    let _quiet = quiet().await;
    // Longer than the welcome is waited for, and shorter than patience.
    let fake = FakeService::start().await;
    let policy = policy(PATIENCE / 10, json!("deny"));
    let world = World::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    world.settled().await;
    let token = world.issuer.token().sign();
    fake.behave(Manner::Hangs);
    fake.break_off();
    outage_is_known(&world, &token).await;
    for _ in 0..EVERY_WORKER {
        unavailable(&within(PROMPT, world.get("/deny").bearer(&token)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grace_is_the_default_where_the_policy_says_so_and_ends() {
    let _quiet = quiet().await;
    let grace = Duration::from_secs(15);
    let policy = policy(LONG_TIMEOUT, json!({"grace": format!("{}s", grace.as_secs())}));
    let world = World::with_policy(policy).await;
    world.settled().await;
    let token = world.issuer.token().sign();
    passes_everywhere(world.get("/default").bearer(&token)).await;
    world.service.kill();
    outage_is_known(&world, &token).await;
    released_as(&within(PROMPT, world.get("/default").bearer(&token)).await, "grace");
    // What was granted to one route is nothing to another.
    unavailable(&within(PROMPT, world.get("/grace").bearer(&token)).await);
    let call = world.get("/default").bearer(&token);
    let late = call.until("the grace is over", |answer| answer.status != 200).await;
    unavailable(&late);
    // A release under an outage is no verdict: it lends no further grace.
    for _ in 0..EVERY_WORKER {
        unavailable(&within(PROMPT, world.get("/default").bearer(&token)).await);
    }
    world.service.restart().await;
    recovery(&world, &token).await;
    passes_everywhere(world.get("/default").bearer(&token)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hammers_a_service_that_refuses() {
    let _quiet = quiet().await;
    const WATCHED: Duration = Duration::from_secs(4);
    // Two workers and the main thread, about every half second at the slowest, and some more at first.
    const ATTEMPTS_MAX: usize = 80;
    let fake = FakeService::start().await;
    let policy = policy(TIMEOUT, json!("deny"));
    let world = World::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    world.settled().await;
    let token = world.issuer.token().sign();
    fake.behave(Manner::Status(503));
    fake.break_off();
    let (before, start) = (fake.opened(), Instant::now());
    until("a while has passed under load", async || {
        unavailable(&world.get("/deny").bearer(&token).fresh().await);
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
    let world = World::with_policy(policy(LONG_TIMEOUT, json!({"grace": "1h"}))).await;
    world.settled().await;
    let token = world.issuer.token().sign();
    passes_everywhere(world.get("/default").bearer(&token)).await;
    let restarts = async {
        for _ in 0..5 {
            world.service.kill();
            world.service.restart().await;
            recovery(&world, &token).await;
        }
    };
    let load = async || {
        loop {
            world.get("/default").bearer(&token).await.passes();
        }
    };
    tokio::select! {
        () = restarts => {}
        _ = eight(load) => {}
    }
}

/// Eight loads at once.
async fn eight<F: Future>(load: impl Fn() -> F) {
    tokio::join!(load(), load(), load(), load(), load(), load(), load(), load());
}

/// Envoy puts off what a step asks for until the callback is over, and does one inside the other: refused in one go, these
/// would overflow the stack of their worker's VM.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_that_are_decided_at_once_hurt_no_worker() {
    let _busy = busy().await;
    const REQUESTS: usize = 1_200;
    let fake = FakeService::start().await;
    let policy = policy(TIMEOUT, json!("deny"));
    let world = World::builder().policy(policy).cluster("session", fake.address.port()).start().await;
    let token = world.issuer.token().sign();
    passes_everywhere(world.get("/me").bearer(&token)).await;
    // What waits behind a late answer may run out of time.
    for (manner, answers) in [(Manner::Deaf, &[503][..]), (Manner::Late(TIMEOUT / 2), &[200, 503])] {
        recovery(&world, &token).await;
        fake.behave(manner);
        let requests: Vec<_> = (0..REQUESTS)
            .map(|_| {
                let call = world.get("/deny").bearer(&token);
                tokio::spawn(async move { call.try_send().await.map(|answer| answer.status.as_u16()) })
            })
            .collect();
        for request in requests {
            let answer = request.await.expect("a request ends well");
            assert!(answer.as_ref().is_ok_and(|status| answers.contains(status)), "{answer:?}");
        }
        fake.behave(Manner::Good);
    }
    assert_eq!(world.envoy.vm_reloads().await, 0);
}
