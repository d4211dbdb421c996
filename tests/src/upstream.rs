//! The upstream behind Envoy: tells what reached it.

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

const REMEMBERED_MAX: usize = 1_000;
const TICK: Duration = Duration::from_millis(50);
const LARGE_CHUNKS: usize = 160;
const CHUNK_BYTES: usize = 64 * 1024;

/// A request that was released.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its headers; values that are no UTF-8 are shown with replacement characters.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The length of its body.
    pub body_bytes: usize,
}

/// A running upstream. `GET /stream/events` sends events without end, `GET /stream/large` ten megabytes slowly; all
/// else is answered with what arrived: `{method, path, headers: {name: [values]}, body_bytes}`.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    count: AtomicUsize,
    last: Mutex<VecDeque<Seen>>,
}

impl Upstream {
    pub(crate) async fn start(address: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind(address).await.expect("the upstream can listen");
        let address = listener.local_addr().expect("a listener has an address");
        let router = Router::new()
            .route("/stream/events", get(events))
            .route("/stream/large", get(large))
            .fallback(echo)
            .with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the upstream serves");
        });
        Self { address, shared, server }
    }

    /// How many requests have reached it.
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// The last requests that reached it, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
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
    fn note(&self, seen: Seen) {
        self.count.fetch_add(1, Ordering::SeqCst);
        let mut last = self.last.lock().expect("not poisoned");
        if last.len() == REMEMBERED_MAX {
            last.pop_front();
        }
        last.push_back(seen);
    }
}

async fn echo(State(shared): State<Arc<Shared>>, request: Request) -> Json<Value> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let seen = Seen {
        method: parts.method.to_string(),
        path: path.to_owned(),
        headers: readable(&parts.headers),
        body_bytes: body.len(),
    };
    shared.note(seen.clone());
    Json(json!({
        "method": seen.method, "path": seen.path, "headers": seen.headers, "body_bytes": seen.body_bytes,
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

async fn events() -> Response {
    let ticks = stream::unfold(0_u64, |number| async move {
        tokio::time::sleep(TICK).await;
        let event = Bytes::from(format!("data: {number}\n\n"));
        Some((Ok::<_, std::io::Error>(event), number + 1))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(ticks)).into_response()
}

async fn large() -> Response {
    let chunks = stream::unfold(0, |number| async move {
        tokio::time::sleep(TICK).await;
        let chunk = Bytes::from(vec![b'x'; CHUNK_BYTES]);
        (number < LARGE_CHUNKS).then(|| (Ok::<_, std::io::Error>(chunk), number + 1))
    });
    Body::from_stream(chunks).into_response()
}
