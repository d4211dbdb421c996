//! The routes of the OAuth endpoints, and who may call them.

use super::fault::{BODY_BYTES_MAX, Fault};
use super::introspect::introspect;
use super::revoke::revoke;
use crate::listener::Peer;
use crate::log::Sampler;
use crate::service::Service;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::sync::Arc;
use tracing::warn;

/// Refused calls that are logged: anybody can make them.
static REFUSED: Sampler = Sampler::new();

/// The routes of both endpoints.
pub(crate) fn router(service: &Arc<Service>) -> Router {
    Router::new()
        .route("/oauth2/introspect", post(introspect))
        .route("/oauth2/revoke", post(revoke))
        .layer(from_fn_with_state(Arc::clone(service), admit))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::clone(service))
}

/// Callers present the filters' credential, as a bearer token or as the password of any client (client_secret_basic).
async fn admit(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    // Without a credential to present, callers cannot be told apart, and any of them could end sessions.
    let is_known = service
        .filter_credential
        .read()
        .as_ref()
        .is_some_and(|credentials| credentials.are_presented(headers) || credentials.are_password(headers));
    if !is_known {
        service.metrics.unauthenticated_checks.inc();
        let peer = request.extensions().get::<Peer>().map(|peer| tracing::field::display(peer.0));
        if let Some(not_logged) = REFUSED.admit() {
            let path = request.uri().path();
            warn!(peer, path, not_logged, "refused an oauth call: its credential is missing or wrong");
        }
        return Fault::InvalidClient.into_response();
    }
    let mut response = next.run(request).await;
    // On every answer: the next one may differ (RFC 7662, section 4).
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
