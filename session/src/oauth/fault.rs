//! The errors of the OAuth endpoints.

use crate::store::StoreError;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use portcullis_contract::token::TOKEN_BYTES_MAX;
use serde::Serialize;

/// The largest body that is read: the longest token, whatever a client escapes in it, and the other parameters.
pub(super) const BODY_BYTES_MAX: usize = 3 * TOKEN_BYTES_MAX + 16 * 1024;

/// An error in the form of RFC 6749, section 5.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    InvalidClient,
    InvalidRequest(String),
    /// The token cannot be read, so nothing can be revoked for it (RFC 7009, section 2.2.1).
    UnsupportedTokenType,
    TooLarge,
    /// The store failed: there is no verdict, and nothing was revoked.
    Unavailable,
}

impl Fault {
    /// The store's own text (paths, system errors) is for the log.
    pub(super) fn unreadable(error: StoreError) -> Self {
        tracing::error!(%error, "the store could not read");
        Self::Unavailable
    }
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    error_description: String,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, error, error_description) = match &self {
            Self::InvalidClient => {
                (StatusCode::UNAUTHORIZED, "invalid_client", "the credential is missing or wrong".to_owned())
            }
            Self::InvalidRequest(detail) => (StatusCode::BAD_REQUEST, "invalid_request", detail.clone()),
            Self::UnsupportedTokenType => {
                let detail = "the token is not a JWT that can be read here".to_owned();
                (StatusCode::BAD_REQUEST, "unsupported_token_type", detail)
            }
            Self::TooLarge => {
                let detail = format!("a body may have at most {BODY_BYTES_MAX} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", detail)
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "the store is not available".to_owned())
            }
        };
        let mut response = (status, Json(Body { error, error_description })).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self == Self::InvalidClient {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portcullis\""));
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"portcullis\", charset=\"UTF-8\""));
        }
        response
    }
}
