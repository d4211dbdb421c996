//! Errors of the admin API (RFC 9457): one closed set of codes, and one place that describes each.

use crate::approvals;
use crate::registry::NotOpened;
use crate::signals::NotDone;
use crate::store::StoreError;
use crate::writer::NotWritten;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidRequest,
    Unprocessable,
    Unauthorized,
    InsufficientUserAuthentication,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    BodyTooLarge,
    SessionExists,
    SessionEnded,
    SessionRevoked,
    ScopesBeyondGrant,
    NarrowedForEveryClient,
    RequestClosed,
    StreamNotManaged,
    NoStream,
    TransmitterFailed,
    KeysUnavailable,
    NotReady,
    NotServing,
    StoreUnavailable,
    Internal,
}

impl Code {
    fn describe(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request", "The request is not valid"),
            Self::Unprocessable => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "The request is understood but not acceptable")
            }
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "The credential is missing or wrong"),
            Self::InsufficientUserAuthentication => (
                StatusCode::UNAUTHORIZED,
                "insufficient_user_authentication",
                "A stronger or more recent login is needed",
            ),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The caller may not do this"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not supported here")
            }
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large"),
            Self::SessionExists => (StatusCode::CONFLICT, "session_exists", "The session is already live"),
            Self::SessionEnded => (StatusCode::CONFLICT, "session_ended", "The session has ended"),
            Self::SessionRevoked => (StatusCode::CONFLICT, "session_revoked", "The session is covered by a revocation"),
            Self::ScopesBeyondGrant => {
                (StatusCode::CONFLICT, "scopes_beyond_grant", "The session was never granted these scopes")
            }
            Self::NarrowedForEveryClient => {
                (StatusCode::CONFLICT, "narrowed_for_every_client", "Every client of the subject has lost these scopes")
            }
            Self::RequestClosed => (StatusCode::CONFLICT, "request_closed", "The request no longer waits for this"),
            Self::StreamNotManaged => {
                (StatusCode::CONFLICT, "stream_not_managed", "The transmitter's stream is not managed here")
            }
            Self::NoStream => (StatusCode::CONFLICT, "no_stream", "The transmitter has no stream"),
            Self::TransmitterFailed => (StatusCode::BAD_GATEWAY, "transmitter_failed", "The transmitter failed"),
            Self::KeysUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "keys_unavailable",
                "The keys of the token's issuer are not available",
            ),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not_ready", "The service is starting"),
            Self::NotServing => (StatusCode::SERVICE_UNAVAILABLE, "not_serving", "This replica gives no verdicts"),
            Self::StoreUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "The store is not available")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The service failed"),
        }
    }
}

/// An error as it is answered.
#[derive(Debug)]
pub(super) struct Problem {
    code: Code,
    detail: String,
    /// What a client is to present instead.
    challenge: Option<HeaderValue>,
    /// What is wrong, one by one, where there is more than the detail can say.
    faults: Vec<String>,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        let (detail, is_unknown) = (detail.into(), code == Code::Unauthorized);
        let challenge = is_unknown.then(|| HeaderValue::from_static("Bearer"));
        Self { code, detail, challenge, faults: Vec::new() }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(Code::Unprocessable, detail)
    }

    /// The same with a challenge, if that can be sent.
    pub(super) fn challenge(self, text: &str) -> Self {
        Self { challenge: HeaderValue::try_from(text).ok(), ..self }
    }

    /// The same with all faults.
    pub(super) fn with_faults(self, faults: Vec<String>) -> Self {
        Self { faults, ..self }
    }

    /// The same, where a request that is not valid is called that.
    pub(super) fn unacceptable(self) -> Self {
        let code = if self.code == Code::InvalidRequest { Code::Unprocessable } else { self.code };
        Self { code, ..self }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    faults: &'a [String],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, title) = self.code.describe();
        let body = Body {
            r#type: "about:blank",
            title,
            status: status.as_u16(),
            code,
            detail: &self.detail,
            faults: &self.faults,
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        // The store's own text (paths, system errors) is for the log.
        tracing::error!(%error, "the store could not read");
        Self::new(Code::StoreUnavailable, "the store could not read")
    }
}

impl From<NotWritten> for Problem {
    fn from(not_written: NotWritten) -> Self {
        let detail = match not_written {
            NotWritten::Failed(_) => {
                "the store could not write: the change is not promised, and may be in force after a restart; repeat the call"
            }
            NotWritten::Late => "the store is slow: the change may still be made, and is safe to repeat",
            NotWritten::Busy => "too many changes are waiting, or the service is stopping: nothing was changed",
        };
        Self::new(Code::StoreUnavailable, detail)
    }
}

impl From<NotOpened> for Problem {
    fn from(not_opened: NotOpened) -> Self {
        match not_opened {
            NotOpened::Lives => Self::new(Code::SessionExists, "revoke it first, or change its scopes"),
            NotOpened::Ended(reason) => Self::new(
                Code::SessionEnded,
                format!("it has ended (`{}`), and this call cannot open it again", reason.as_str()),
            ),
            NotOpened::Revoked => Self::new(Code::SessionRevoked, "it would start before the instant of a revocation"),
        }
    }
}

impl From<approvals::NotDone> for Problem {
    fn from(not_done: approvals::NotDone) -> Self {
        use approvals::NotDone;
        match not_done {
            NotDone::Unknown => Self::new(Code::NotFound, "there is no request or grant with that id"),
            NotDone::Closed(state) => Self::new(
                Code::RequestClosed,
                format!("the request is `{}`, and this is done or too late", state.as_str()),
            ),
            NotDone::Forbidden(why) => Self::new(Code::Forbidden, why),
            NotDone::Invalid(why) => Self::unprocessable(why),
            NotDone::Full => Self::new(
                Code::StoreUnavailable,
                "too many requests are waiting or kept: decide or cancel some, or shorten `retention`",
            ),
        }
    }
}

impl From<NotDone> for Problem {
    fn from(not_done: NotDone) -> Self {
        match not_done {
            NotDone::Unknown => Self::new(Code::NotFound, "there is no transmitter with that name"),
            NotDone::NotManaged => {
                Self::new(Code::StreamNotManaged, "manage it where it was made, or configure `stream: {manage: …}`")
            }
            NotDone::NoStream => {
                Self::new(Code::NoStream, "the transmitter has no stream for this service: resume makes one")
            }
            NotDone::Store(why) => Self::new(Code::StoreUnavailable, why),
            NotDone::Failed(why) => Self::new(Code::TransmitterFailed, why),
        }
    }
}
