//! What is used, counted by three replicas of which one is killed.

use super::{REPLICAS, start};
use portcullis_tests::{Postgres, Service, Testbed, Token, until};
use serde_json::{Value, json};

/// The client of all requests that are counted here.
const CLIENT: &str = "counted";
/// Requests before one is killed, unless `PORTCULLIS_USAGE` says how many.
const REQUESTS: usize = 2_000;
/// Requests at a time.
const AT_ONCE: usize = 16;

/// Sends requests; returns how many have passed.
async fn batch(testbed: &Testbed, token: &Token, count: usize) -> u64 {
    let mut passed = 0;
    for _ in 0..count / AT_ONCE {
        let asked = (0..AT_ONCE).map(|_| async { testbed.get("/me").bearer(token).await.status == 200 });
        passed += futures_util::future::join_all(asked).await.into_iter().map(u64::from).sum::<u64>();
    }
    passed
}

/// What a replica lists.
async fn counted(replica: &Service) -> u64 {
    let usage: Value = replica.admin().call("GET", "/v1/usage?since=1d").await.status(200).json();
    let routes = usage["routes"].as_array().expect("a list").iter().filter(|of| of["client"] == CLIENT);
    routes.map(|of| of["count"].as_u64().expect("a count")).sum()
}

async fn counts(replica: &Service, is_it: impl Fn(u64) -> bool) -> u64 {
    until("the requests are counted", async || Some(counted(replica).await).filter(|count| is_it(*count))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run by `make test-faults`"]
async fn what_is_used_is_exact_and_a_killed_replica_loses_what_it_has_not_written() {
    let postgres = Postgres::start().await;
    let testbed = start(&postgres).await;
    let ready = testbed.issuer.token().sign();
    testbed.passes(&ready).await;
    let token = testbed.issuer.token().subject("counted").claim("client_id", json!(CLIENT)).sign();

    let many = std::env::var("PORTCULLIS_USAGE").map_or(REQUESTS, |text| text.parse().expect("a number"));
    let first = batch(&testbed, &token, many).await;
    assert_eq!(first as usize, many / AT_ONCE * AT_ONCE, "no replica is away");
    for replica in testbed.replicas() {
        assert_eq!(counts(replica, |count| count >= first).await, first, "each counts what all have seen");
    }

    // What it has counted in its last seconds is lost, and nothing else.
    let unsure = batch(&testbed, &token, 480).await;
    let replicas: Vec<&Service> = testbed.replicas().collect();
    assert_eq!(replicas.len(), REPLICAS);
    replicas[0].kill();
    testbed.passes(&ready).await;
    let sure = batch(&testbed, &token, 1_600).await;
    let (least, most) = (first + sure, first + unsure + 1_600 + AT_ONCE as u64);
    let count = counts(replicas[1], |count| count >= least).await;
    assert!(count <= most, "{count} of {least} to {most}");
    let last = batch(&testbed, &token, 160).await;
    let count = counts(replicas[2], |count| count >= least + last).await;
    assert!(count <= most + last, "{count}");
    replicas[0].restart().await;
    replicas[0].becomes(200).await;
    // What was counted before the kill may be written yet.
    let agreed = async || {
        let (again, other) = (counted(replicas[0]).await, counted(replicas[2]).await);
        (again == other && again >= count).then_some(again)
    };
    let listed = until("it lists what the others have counted", agreed).await;
    assert!(listed <= most + last, "{listed}");
}
