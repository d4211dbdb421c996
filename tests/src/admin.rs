//! The admin API of the session service.

use crate::{Answer, Call, Client};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A caller of the admin API.
#[derive(Clone)]
pub struct Admin {
    client: Client,
    credential: String,
}

impl Admin {
    pub(crate) fn new(address: SocketAddr, credential: &str) -> Self {
        Self { client: Client::new(address), credential: credential.to_owned() }
    }

    /// Any request, with the credential.
    pub fn call(&self, method: &str, path: &str) -> Call {
        // A new connection, because the service may have been killed since the last call.
        self.client.call(method, path).fresh().bearer(&self.credential)
    }

    /// A session, as the API represents it.
    pub async fn session(&self, id: &str) -> Value {
        self.call("GET", &format!("/v1/sessions/{id}")).await.status(200).json()
    }

    /// The sessions that a query such as `subject=anna` finds, of the first page.
    pub async fn sessions(&self, query: &str) -> Vec<Value> {
        let answer = self.call("GET", &format!("/v1/sessions?{query}")).await;
        let list = answer.status(200).json();
        list["sessions"].as_array().expect("a list of sessions").clone()
    }

    /// The filters that are connected.
    pub async fn filters(&self) -> Vec<Value> {
        let answer = self.call("GET", "/v1/filters").await.status(200).json();
        answer["filters"].as_array().expect("a list of filters").clone()
    }

    /// The check streams that are open, those of Envoy's main thread among them.
    pub async fn streams(&self) -> u64 {
        self.filters().await.iter().filter_map(|filter| filter["streams"].as_u64()).sum()
    }

    /// Opens a session.
    pub async fn open(&self, session: &Value) -> Answer {
        self.call("POST", "/v1/sessions").json(session).await
    }

    /// Revokes a session; panics if that fails.
    pub async fn revoke(&self, id: &str) {
        let path = format!("/v1/sessions/{id}/revoke");
        let answer = self.call("POST", &path).json(&json!({"reason": "by a test"})).await;
        answer.status(200);
    }

    /// Sets the scopes of a session; panics if that fails.
    pub async fn narrow(&self, id: &str, scopes: &[&str]) {
        let call = self.call("PATCH", &format!("/v1/sessions/{id}"));
        call.json(&json!({"scopes": scopes})).await.status(200);
    }

    /// Sets an attribute of a holder such as `subject/alice` or `device/laptop-7`, which are of an issuer, or `session/ID`,
    /// which is not; panics if that fails.
    pub async fn attribute(&self, holder: &str, issuer: &str, name: &str, value: &Value) {
        let query = if issuer.is_empty() { String::new() } else { format!("?issuer={issuer}") };
        let path = format!("/v1/attributes/{holder}/{name}{query}");
        self.call("PUT", &path).json(&json!({"value": value})).await.status(200);
    }

    /// Blocks a subject, a client or a session claim; panics if that fails. The block as the API represents it.
    pub async fn block(&self, block: &Value) -> Value {
        self.call("POST", "/v1/blocks").json(block).await.status(200).json()
    }

    /// Takes a block back; panics if that fails.
    pub async fn unblock(&self, id: &str) {
        self.call("DELETE", &format!("/v1/blocks/{id}")).await.status(200);
    }

    /// Revokes by subject or client; panics if that fails.
    pub async fn revoke_all(&self, revocation: &Value) {
        let answer = self.call("POST", "/v1/revocations").json(revocation).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
}
