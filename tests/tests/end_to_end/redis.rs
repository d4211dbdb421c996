//! Replicas of the session service that share a Redis server of their own, which may lose what it has acknowledged.

use portcullis_tests::{
    Link, Redis, RedisCluster, RedisSentinel, RedisTls, Service, Testbed, Token, local, policy, redis_at, redis_store,
    until,
};
use serde_json::{Value, json};

const REPLICAS: usize = 2;

async fn start(at: Value) -> Testbed {
    let mut policy = policy::streams();
    policy["session"]["timeout"] = json!("1s");
    let testbed = Testbed::builder().policy(policy).replicas(REPLICAS, redis_store(at, REPLICAS)).start().await;
    testbed.ready().await;
    testbed
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

/// Never released again, and refused as soon as there are verdicts.
async fn stays_revoked(testbed: &Testbed, token: &Token) {
    let seen = testbed.statuses(token).await;
    assert!(seen.iter().all(|status| [401, 503].contains(status)), "{seen:?}");
    for replica in testbed.replicas() {
        replica.becomes(200).await;
    }
    let seen = testbed.statuses(token).await;
    assert!(seen.iter().all(|status| [401, 503].contains(status)), "{seen:?}");
    testbed.get("/me").bearer(token).until("it is refused", |answer| answer.status == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by `make test-faults`"]
async fn a_revocation_that_one_replica_has_answered_holds_at_every_worker_and_after_a_crash_of_redis() {
    let redis = Redis::start().await;
    let testbed = start(redis_at(redis.port())).await;
    let live = testbed.issuer.token().subject("live").sign();
    testbed.passes(&live).await;
    for (number, replica) in testbed.replicas().enumerate() {
        let token = testbed.issuer.token().subject(&format!("person-{number}")).sign();
        testbed.passes(&token).await;
        revoke(replica, &token).await;
        let seen = testbed.statuses(&token).await;
        assert!(!seen.contains(&200), "{seen:?}");
        redis.kill();
        redis.restart().await;
        stays_revoked(&testbed, &token).await;
    }
    testbed.passes(&live).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by `make test-faults`"]
async fn a_failover_to_a_replica_of_redis_that_lacks_the_last_changes_loses_nothing_that_was_answered() {
    let (primary, standby, link) = (Redis::start().await, Redis::start().await, Link::open().await);
    link.lead_to(local(primary.port()));
    standby.follow(&primary).await;
    let testbed = start(redis_at(link.port)).await;
    let (live, revoked) = (testbed.issuer.token().subject("a").sign(), testbed.issuer.token().subject("b").sign());
    testbed.passes(&live).await;
    testbed.passes(&revoked).await;
    standby.promote();
    // The standby has none of this.
    revoke(&testbed.service, &revoked).await;
    let late = testbed.issuer.token().subject("c").sign();
    testbed.passes(&late).await;
    revoke(&testbed.others[0], &late).await;
    primary.kill();
    link.close();
    link.lead_to(local(standby.port()));
    link.accept_again();
    stays_revoked(&testbed, &revoked).await;
    stays_revoked(&testbed, &late).await;
    testbed.passes(&live).await;
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
    let testbed = start(redis_at(link.port)).await;
    let token = testbed.issuer.token().sign();
    testbed.passes(&token).await;
    standby.promote();
    revoke(&testbed.service, &token).await;
    // The only one that is left may lack what this one has answered.
    testbed.service.kill();
    link.close();
    link.lead_to(local(standby.port()));
    link.accept_again();
    testbed.others[0].becomes(503).await;
    testbed.others[0].says("missing: ").await;
    testbed.service.restart().await;
    stays_revoked(&testbed, &token).await;
}

/// What was revoked before a failover stays so, and what is revoked afterwards as well.
async fn holds_over_a_failover(testbed: &Testbed, fail_over: impl Future<Output = ()>) {
    let (live, revoked) = (testbed.issuer.token().subject("a").sign(), testbed.issuer.token().subject("b").sign());
    testbed.passes(&live).await;
    testbed.passes(&revoked).await;
    revoke(&testbed.service, &revoked).await;
    fail_over.await;
    stays_revoked(testbed, &revoked).await;
    testbed.passes(&live).await;
    revoke(&testbed.others[0], &live).await;
    stays_revoked(testbed, &live).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by `make test-faults`"]
async fn the_primary_is_found_by_sentinel_and_found_again_after_a_failover() {
    let redis = RedisSentinel::start().await;
    let testbed = start(redis.at()).await;
    holds_over_a_failover(&testbed, redis.fail_over()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by `make test-faults`"]
async fn the_node_with_the_keys_is_found_in_a_cluster_and_found_again_after_a_failover() {
    let redis = RedisCluster::start().await;
    let testbed = start(redis.at()).await;
    holds_over_a_failover(&testbed, redis.fail_over()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by `make test-faults`"]
async fn redis_is_reached_by_tls_and_by_its_own_certificate_authority_alone() {
    let (redis, other) = (RedisTls::start().await, RedisTls::start().await);
    let testbed = start(redis.at()).await;
    let token = testbed.issuer.token().sign();
    testbed.passes(&token).await;
    revoke(&testbed.service, &token).await;
    stays_revoked(&testbed, &token).await;
    let mut at = redis.at();
    at["ca"] = other.at()["ca"].clone();
    testbed.service.kill();
    let said = testbed.service.gives_up(&redis_store(at, REPLICAS)).await;
    assert!(said.contains("certificate"), "{said}");
}
