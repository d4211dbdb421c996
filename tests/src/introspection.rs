//! An introspection endpoint (RFC 7662) with answers that the test chooses.

use crate::process::local;
use axum::{
    Form, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// How the endpoint answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// With a status and a body of a media type.
    Body(u16, &'static str, String),
    /// With the start of a body, and a connection that ends there.
    Broken,
    /// Not at all.
    Nothing,
}

impl Reply {
    /// A JSON document with status 200, as the standard requires.
    pub fn json(document: &Value) -> Self {
        Self::Body(200, "application/json", document.to_string())
    }
}

/// A request for introspection.
#[derive(Debug, Clone)]
pub struct IntrospectionRequest {
    /// The form.
    pub form: BTreeMap<String, String>,
    /// The header `authorization`.
    pub authorization: String,
}

/// A running endpoint, at `/introspect`.
pub struct Introspection {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    reply: Mutex<Reply>,
    requests: Mutex<VecDeque<IntrospectionRequest>>,
}

impl Introspection {
    /// Starts an endpoint that reports every token as inactive.
    pub async fn start() -> Self {
        let reply = Reply::json(&json!({"active": false}));
        let shared = Arc::new(Shared { reply: Mutex::new(reply), requests: Mutex::default() });
        let listener = TcpListener::bind(local(0)).await.expect("the endpoint can listen");
        let address = listener.local_addr().expect("a listener has an address");
        let router = Router::new().route("/introspect", post(answer)).with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the endpoint serves");
        });
        Self { address, shared, server }
    }

    /// Changes the answer from now on.
    pub fn reply(&self, reply: Reply) {
        *self.shared.reply.lock().expect("not poisoned") = reply;
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<IntrospectionRequest> {
        self.shared.requests.lock().expect("not poisoned").iter().cloned().collect()
    }
}

impl Drop for Introspection {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let requests = IntrospectionRequest { form, authorization: authorization.to_owned() };
    shared.requests.lock().expect("not poisoned").push_back(requests);
    let reply = shared.reply.lock().expect("not poisoned").clone();
    match reply {
        Reply::Body(status, kind, body) => {
            (StatusCode::from_u16(status).expect("a status"), [(CONTENT_TYPE, kind)], body).into_response()
        }
        Reply::Broken => {
            let start = stream::once(async { Ok(Bytes::from_static(b"{\"active\": true, ")) });
            let body = start.chain(stream::once(async { Err(std::io::Error::other("the end")) }));
            Body::from_stream(body).into_response()
        }
        Reply::Nothing => pending().await,
    }
}
