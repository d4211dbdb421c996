//! Many requests that are refused at once: because their clients leave, or because no key will ever come.
//!
//! When a connection ends, Envoy deletes its requests' contexts in the VM first, and forgets the requests themselves
//! later in the same iteration of its event loop. A refusal in between makes Envoy call the VM about a deleted context,
//! which ends the VM.

use portcullis_tests::{
    Algorithm, FakeService, IssuerBehaviour, Key, ServiceBehaviour, Testbed, Token, TokenBuilder, busy, holds_for,
    leave_at_the_first_answer, policy,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const CLIENTS: usize = 20;
/// More than the filter refuses in one callback, so that refusals are still queued when the client leaves.
const REQUESTS: u32 = 300;
const REQUESTS_TO_NOWHERE: usize = 1_200;

/// A policy whose requests do not wait for long.
fn impatient() -> Value {
    let mut policy = policy::patient();
    policy["session"]["timeout"] = json!("300ms");
    policy
}

async fn clients_that_leave_cost_no_vm(testbed: &Testbed, token: &Token) {
    for _ in 0..CLIENTS {
        leave_at_the_first_answer(testbed.envoy.address, "/orders", &token.text, REQUESTS).await;
    }
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_while_the_session_service_hangs_cost_no_vm() {
    let _busy = busy().await;
    let fake = FakeService::start().await;
    let testbed = Testbed::builder().policy(impatient()).cluster("session", fake.address.port()).start().await;
    testbed.ready().await;
    let token = testbed.issuer.token().sign();
    fake.behave(ServiceBehaviour::Deaf);
    clients_that_leave_cost_no_vm(&testbed, &token).await;
    fake.behave(ServiceBehaviour::Good);
    testbed.get("/orders").bearer(&token).until("the service is back", |answer| answer.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_while_an_issuer_has_no_keys_cost_no_vm() {
    let _busy = busy().await;
    let testbed = Testbed::builder().policy(impatient()).keys(IssuerBehaviour::Status(500)).start().await;
    let nobodys_key = Arc::new(Key::new(Algorithm::ES256));
    let forged = testbed.issuer.token().key(&nobodys_key).sign();
    clients_that_leave_cost_no_vm(&testbed, &forged).await;
    testbed.issuer.behave(IssuerBehaviour::Serve);
    let token = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&token).until("the keys arrive", |answer| answer.status == 200).await;
}

/// Issuers whose keys come from clusters without a host.
const UNREACHABLE: usize = 4;

/// The policy with these issuers, whose keys are asked for as often as a policy can say.
fn unreachable() -> Value {
    let mut policy = impatient();
    let issuers = policy["issuers"].as_array_mut().expect("issuers");
    for number in 0..UNREACHABLE {
        let mut issuer = issuers[0].clone();
        issuer["issuer"] = json!(unreachable_name(number));
        issuer["keys"]["cluster"] = json!(format!("nowhere-{number}"));
        issuer["keys"]["refresh"] = json!("1s");
        issuers.push(issuer);
    }
    policy
}

fn unreachable_name(number: usize) -> String {
    format!("https://nowhere-{number}.example.com")
}

/// Adds their clusters, which have no host.
fn without_hosts(bootstrap: &mut Value) {
    let clusters = bootstrap.pointer_mut("/static_resources/clusters").and_then(Value::as_array_mut);
    clusters.expect("clusters").extend((0..UNREACHABLE).map(|number| {
        let name = format!("nowhere-{number}");
        json!({"name": name, "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": []}})
    }));
}

/// Envoy answers a call to a cluster without a host within the call itself, so that every step nests.
#[tokio::test(flavor = "multi_thread")]
async fn many_requests_that_wait_for_keys_nobody_serves_cost_no_vm() {
    let _busy = busy().await;
    const ROUNDS: usize = 3;
    let testbed = Testbed::builder().policy(unreachable()).bootstrap(without_hosts).start().await;
    let nobodys_key = Arc::new(Key::new(Algorithm::ES256));
    let tokens: Vec<_> = (0..UNREACHABLE)
        .map(|number| TokenBuilder::new(&unreachable_name(number), Arc::clone(&nobodys_key)).sign())
        .collect();
    // The refresh falls due between the rounds, with requests waiting or without.
    for _ in 0..ROUNDS {
        let requests: Vec<_> = (0..REQUESTS_TO_NOWHERE)
            .map(|number| tokio::spawn(testbed.get("/orders").bearer(&tokens[number % UNREACHABLE]).try_send()))
            .collect();
        let mut answers = BTreeMap::new();
        for request in requests {
            let answer = request.await.expect("a request ends well").expect("an answer");
            *answers.entry((answer.status.as_u16(), answer.code())).or_insert(0) += 1;
        }
        assert_eq!(answers, BTreeMap::from([((503, "keys_unavailable".to_owned()), REQUESTS_TO_NOWHERE)]));
        holds_for(Duration::from_millis(1_200), "no VM dies", async || testbed.envoy.vm_reloads().await == 0).await;
    }
    // The issuer that can be reached is served all the while.
    let token = testbed.issuer.token().sign();
    testbed.get("/orders").bearer(&token).await.passes();
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
}
