//! The guarantee over replicas while everything fails: replicas are killed and paused, their store crashes or is replaced by
//! one that lacks its last writes, and connections between them are cut or go dead. Workers decide by leases, which they hold
//! for most requests, and ask about the others.
//!
//! `PORTCULLIS_CHAOS=1000` sets the number of revocations. It prints how many requests there were, and how long the answers
//! to revocations took.

mod engine;

use engine::Engine;
use portcullis_tests::{Break, Client, Link, Load, PATIENCE, Postgres, Service, Testbed, busy, local, policy, quiet};
use serde_json::json;
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

const REPLICAS: usize = 3;
const LEASE: &str = "300ms";
const REVOCATIONS: usize = 40;
const CONNECTIONS: usize = 64;
/// Revocations whose answers are timed.
const MEASURED: usize = 200;
/// How often replicas beat: a sixth of their serve lease of a second.
const BEAT: Duration = Duration::from_millis(166);
const PASSES_MIN: usize = 64;
const REFUSALS_MIN: usize = 64;
/// A fault in this many revocations.
const FAULT_EVERY: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill,
    Pause,
    Crash,
    CutLink,
    DeadLink,
    /// Another server takes over, with none of what is written from now on.
    FailOver,
}

/// A replica with its way to the store.
struct Member<'a> {
    service: &'a Service,
    link: &'a Link,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, and minutes: run by `make test-faults`"]
