//! Clients that leave while many of their requests are being refused.
//!
//! When a connection ends, Envoy deletes its requests' contexts in the VM first, and forgets the requests themselves
//! later in the same iteration of its event loop. A refusal in between makes Envoy call the VM about a deleted context,
//! which ends the VM.

use portcullis_tests::{
    Algorithm, FakeService, IssuerBehaviour, Key, ServiceBehaviour, Testbed, Token, busy, leave_at_the_first_answer,
    policy,
};
use serde_json::{Value, json};
use std::sync::Arc;

const CLIENTS: usize = 20;
/// More than the filter refuses in one callback, so that refusals are still queued when the client leaves.
const REQUESTS: u32 = 300;

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
