//! The routes of the admin listener, and who may call them.

use super::body::BODY_BYTES_MAX;
use super::problem::{Code, Problem};
use super::{attributes, blocks, events, filters, held, replicas, revocations, scopes, sessions, signals, usage};
use crate::clock::rfc3339;
use crate::listener::Peer;
use crate::log::Sampler;
use crate::replica::State;
use crate::service::Service;
use axum::extract::{DefaultBodyLimit, Request, State as Extracted};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing::{info, warn};

/// Refused calls that are logged: anybody can make them.
static REFUSED: Sampler = Sampler::new();

/// The most of a refused call's path that is logged.
const PATH_CHARS_MAX: usize = 200;

/// What is answered also by a replica whose serve lease has run out.
const WITHOUT_LEASE: [&str; 4] = ["/metrics", "/v1/replicas", "/v1/filters", "/v1/clock/confirm"];

/// The routes of the admin listener.
pub(crate) fn router(service: &Arc<Service>) -> Router {
    Router::new()
        .route("/v1/sessions", get(sessions::list).post(sessions::open))
        .route("/v1/sessions/{id}", get(sessions::read).patch(scopes::change))
        .route("/v1/sessions/{id}/events", get(events::of_session))
        .route("/v1/sessions/{id}/revoke", post(sessions::revoke))
        .route("/v1/narrowings", get(scopes::list).post(scopes::change_party))
        .route("/v1/revocations", get(revocations::list).post(revocations::make))
        .route("/v1/revocations/{id}", delete(revocations::lift))
        .route("/v1/blocks", get(blocks::list).post(blocks::make))
        .route("/v1/blocks/{id}", delete(blocks::lift))
        .route("/v1/clock/confirm", post(confirm_clock))
        .route("/v1/events", get(events::listen))
        .route("/v1/filters", get(filters::list))
        .route("/v1/replicas", get(replicas::list))
        .route("/v1/usage", get(usage::list))
        .route("/v1/attributes/{kind}/{id}", get(attributes::list))
        .route(
            "/v1/attributes/{kind}/{id}/{name}",
            get(attributes::read).put(attributes::set).delete(attributes::remove),
        )
        .route("/v1/signals", get(signals::list))
        .route("/v1/signals/held", get(held::list))
        .route("/v1/signals/held/{id}/release", post(held::release))
        .route("/v1/signals/held/{id}/drop", post(held::drop))
        .route("/v1/signals/{name}", get(signals::read))
        .route("/v1/signals/{name}/stream/{command}", post(signals::command))
        .route("/metrics", get(metrics))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        // Covers the fallbacks too: without the credential, a caller does not learn which paths there are.
        .layer(from_fn_with_state(Arc::clone(service), admit))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::clone(service))
}

async fn admit(Extracted(service): Extracted<Arc<Service>>, request: Request, next: Next) -> Response {
    if !service.admin_credential.read().are_presented(request.headers()) {
        service.metrics.unauthenticated_admin.inc();
        if let Some(not_logged) = REFUSED.admit() {
            let peer = request.extensions().get::<Peer>().map(|peer| tracing::field::display(peer.0));
            let path: String = request.uri().path().chars().take(PATH_CHARS_MAX).collect();
            warn!(peer, path, not_logged, "refused a call of the admin API: its credential is missing or wrong");
        }
        return Problem::new(Code::Unauthorized, "the credential is missing or wrong").into_response();
    }
    if !service.is_loaded.load(Ordering::SeqCst) {
        return Problem::new(Code::NotReady, "the stored sessions are still being loaded").into_response();
    }
    // What it would read may be outdated, and what it would change may not hold elsewhere.
    if !WITHOUT_LEASE.contains(&request.uri().path())
        && let State::Out(why) = service.registry.lease().state()
    {
        return Problem::new(Code::NotServing, why).into_response();
    }
    next.run(request).await
}

/// The wall clock is right although it was set.
async fn confirm_clock(Extracted(service): Extracted<Arc<Service>>) -> Json<ClockView> {
    let now = rfc3339(service.clock.confirm());
    info!(target: "audit", event = "clock_confirmed", now, by = "admin");
    Json(ClockView { now })
}

#[derive(Serialize)]
struct ClockView {
    now: String,
}

async fn healthz(Extracted(service): Extracted<Arc<Service>>) -> (StatusCode, String) {
    match service.fault() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(fault) => (StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
    }
}

async fn readyz(Extracted(service): Extracted<Arc<Service>>) -> (StatusCode, String) {
    if service.is_ready() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let reason = service.fault().map(|fault| format!(": {fault}")).unwrap_or_default();
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready{reason}\n"))
}

async fn metrics(Extracted(service): Extracted<Arc<Service>>) -> Result<Response, Problem> {
    let blocks = service.registry.blocks_standing(service.clock.now_ms());
    service.metrics.blocks.set(i64::try_from(blocks).unwrap_or(i64::MAX));
    let text = service.metrics.text();
    let text = text.map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
    Ok(([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("there is no `{}`", uri.path()))
}

async fn unknown_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("`{}` does not support `{method}`", uri.path()))
}
