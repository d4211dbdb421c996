//! The errors of the token endpoint (RFC 6749, section 5.2; RFC 8693, section 2.2.2; RFC 9449, section 5).

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// When a client may try again, in seconds.
const AGAIN_AFTER_S: &str = "1";

/// An error. What it says names nothing that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    InvalidRequest(&'static str),
    /// The authentication cannot be read. Whether it is right is for the issuer to say.
    InvalidClient,
    InvalidGrant(&'static str),
    InvalidScope,
    UnsupportedGrantType,
    /// There is no such audience.
    InvalidTarget,
    InvalidProof,
    /// The issuer answers what cannot be passed on.
    Server,
    /// The issuer or the store is away, or there is too much to do: nothing has changed.
    Unavailable,
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    error_description: &'static str,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, error, error_description) = match self {
            Self::InvalidRequest(what) => (StatusCode::BAD_REQUEST, "invalid_request", what),
            Self::InvalidClient => {
                (StatusCode::UNAUTHORIZED, "invalid_client", "the client's authentication cannot be read")
            }
            Self::InvalidGrant(what) => (StatusCode::BAD_REQUEST, "invalid_grant", what),
            Self::InvalidScope => {
                (StatusCode::BAD_REQUEST, "invalid_scope", "the session does not have all of these scopes")
            }
            Self::UnsupportedGrantType => {
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", "there is no such grant here")
            }
            Self::InvalidTarget => {
                (StatusCode::BAD_REQUEST, "invalid_target", "tokens are not issued for this audience")
            }
            Self::InvalidProof => (StatusCode::BAD_REQUEST, "invalid_dpop_proof", "the proof is not good here"),
            Self::Server => (StatusCode::BAD_GATEWAY, "server_error", "the issuer's answer cannot be used"),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "try again: nothing has changed")
            }
        };
        let mut response = (status, Json(Body { error, error_description })).into_response();
        let headers = response.headers_mut();
        match self {
            Self::InvalidClient => {
                headers.insert(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"portcullis\", charset=\"UTF-8\""),
                );
            }
            Self::Unavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(AGAIN_AFTER_S));
            }
            _ => {}
        }
        uncached(response)
    }
}

/// No answer is kept by anybody in between.
pub(super) fn uncached(mut response: Response) -> Response {
    let mut set = |name: HeaderName, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
    set(CACHE_CONTROL, "no-store");
    set(PRAGMA, "no-cache");
    response
}
