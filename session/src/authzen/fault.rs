//! The errors of a whole request. A decision that denies is none of them.

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};

/// The largest body that is read.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;

/// An error, whose body is its message (AuthZEN 1.0, section "Error Responses").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The request is not one.
    Invalid(String),
    /// The credential is missing or wrong.
    Unauthenticated,
    TooLarge,
    /// Nothing can be decided for now.
    Unavailable,
}

impl Fault {
    pub(super) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid(what.into())
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Invalid(what) => what.clone(),
            Self::Unauthenticated => "the credential is missing or wrong".to_owned(),
            Self::TooLarge => format!("a body may have at most {BODY_BYTES_MAX} bytes"),
            Self::Unavailable => "nothing can be decided for now: try again".to_owned(),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.message()).into_response();
        if self == Self::Unauthenticated {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portcullis\""));
        }
        response
    }
}
