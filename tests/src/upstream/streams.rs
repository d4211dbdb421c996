//! What the upstream streams: events, downloads, websockets and gRPC.

use super::record::{OpenStream, Record};
use crate::proto::{
    Text,
    echo_server::{Echo, EchoServer},
};
use axum::{
    Router,
    body::Body,
    extract::{
        FromRequest, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{
        Uri,
        header::{CONTENT_LENGTH, CONTENT_TYPE, UPGRADE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};
use tonic::{Request, Status, Streaming, codegen::Service, service::Routes};

const TICK: Duration = Duration::from_millis(50);
const LARGE_CHUNKS: usize = 160;
const CHUNK_BYTES: usize = 64 * 1024;
const DOWNLOAD_BYTES: u64 = 1 << 40;

/// `GET /orders/events` and `GET /stream/…`: `events` without end, `quiet` (one event, then silence), `large` (ten megabytes slowly), `download`
/// (a terabyte, slowly), `pending` (no answer at all), `socket` (a websocket that returns every message, and speaks the subprotocol `chat` if it is offered); and the gRPC
/// service of `echo.proto`.
pub(super) fn router(record: &Arc<Record>) -> Router<Arc<Record>> {
    let rpc = Routes::new(EchoServer::new(Rpc(record.clone())));
    Router::new()
        .route("/orders/events", get(events))
        .route("/stream/events", get(events))
        .route("/stream/quiet", get(quiet))
        .route("/stream/large", get(large))
        .route("/stream/download", get(download))
        .route("/stream/pending", get(async |State(record): State<Arc<Record>>| wait::<()>(record).await))
        .route("/stream/socket", get(socket))
        .route("/portcullis.tests.Echo/{method}", axum::routing::any_service(rpc.into_axum_router()))
}

/// Answers a websocket or a gRPC call at any other path like one at its own.
pub(super) async fn anywhere(
    record: Arc<Record>,
    request: axum::extract::Request,
) -> Result<Response, Box<axum::extract::Request>> {
    if request.headers().get(UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        let upgrade = WebSocketUpgrade::from_request(request, &()).await;
        return Ok(match upgrade {
            Ok(upgrade) => socket(State(record), upgrade).await,
            Err(refusal) => refusal.into_response(),
        });
    }
    let is_grpc =
        request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    // `/package.Service/Method`
    let is_method = request.uri().path().split('/').nth(1).is_some_and(|service| service.contains('.'));
    if !is_grpc || !is_method {
        return Err(Box::new(request));
    }
    let mut request = request;
    *request.uri_mut() = Uri::from_static("/portcullis.tests.Echo/Talk");
    let answer = EchoServer::new(Rpc(record)).call(request).await;
    Ok(answer.unwrap_or_else(|never| match never {}).map(Body::new))
}

/// A body that yields `piece(0)`, `piece(1)` and so on, one each tick.
fn ticking(record: Arc<Record>, piece: impl Fn(usize) -> Option<Bytes> + Send + 'static) -> Body {
    let start = (OpenStream::new(record), 0);
    Body::from_stream(stream::unfold((start, piece), |((held, number), piece)| async move {
        tokio::time::sleep(TICK).await;
        let made = piece(number)?;
        Some((Ok::<_, Infallible>(made), ((held, number + 1), piece)))
    }))
}

fn event(number: usize) -> Bytes {
    Bytes::from(format!("data: {number}\n\n"))
}

async fn events(State(record): State<Arc<Record>>) -> Response {
    ([(CONTENT_TYPE, "text/event-stream")], ticking(record, |number| Some(event(number)))).into_response()
}

async fn quiet(State(record): State<Arc<Record>>) -> Response {
    let held = OpenStream::new(record);
    let silence = stream::once(async move {
        let _held = held;
        pending().await
    });
    let body = stream::once(async { Ok::<_, Infallible>(event(0)) }).chain(silence);
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}

fn chunk() -> Bytes {
    Bytes::from_static(&[b'x'; CHUNK_BYTES])
}

async fn large(State(record): State<Arc<Record>>) -> Response {
    ticking(record, |number| (number < LARGE_CHUNKS).then(chunk)).into_response()
}

async fn download(State(record): State<Arc<Record>>) -> Response {
    ([(CONTENT_LENGTH, DOWNLOAD_BYTES)], ticking(record, |_| Some(chunk()))).into_response()
}

async fn wait<T>(record: Arc<Record>) -> T {
    let _held = OpenStream::new(record);
    pending().await
}

async fn socket(State(record): State<Arc<Record>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["chat"]).on_upgrade(async |mut socket: WebSocket| {
        let _held = OpenStream::new(record);
        while let Some(Ok(message)) = socket.recv().await {
            let answer = match message {
                Message::Text(_) | Message::Binary(_) => socket.send(message).await,
                Message::Ping(_) | Message::Pong(_) => Ok(()),
                Message::Close(_) => break,
            };
            if answer.is_err() {
                break;
            }
        }
    })
}

struct Rpc(Arc<Record>);

#[tonic::async_trait]
impl Echo for Rpc {
    type TalkStream = BoxStream<'static, Result<Text, Status>>;

    async fn talk(&self, request: Request<Streaming<Text>>) -> Result<tonic::Response<Self::TalkStream>, Status> {
        let start = (OpenStream::new(self.0.clone()), request.into_inner());
        let texts = stream::unfold(start, |(held, mut texts)| async move {
            let text = texts.message().await.transpose()?;
            Some((text, (held, texts)))
        });
        Ok(tonic::Response::new(texts.boxed()))
    }

    async fn wait(&self, _: Request<Text>) -> Result<tonic::Response<Text>, Status> {
        wait(self.0.clone()).await
    }
}
