//! The two OAuth endpoints of the check listener, for callers that do not speak the check stream: introspection
//! (RFC 7662) and revocation (RFC 7009).
//!
//! The service has no keys and verifies no signature. A token is read here only to find its session, and that is
//! acceptable only because callers are authenticated and hold to this: **whoever introspects verifies the token
//! itself**, as the filter does. `active` speaks of the session behind the token, not of the token's authenticity; and
//! who could forge a token here could as well describe any token on the check stream, with the same credential.

mod claims;
mod form;
mod introspect;
mod revoke;

pub use introspect::Told;

use crate::serve::Peer;
use crate::service::Service;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;
use tracing::warn;

/// The largest body that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

type App = State<Arc<Service>>;

/// The routes of both endpoints.
pub fn router(service: &Arc<Service>) -> Router {
    Router::new()
        .route("/oauth2/introspect", post(introspect::introspect))
        .route("/oauth2/revoke", post(revoke::revoke))
        .layer(from_fn_with_state(Arc::clone(service), admit))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::clone(service))
}

/// Callers present the filters' credential, as a bearer token or as the password of any client (client_secret_basic).
async fn admit(State(service): App, request: Request, next: Next) -> Response {
    let headers = request.headers();
    // Without a credential to present nobody can be told from anybody, and anybody could end sessions.
    let is_known = service
        .filter_credential
        .as_ref()
        .is_some_and(|credential| credential.is_presented(headers) || credential.is_password(headers));
    if !is_known {
        service.book.audit.metrics.unauthenticated_checks.inc();
        let peer = request.extensions().get::<Peer>().map(|peer| tracing::field::display(peer.0));
        warn!(peer, path = request.uri().path(), "refused an oauth call: its credential is missing or wrong");
        return Fault::InvalidClient.into_response();
    }
    let mut response = next.run(request).await;
    // Of every answer: the next may be another (RFC 7662, section 4).
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An error as RFC 6749, section 5.2 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    InvalidClient,
    InvalidRequest(String),
    TooLarge,
    /// The store failed: there is no verdict, and nothing was revoked.
    Unavailable,
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    error_description: String,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, error, says) = match &self {
            Self::InvalidClient => {
                (StatusCode::UNAUTHORIZED, "invalid_client", "the credential is missing or wrong".to_owned())
            }
            Self::InvalidRequest(says) => (StatusCode::BAD_REQUEST, "invalid_request", says.clone()),
            Self::TooLarge => {
                let says = format!("a body has at most {BODY_BYTES_MAX} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", says)
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "the store is not available".to_owned())
            }
        };
        let mut response = (status, Json(Body { error, error_description: says })).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self == Self::InvalidClient {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portcullis\""));
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"portcullis\", charset=\"UTF-8\""));
        }
        response
    }
}
