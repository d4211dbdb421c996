//! The routes of the admin listener. What each needs is in `permissions.rs`.

use super::admit::admit;
use super::body::BODY_BYTES_MAX;
use super::problem::{Code, Problem};
use super::{
    attributes, blocks, conditions, events, filters, grants, held, replicas, requests, revocations, scopes, sessions,
};
use super::{signals, usage, waits, webhooks, whoami};
use crate::admins::Caller;
use crate::clock::rfc3339;
use crate::service::Service;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;
use tracing::info;

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
        .route("/v1/conditions", get(conditions::read).post(conditions::reload))
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
        .route("/v1/requests", get(requests::list).post(requests::ask))
        .route("/v1/requests/{id}", get(requests::read))
        .route("/v1/requests/{id}/approve", post(requests::approve))
        .route("/v1/requests/{id}/deny", post(requests::deny))
        .route("/v1/requests/{id}/cancel", post(requests::cancel))
        .route("/v1/requests/{id}/review", post(requests::review))
        .route("/v1/grants", get(grants::list))
        .route("/v1/grants/{id}/revoke", post(grants::revoke))
        .route("/v1/webhooks/undelivered", get(webhooks::undelivered))
        .route("/v1/whoami", get(whoami::read))
        .route("/metrics", get(metrics))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        // Covers the fallbacks too: without the credential, a caller does not learn which paths there are.
        .layer(from_fn_with_state(Arc::clone(service), admit))
        .layer(from_fn(waits::timed))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::clone(service))
}

/// The wall clock is right although it was set.
async fn confirm_clock(caller: Caller, State(service): State<Arc<Service>>) -> Json<ClockView> {
    let now = rfc3339(service.clock.confirm());
    info!(target: "audit", event = "clock_confirmed", now, by = "admin", admin = &*caller.name);
    Json(ClockView { now })
}

#[derive(Serialize)]
struct ClockView {
    now: String,
}

async fn healthz(State(service): State<Arc<Service>>) -> (StatusCode, String) {
    match service.fault() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(fault) => (StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
    }
}

async fn readyz(State(service): State<Arc<Service>>) -> (StatusCode, String) {
    if service.is_ready() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let reason = service.fault().map(|fault| format!(": {fault}")).unwrap_or_default();
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready{reason}\n"))
}

async fn metrics(State(service): State<Arc<Service>>) -> Result<Response, Problem> {
    let blocks = service.registry.blocks_standing(service.clock.now_ms());
    service.metrics.blocks.set(i64::try_from(blocks).unwrap_or(i64::MAX));
    let (pending, live) = service.registry.count_requests();
    service.metrics.requests_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
    service.metrics.grants_live.set(i64::try_from(live).unwrap_or(i64::MAX));
    webhooks::count(&service);
    if let Some(conditions) = &service.conditions {
        conditions.count_kept();
    }
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
