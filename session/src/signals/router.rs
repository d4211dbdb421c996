//! The routes of the signals listener.

use super::answer::{BODY_BYTES_MAX, Code, Refusal};
use super::carry_out::report;
use super::status::Fate;
use super::transmitter::{Kind, Transmitter};
use super::{global, logout, push};
use crate::credential::Presented;
use crate::service::Service;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the body of a signal may take to arrive: the connections of this listener are few, and open to everybody.
const BODY_MAX: Duration = Duration::from_secs(3);

/// How long a signal waits while its transmitter has as many in flight as it may.
const TURN_MAX: Duration = Duration::from_secs(2);

/// The routes: one for each transmitter, and nothing else.
pub(crate) fn router(service: &Arc<Service>) -> Router {
    let none = || async { Refusal::new(Code::NotFound, "there is no such transmitter") };
    Router::new().route("/signals/{name}", post(signal)).fallback(none).with_state(Arc::clone(service))
}

async fn signal(State(service): State<Arc<Service>>, Path(name): Path<String>, request: Request) -> Response {
    let is_named = |transmitter: &Transmitter| transmitter.settings.name == name && !transmitter.is_polled();
    let Some((number, transmitter)) = service.signals.iter().enumerate().find(|(_, one)| is_named(one)) else {
        return Refusal::new(Code::NotFound, "there is no such transmitter").into_response();
    };
    let kind = transmitter.settings.kind;
    match received(&service, number, transmitter, request).await {
        Err(refusal) if kind == Kind::BackchannelLogout => refusal.as_oauth(),
        Err(refusal) => refusal.into_response(),
        // What is held is not done.
        Ok(Fate::Held) => StatusCode::ACCEPTED.into_response(),
        Ok(_) => match kind {
            Kind::Ssf => StatusCode::ACCEPTED.into_response(),
            Kind::GlobalTokenRevocation => StatusCode::NO_CONTENT.into_response(),
            Kind::BackchannelLogout => {
                let no_store = HeaderValue::from_static("no-store");
                (StatusCode::OK, [(CACHE_CONTROL, no_store)]).into_response()
            }
        },
    }
}

async fn received(
    service: &Arc<Service>,
    number: usize,
    transmitter: &Transmitter,
    request: Request,
) -> Result<Fate, Refusal> {
    let read = async {
        admit(service, transmitter, request.headers())?;
        read(request.into_body()).await
    };
    let body = match read.await {
        Ok(body) => body,
        // What is not admitted counts as well: somebody sends it.
        Err(refusal) => return report(service, transmitter, Err(refusal)),
    };
    // To its end, also where its sender does not wait for that: what has been done is counted and said.
    let all = Arc::clone(service);
    let done = tokio::spawn(async move {
        match all.signals.get(number) {
            Some(transmitter) => carried(&all, transmitter, &body).await,
            None => Err(Refusal::new(Code::NotFound, "there is no such transmitter")),
        }
    });
    done.await.unwrap_or_else(|_| Err(Refusal::unavailable("the signal was not processed")))
}

/// Receives a signal once it is its turn: not every transmitter sends again what was refused.
async fn carried(service: &Arc<Service>, transmitter: &Transmitter, body: &[u8]) -> Result<Fate, Refusal> {
    let Ok(Ok(_reading)) = tokio::time::timeout(TURN_MAX, transmitter.reading.acquire()).await else {
        let busy = Refusal::new(Code::Busy, "too many signals of this transmitter are being read");
        return report(service, transmitter, Err(busy));
    };
    match transmitter.settings.kind {
        Kind::Ssf => push::receive(service, transmitter, body).await,
        Kind::BackchannelLogout => logout::receive(service, transmitter, body).await,
        Kind::GlobalTokenRevocation => global::receive(service, transmitter, body).await,
    }
}

/// Whether the service can keep what is sent, and who sends it is who it should be. Before the body is read.
fn admit(service: &Service, transmitter: &Transmitter, headers: &HeaderMap) -> Result<(), Refusal> {
    let expected = transmitter.settings.authorization.as_ref();
    let presented = Presented::whole(headers);
    if !expected.is_none_or(|expected| presented.is_some_and(|presented| expected.hold(&presented))) {
        return Err(Refusal::new(Code::AuthenticationFailed, "`authorization` is missing or wrong"));
    }
    if !service.is_loaded.load(Ordering::SeqCst) || !service.registry.lease().holds() {
        return Err(Refusal::unavailable("this replica cannot keep signals now"));
    }
    Ok(())
}

async fn read(body: Body) -> Result<Vec<u8>, Refusal> {
    let read = tokio::time::timeout(BODY_MAX, to_bytes(body, BODY_BYTES_MAX)).await;
    match read {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(_)) => Err(Refusal::new(Code::TooLarge, format!("the body has more than {BODY_BYTES_MAX} bytes"))),
        Err(_) => Err(Refusal::unavailable("the body did not arrive in time")),
    }
}
