//! The upstream behind Envoy: echoes and records what reaches it.

mod streams;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{net::TcpListener, task::JoinHandle};

const REMEMBERED_MAX: usize = 1_000;

/// A request that was released.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its headers; values that are not UTF-8 contain replacement characters.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The length of its body.
    pub body_bytes: usize,
}

/// A running upstream, for HTTP/1.1, h2 and gRPC. What it streams is in `upstream/streams.rs`: websockets and gRPC calls at any
/// path, other streams at their own; all else is answered with what arrived: `{method, path, headers: {name: [values]}, body_bytes}`.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    count: AtomicUsize,
    streams: AtomicUsize,
    last: Mutex<VecDeque<ReceivedRequest>>,
}

impl Upstream {
    pub(crate) async fn start(address: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind(address).await.expect("the upstream can listen");
        let address = listener.local_addr().expect("a listener has an address");
        let router = Router::new().fallback(answer).merge(streams::router(&shared)).with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the upstream serves");
        });
        Self { address, shared, server }
    }

    /// How many requests have reached it, not counting streams.
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// How many streams it holds open.
    pub fn streams(&self) -> usize {
        self.shared.streams.load(Ordering::SeqCst)
    }

    /// The last requests that reached it, oldest first.
    pub fn received(&self) -> Vec<ReceivedRequest> {
        let last = self.shared.last.lock().expect("not poisoned");
        last.iter().cloned().collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn note(&self, received: ReceivedRequest) {
        self.count.fetch_add(1, Ordering::SeqCst);
        let mut last = self.last.lock().expect("not poisoned");
        if last.len() == REMEMBERED_MAX {
            last.pop_front();
        }
        last.push_back(received);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match streams::anywhere(shared.clone(), request).await {
        Ok(stream) => stream,
        Err(request) => echo(&shared, *request).await.into_response(),
    }
}

async fn echo(shared: &Shared, request: Request) -> Json<Value> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let received = ReceivedRequest {
        method: parts.method.to_string(),
        path: path.to_owned(),
        headers: readable(&parts.headers),
        body_bytes: body.len(),
    };
    shared.note(received.clone());
    Json(json!({
        "method": received.method, "path": received.path, "headers": received.headers, "body_bytes": received.body_bytes,
    }))
}

fn readable(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        all.entry(name.to_string()).or_default().push(value);
    }
    all
}
