//! The routes, and who may call them.

use super::decision::Decision;
use super::evaluate::Evaluator;
use super::fault::{BODY_BYTES_MAX, Fault};
use super::metadata::metadata;
use super::request::{Batch, Evaluation};
use crate::config::Reloadable;
use crate::listener::{Peer, Tls};
use crate::log::Sampler;
use crate::service::Service;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use std::sync::Arc;
use tracing::warn;

/// The paths of the standard.
pub(super) const EVALUATION: &str = "/access/v1/evaluation";
pub(super) const EVALUATIONS: &str = "/access/v1/evaluations";
const METADATA: &str = "/.well-known/authzen-configuration";

/// What tells requests of a caller apart; the answer has the same.
const REQUEST_ID: &str = "x-request-id";

/// The decision point.
#[derive(Clone)]
pub(super) struct Point {
    pub(super) service: Arc<Service>,
    /// The encryption of the listener.
    pub(super) tls: Reloadable<Option<Tls>>,
}

/// The routes of a listener with this encryption.
pub(crate) fn router(service: &Arc<Service>, tls: Reloadable<Option<Tls>>) -> Router {
    let point = Point { service: Arc::clone(service), tls };
    Router::new()
        .route(EVALUATION, post(evaluation))
        .route(EVALUATIONS, post(evaluations))
        .route_layer(from_fn_with_state(Arc::clone(service), admit))
        .route(METADATA, get(metadata))
        .route_layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route_layer(from_fn(identify))
        .with_state(point)
}

/// Gives the answer the id of its request.
async fn identify(request: Request, next: Next) -> Response {
    let id = request.headers().get(REQUEST_ID).cloned();
    let mut response = next.run(request).await;
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Callers present the filters' credential. Without one to present, anybody could find out which sessions are live.
async fn admit(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    static REFUSED: Sampler = Sampler::new();
    let credentials = service.filter_credential.read().clone();
    if !credentials.is_some_and(|credentials| credentials.are_presented(request.headers())) {
        service.metrics.unauthenticated_checks.inc();
        if let Some(not_logged) = REFUSED.admit() {
            let peer = request.extensions().get::<Peer>().map(|peer| tracing::field::display(peer.0));
            warn!(peer, not_logged, "refused an evaluation: its credential is missing or wrong");
        }
        return Fault::Unauthenticated.into_response();
    }
    let mut response = next.run(request).await;
    // The next decision may be another one.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A body that says it is JSON.
struct Body(Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let is_json = |value: &str| {
            value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        };
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !content_type.is_some_and(is_json) {
            return Err(Fault::invalid("the `Content-Type` is not `application/json`"));
        }
        let body = Bytes::from_request(request, state).await.map_err(|unread| match unread.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Fault::TooLarge,
            _ => Fault::invalid("the body could not be read"),
        })?;
        Ok(Self(body))
    }
}

async fn evaluation(State(point): State<Point>, Body(body): Body) -> Result<Json<Decision>, Fault> {
    one(&point, Evaluation::read(&body)?).await.map(Json)
}

async fn one(point: &Point, evaluation: Evaluation) -> Result<Decision, Fault> {
    Evaluator::of(&point.service, [&evaluation]).evaluate(&evaluation).await
}

async fn evaluations(State(point): State<Point>, Body(body): Body) -> Result<Response, Fault> {
    match Batch::read(&body)? {
        Batch::One(evaluation) => Ok(Json(one(&point, evaluation).await?).into_response()),
        Batch::Several(evaluations, semantic) => {
            let evaluator = Evaluator::of(&point.service, evaluations.iter().flatten());
            let mut decisions = Vec::with_capacity(evaluations.len());
            for evaluation in evaluations {
                let decided = match evaluation {
                    Ok(evaluation) => evaluator.evaluate(&evaluation).await,
                    Err(fault) => Err(fault),
                };
                // What cannot be decided is denied.
                let decision = decided.unwrap_or_else(|fault| Decision::failed(&fault));
                let is_last = semantic.ends_with(decision.decision);
                decisions.push(decision);
                if is_last {
                    break;
                }
            }
            Ok(Json(json!({"evaluations": decisions})).into_response())
        }
    }
}
