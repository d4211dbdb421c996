//! The header that says how long an answer has waited for filters to give leases back.

use crate::leases::waited_for;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::HeaderName;
use axum::middleware::Next;
use axum::response::Response;

/// W3C Server Timing.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Answers a request; the header is there if the answer has waited.
pub(super) async fn timed(request: Request, next: Next) -> Response {
    let (mut response, waited_ms) = waited_for(next.run(request)).await;
    if waited_ms > 0
        && let Ok(value) = HeaderValue::try_from(format!("leases;dur={waited_ms}"))
    {
        response.headers_mut().insert(SERVER_TIMING, value);
    }
    response
}
