//! Webhooks: a request for access is told to a receiver, signed, and a restart of the service loses nothing of it.

use crate::approvals::{BEN, Bed};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use portcullis_tests::until;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// The bytes that messages are signed with.
const KEY: &[u8; 32] = b"a secret of thirty-two bytes....";

/// A message as it arrived.
#[derive(Debug, Clone)]
struct Received {
    headers: HeaderMap,
    body: String,
}

/// A receiver on a loopback address.
#[derive(Clone, Default)]
struct Receiver {
    fails: Arc<Mutex<bool>>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Starts it; returns its URL as well.
    async fn start() -> (Self, String) {
        let receiver = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the receiver can listen");
        let url = format!("http://{}/hook", listener.local_addr().expect("a listener has an address"));
        let router = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }

    fn fail(&self, fails: bool) {
        *self.fails.lock().unwrap_or_else(PoisonError::into_inner) = fails;
    }

    fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the message number `nth` about an event.
    async fn nth(&self, event: &str, nth: usize) -> Received {
        let is_it = |received: &Received| received.json()["type"] == format!("portcullis.{event}");
        until(&format!("message {nth} of `{event}`"), async || {
            self.all().into_iter().filter(|received| is_it(received)).nth(nth)
        })
        .await
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    receiver.received.lock().unwrap_or_else(PoisonError::into_inner).push(Received { headers, body });
    match *receiver.fails.lock().unwrap_or_else(PoisonError::into_inner) {
        true => StatusCode::INTERNAL_SERVER_ERROR,
        false => StatusCode::NO_CONTENT,
    }
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body is JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("a header is a text")
    }

    /// Verifies it as a receiver does: HMAC-SHA-256 (RFC 2104) of the id, the time and the body.
    fn verify(&self) {
        let padded = |pad: u8| {
            let mut block = [pad; 64];
            block.iter_mut().zip(KEY).for_each(|(byte, key)| *byte ^= key);
            block
        };
        let text = format!("{}.{}.{}", self.header("webhook-id"), self.header("webhook-timestamp"), self.body);
        let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
        let mac = Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize();
        assert_eq!(self.header("webhook-signature"), format!("v1,{}", BASE64_STANDARD.encode(mac)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_told_of_a_request_from_asking_to_its_end_and_a_restart_loses_nothing() {
    let (receiver, url) = Receiver::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("hook");
    std::fs::write(&secret, format!("whsec_{}", BASE64_STANDARD.encode(KEY))).expect("a secret");
    let webhooks = json!([{"name": "ops", "url": url, "secret": {"file": secret}}]);
    let bed = Bed::with(json!({}), json!({ "webhooks": webhooks })).await;
    let token = bed.testbed.issuer.token().subject("karl").sign();
    bed.page(&token).await.refused(403, "approval_required");
    let request = bed.ask(&token, "1h").await;

    let asked = receiver.nth("approval_requested", 0).await;
    asked.verify();
    let text = asked.json()["text"].as_str().expect("a text").to_owned();
    let link = format!("<https://portcullis.example.com/requests/{request}|Open the request>");
    assert!(text.contains("*rita*") && text.contains("`orders:read`") && text.ends_with(&link), "{text}");
    assert_eq!(asked.json()["data"]["id"], json!(request));

    // It is down when somebody decides, and the service dies before it has told it.
    receiver.fail(true);
    let approved = bed.decide(BEN, &request, "approve").await.status(200).json();
    bed.page(&token).await.passes();
    let failed = receiver.nth("approval_decided", 0).await;
    until("the failure is listed", async || {
        let listed = bed.shown("/v1/webhooks/undelivered").await;
        listed["undelivered"].as_array().expect("a list").iter().any(|one| one["attempts"] == 1).then_some(())
    })
    .await;
    bed.testbed.service.kill();
    receiver.fail(false);
    bed.testbed.service.restart().await;
    let decided = receiver.nth("approval_decided", 1).await;
    decided.verify();
    assert_eq!(decided.header("webhook-id"), failed.header("webhook-id"), "its receiver can tell that it is the same");

    let grant = approved["grant"]["id"].as_str().expect("a grant");
    bed.call(BEN, &format!("/v1/grants/{grant}/revoke"), json!({})).await.status(200);
    let ended = receiver.nth("grant_ended", 0).await;
    ended.verify();
    assert_eq!(ended.json()["data"]["grant"]["reason"], json!("revoked"));
    until("nothing is left to be told", async || {
        let listed = bed.shown("/v1/webhooks/undelivered").await;
        listed["undelivered"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
}
