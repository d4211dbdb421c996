//! The upstream behind Envoy: echoes and records what reaches it.

mod record;
mod streams;

pub use record::ReceivedRequest;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use record::Record;
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, task::JoinHandle};

/// A running upstream, for HTTP/1.1, h2 and gRPC. What it streams is in `upstream/streams.rs`: websockets and gRPC calls at any
/// path, other streams at their own; all else is answered with what arrived: `{method, path, headers: {name: [values]}, body_bytes, trailers}`.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    record: Arc<Record>,
    server: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start(address: SocketAddr) -> Self {
        let record = Arc::new(Record::default());
        let listener = TcpListener::bind(address).await.expect("the upstream can listen");
        let address = listener.local_addr().expect("a listener has an address");
        let router = Router::new().fallback(answer).merge(streams::router(&record)).with_state(record.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the upstream serves");
        });
        Self { address, record, server }
    }

    /// How many requests have reached it, not counting streams.
    pub fn count(&self) -> usize {
        self.record.count()
    }

    /// How many streams it holds open.
    pub fn streams(&self) -> usize {
        self.record.streams()
    }

    /// The last requests that reached it, oldest first.
    pub fn received(&self) -> Vec<ReceivedRequest> {
        self.record.last()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(record): State<Arc<Record>>, request: Request) -> Response {
    match streams::anywhere(record.clone(), request).await {
        Ok(stream) => stream,
        Err(request) => echo(&record, *request).await.into_response(),
    }
}

async fn echo(record: &Record, request: Request) -> Json<Value> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap_or_default();
    let trailers = readable(body.trailers().unwrap_or(&HeaderMap::new()));
    let body = body.to_bytes();
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let received = ReceivedRequest {
        method: parts.method.to_string(),
        path: path.to_owned(),
        headers: readable(&parts.headers),
        body_bytes: body.len(),
    };
    record.add(received.clone());
    Json(json!({
        "method": received.method, "path": received.path, "headers": received.headers, "body_bytes": received.body_bytes,
        "trailers": trailers,
    }))
}

pub(crate) fn readable(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        all.entry(name.to_string()).or_default().push(value);
    }
    all
}
