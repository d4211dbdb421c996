//! The answers to transmitters: what is wrong with a signal, in the words of RFC 8935, section 2.3.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_LANGUAGE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use portcullis_contract::token::{Fault, TOKEN_BYTES_MAX, Unfit};
use serde::Serialize;

/// The largest body: a security event token is a few kilobytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Why a signal is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidRequest,
    InvalidKey,
    InvalidIssuer,
    InvalidAudience,
    AuthenticationFailed,
    NotFound,
    TooLarge,
    /// Too many signals are being read.
    Busy,
    /// Nothing is wrong with it, but it cannot be kept now: it is to be sent again.
    Unavailable,
}

impl Code {
    /// All of them.
    const ALL: [Self; 9] = [
        Self::InvalidRequest,
        Self::InvalidKey,
        Self::InvalidIssuer,
        Self::InvalidAudience,
        Self::AuthenticationFailed,
        Self::NotFound,
        Self::TooLarge,
        Self::Busy,
        Self::Unavailable,
    ];

    /// The error's code: those of RFC 8935, section 2.4, where there is one.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::NotFound | Self::TooLarge => "invalid_request",
            Self::InvalidKey => "invalid_key",
            Self::InvalidIssuer => "invalid_issuer",
            Self::InvalidAudience => "invalid_audience",
            Self::AuthenticationFailed => "authentication_failed",
            Self::Busy | Self::Unavailable => "temporarily_unavailable",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::InvalidKey | Self::InvalidIssuer | Self::InvalidAudience => {
                StatusCode::BAD_REQUEST
            }
            Self::AuthenticationFailed => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What refusals are counted by.
pub(crate) fn errs() -> impl Iterator<Item = &'static str> {
    Code::ALL.into_iter().map(Code::as_str)
}

/// A signal that is not accepted. The text repeats nothing from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) description: String,
}

impl Refusal {
    pub(super) fn new(code: Code, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }

    pub(super) fn request(description: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, description)
    }

    pub(super) fn unavailable(description: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, description)
    }

    fn respond(&self, body: impl Serialize) -> Response {
        let mut response = (self.code.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.code {
            Code::AuthenticationFailed => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Code::Busy | Code::Unavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }

    /// As OAuth errors are answered (RFC 6749, section 5.2): for logout tokens (OpenID Connect Back-Channel Logout 1.0,
    /// section 2.8).
    pub(super) fn as_oauth(&self) -> Response {
        #[derive(Serialize)]
        struct Body<'b> {
            error: &'static str,
            error_description: &'b str,
        }
        let error = match self.code {
            Code::Busy | Code::Unavailable => "temporarily_unavailable",
            _ => "invalid_request",
        };
        self.respond(Body { error, error_description: &self.description })
    }
}

#[derive(Serialize)]
struct Body<'b> {
    err: &'static str,
    description: &'b str,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.respond(Body { err: self.code.as_str(), description: &self.description });
        response.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        response
    }
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        let fault = match unfit {
            Unfit::TooOld => return Self::request("`iat` is too long ago, or `exp` has passed"),
            Unfit::Invalid(fault) => fault,
        };
        match fault {
            Fault::TooLong => Self::new(Code::TooLarge, format!("the token has more than {TOKEN_BYTES_MAX} bytes")),
            Fault::Issuer => Self::new(Code::InvalidIssuer, "`iss` is not this transmitter's issuer"),
            Fault::Algorithm => Self::new(Code::InvalidKey, "`alg` is not one of this transmitter's `algorithms`"),
            Fault::TokenType => Self::request("`typ` is not the type of such a token"),
            Fault::KeyAlgorithm | Fault::Signature => Self::new(Code::InvalidKey, fault.to_string()),
            fault => Self::request(fault.to_string()),
        }
    }
}
