//! `/.well-known/jwks.json`: the keys with which upstreams verify tokens. It needs no credential.

use crate::service::Service;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// The path of the set.
const JWKS: &str = "/.well-known/jwks.json";

/// The route. It is there without keys, too: what is unknown on this listener is answered as an unknown gRPC method.
pub(crate) fn router(service: &Arc<Service>) -> Router {
    Router::new().route(JWKS, get(jwks)).with_state(Arc::clone(service))
}

async fn jwks(State(service): State<Arc<Service>>) -> Response {
    let Some(keys) = service.minter.as_ref().and_then(|minter| minter.keys()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (CONTENT_TYPE, "application/jwk-set+json".to_owned()),
        (CACHE_CONTROL, format!("public, max-age={}", keys.max_age_s())),
    ];
    (headers, keys.jwks(service.clock.now_ms()).to_string()).into_response()
}