async fn nothing_is_released_after_its_revocation_while_postgres_and_its_replicas_fail() {
    survives(Engine::postgres(Postgres::start().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis, and minutes: run by `make test-faults`"]
async fn nothing_is_released_after_its_revocation_while_redis_fails_over_and_its_clients_fail() {
    survives(Engine::redis().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn a_revocation_over_healthy_replicas_of_postgres_does_not_wait_for_a_beat() {
    answers_at_once(Engine::postgres(Postgres::start().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by `make test-faults`"]
async fn a_revocation_over_healthy_replicas_of_redis_does_not_wait_for_a_beat() {
    answers_at_once(Engine::redis().await).await;
}

/// Three replicas, and beside them one service with a store of its own.
async fn answers_at_once(engine: Engine) {
    let _quiet = quiet().await;
    let keys = engine.store(engine.port(), REPLICAS);
    let policy = policy::leased(policy::patient(), "5s");
    let shared = Testbed::builder().policy(policy.clone()).replicas(REPLICAS, keys).start().await;
    let alone = Testbed::with_policy(policy).await;
    for testbed in [&shared, &alone] {
        testbed.ready().await;
    }
    let (mut over_replicas, mut embedded) = (Vec::new(), Vec::new());
    for number in 0..MEASURED {
        for (testbed, took) in [(&shared, &mut over_replicas), (&alone, &mut embedded)] {
            let token = testbed.issuer.token().subject(&format!("person-{number}")).sign();
            testbed.passes(&token).await;
            let replicas: Vec<_> = testbed.replicas().collect();
            let replica = replicas[number % replicas.len()];
            let started = Instant::now();
            replica.admin().revoke(&token.session).await;
            took.push(started.elapsed());
        }
    }
    over_replicas.sort_unstable();
    embedded.sort_unstable();
    let at = |took: &[Duration], percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "{MEASURED} revocations over {REPLICAS} replicas took {:?} (p50), {:?} (p99); with an embedded store {:?}, {:?}",
        at(&over_replicas, 50),
        at(&over_replicas, 99),
        at(&embedded, 50),
        at(&embedded, 99),
    );
    assert!(at(&over_replicas, 50) < BEAT, "they wait for a beat");
}

async fn survives(mut engine: Engine) {
    let _busy = busy().await;
    let revocations = std::env::var("PORTCULLIS_CHAOS").ok().and_then(|text| text.parse().ok()).unwrap_or(REVOCATIONS);
    let mut links = Vec::new();
    for _ in 0..REPLICAS {
        let link = Link::open().await;
        link.lead_to(local(engine.port()));
        links.push(link);
    }
    let mut policy = policy::leased(policy::patient(), LEASE);
    policy["session"]["timeout"] = json!("1s");
    let keys: Vec<_> = links.iter().map(|link| engine.store(link.port, REPLICAS)).collect();
    let testbed = Testbed::builder().policy(policy).replicas_with(keys).start().await;
    testbed.ready().await;
    let another = testbed.another_envoy().await;
    let members: Vec<_> = testbed.replicas().zip(&links).map(|(service, link)| Member { service, link }).collect();
    let load = Arc::new(Load::default());
    load.is_strict.store(true, Ordering::Relaxed);
    load.begin(testbed.issuer.token().sign());
    let drivers: Vec<_> = (0..CONNECTIONS)
        .map(|offset| {
            let client = if offset % 2 == 0 { testbed.client() } else { Client::new(another.address) };
            tokio::spawn(load.clone().drive(client, offset))
        })
        .collect();
    let mut took = Vec::new();
    for number in 0..revocations {
        took.push(play(&testbed, &mut engine, &members, &load, number).await);
    }
    load.over.store(true, Ordering::Relaxed);
    for driver in drivers {
        driver.await.expect("a connection ends well");
    }
    load.demand_no_violation();
    assert_eq!(testbed.envoy.vm_reloads().await + another.vm_reloads().await, 0);
    load.demand_nothing_strange();
    let answered = load.answered();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "{revocations} revocations, {answered} requests and {} without a verdict, none released after its 200; \
         answers took {:?} (p50), {:?} (p99), at most {:?}",
        load.unavailable.load(Ordering::Relaxed),
        at(50),
        at(99),
        at(100),
    );
}

/// One revocation at some replica, with a fault now and then; returns how long the call took that was answered.
async fn play(
    testbed: &Testbed,
    engine: &mut Engine,
    members: &[Member<'_>],
    load: &Arc<Load>,
    number: usize,
) -> Duration {
    let token = testbed.issuer.token().subject(&format!("person-{number}")).sign();
    let round = load.begin(token);
    super::guarantee::enough(load, &round.passes, PASSES_MIN, "requests pass").await;
    let faults = engine.faults();
    let fault = number.is_multiple_of(FAULT_EVERY).then(|| faults[number / FAULT_EVERY % faults.len()]);
    let victim = &members[number / FAULT_EVERY % members.len()];
    match fault {
        None => {}
        Some(Fault::Kill) => victim.service.kill(),
        Some(Fault::Pause) => victim.service.pause(),
        Some(Fault::Crash) => engine.crash().await,
        Some(Fault::CutLink) => victim.link.close(),
        Some(Fault::DeadLink) => victim.link.break_all(Break::Dead),
        Some(Fault::FailOver) => engine.part(),
    }
    let session = round.token.session.clone();
    let _ = round.asked.set(Instant::now());
    let revoking = revoke(members, &session, number);
    let mending = async {
        match fault {
            // Somewhere before or after the end of its serve lease.
            Some(Fault::Pause) => tokio::time::sleep(Duration::from_millis(300 * (number as u64 % 8))).await,
            // Before or after the revocation is written.
            Some(Fault::FailOver) => tokio::time::sleep(Duration::from_millis(10 * (number as u64 % 8))).await,
            _ => {}
        }
        match fault {
            Some(Fault::Kill) => victim.service.restart().await,
            Some(Fault::Pause) => victim.service.resume(),
            Some(Fault::CutLink) => victim.link.accept_again(),
            Some(Fault::Crash) => engine.restart().await,
            Some(Fault::FailOver) => engine.fail_over(members.iter().map(|member| member.link)).await,
            Some(Fault::DeadLink) | None => {}
        }
    };
    let (took, ()) = tokio::join!(revoking, mending);
    round.revoked.set(Instant::now()).expect("revoked once");
    super::guarantee::enough(load, &round.refusals, REFUSALS_MIN, "requests are refused").await;
    if fault.is_some() {
        for member in members {
            member.service.becomes(200).await;
        }
    }
    took
}

/// Revokes at one replica after the other until one answers 200.
async fn revoke(members: &[Member<'_>], session: &str, first: usize) -> Duration {
    let started = Instant::now();
    for at in first.. {
        let call = members[at % members.len()].service.admin().call("POST", &format!("/v1/sessions/{session}/revoke"));
        let called = Instant::now();
        // A replica that is paused does not answer.
        let answer = tokio::time::timeout(Duration::from_secs(3), call.try_send()).await;
        if let Ok(Ok(answer)) = answer
            && answer.status.is_success()
        {
            return called.elapsed();
        }
        assert!(started.elapsed() < PATIENCE, "the revocation does not hold");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("the loop ends with an answer")
}
