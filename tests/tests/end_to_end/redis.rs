//! Replicas of the session service that share a Redis server of their own, which may lose what it has acknowledged.

use portcullis_tests::{Client, Link, Redis, Service, Testbed, Token, local, policy, redis_store, until};
use serde_json::json;

const REPLICAS: usize = 2;
/// New connections, so that every worker of Envoy is asked.
const FRESH: usize = 12;

async fn start(port: u16) -> Testbed {
    let mut policy = policy::streams();
    policy["session"]["timeout"] = json!("1s");
    let testbed = Testbed::builder().policy(policy).replicas(REPLICAS, redis_store(port, REPLICAS)).start().await;
    testbed.ready().await;
    testbed
}

async fn statuses(testbed: &Testbed, token: &Token) -> Vec<u16> {
    let mut all = Vec::new();
    for _ in 0..FRESH {
        all.push(testbed.get("/me").bearer(token).fresh().await.status.as_u16());
    }
    all
}

async fn passes(testbed: &Testbed, token: &Token) {
    testbed.get("/me").bearer(token).until("it passes", |answer| answer.status == 200).await;
}

/// A connection that was lost is noticed when it is used: then the answer is that the call is to be repeated.
async fn revoke(replica: &Service, token: &Token) {
    let path = format!("/v1/sessions/{}/revoke", token.session);
    until("the revocation is answered", async || {
        let answer = replica.admin().call("POST", &path).json(&json!({})).await;
        assert!([200, 503].contains(&answer.status.as_u16()), "{answer:?}");
        (answer.status == 200).then_some(())
    })
    .await;
}

async fn readiness(replica: &Service) -> (u16, String) {
    let answer = Client::new(replica.admin_address()).get("/readyz").fresh().await;
    (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
}

async fn becomes(replica: &Service, status: u16) {
    until("the readiness changes", async || (readiness(replica).await.0 == status).then_some(())).await;
}

/// Never released again, and refused as soon as there are verdicts.
async fn stays_revoked(testbed: &Testbed, token: &Token) {
    let seen = statuses(testbed, token).await;
    assert!(seen.iter().all(|status| [401, 503].contains(status)), "{seen:?}");
    for replica in testbed.replicas() {
        becomes(replica, 200).await;
    }
    let seen = statuses(testbed, token).await;
    assert!(seen.iter().all(|status| [401, 503].contains(status)), "{seen:?}");
    testbed.get("/me").bearer(token).until("it is refused", |answer| answer.status == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by `make test-faults`"]
async fn a_revocation_that_one_replica_has_answered_holds_at_every_worker_and_after_a_crash_of_redis() {
    let redis = Redis::start().await;
    let testbed = start(redis.port()).await;
    let live = testbed.issuer.token().subject("live").sign();
    passes(&testbed, &live).await;
    for (number, replica) in testbed.replicas().enumerate() {
        let token = testbed.issuer.token().subject(&format!("person-{number}")).sign();
        passes(&testbed, &token).await;
        revoke(replica, &token).await;
        let seen = statuses(&testbed, &token).await;
        assert!(!seen.contains(&200), "{seen:?}");
        redis.kill();
        redis.restart().await;
        stays_revoked(&testbed, &token).await;
    }
    passes(&testbed, &live).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by `make test-faults`"]
async fn a_failover_to_a_replica_of_redis_that_lacks_the_last_changes_loses_nothing_that_was_answered() {
    let (primary, standby, link) = (Redis::start().await, Redis::start().await, Link::open().await);
    link.lead_to(local(primary.port()));
    standby.follow(&primary).await;
    let testbed = start(link.port).await;
    let (live, revoked) = (testbed.issuer.token().subject("a").sign(), testbed.issuer.token().subject("b").sign());
    passes(&testbed, &live).await;
    passes(&testbed, &revoked).await;
    standby.promote();
    // The standby has none of this.
    revoke(&testbed.service, &revoked).await;
    let late = testbed.issuer.token().subject("c").sign();
    passes(&testbed, &late).await;
    revoke(&testbed.others[0], &late).await;
    primary.kill();
    link.close();
    link.lead_to(local(standby.port()));
    link.accept_again();
    stays_revoked(&testbed, &revoked).await;
    stays_revoked(&testbed, &late).await;
    passes(&testbed, &live).await;
    // And what is revoked now holds as well.
    revoke(&testbed.others[0], &live).await;
    stays_revoked(&testbed, &live).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by `make test-faults`"]
async fn after_a_failover_nobody_gives_verdicts_until_the_replica_that_is_away_is_back() {
    let (primary, standby, link) = (Redis::start().await, Redis::start().await, Link::open().await);
    link.lead_to(local(primary.port()));
    standby.follow(&primary).await;
    let testbed = start(link.port).await;
    let token = testbed.issuer.token().sign();
    passes(&testbed, &token).await;
    standby.promote();
    revoke(&testbed.service, &token).await;
    // The only one that is left may lack what this one has answered.
    testbed.service.kill();
    link.close();
    link.lead_to(local(standby.port()));
    link.accept_again();
    becomes(&testbed.others[0], 503).await;
    until("it says whom it waits for", async || {
        readiness(&testbed.others[0]).await.1.contains("missing: ").then_some(())
    })
    .await;
    testbed.service.restart().await;
    stays_revoked(&testbed, &token).await;
}
