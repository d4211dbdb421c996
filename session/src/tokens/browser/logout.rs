//! `POST /oauth2/logout`: the person ends the session of a browser, and the browser forgets its cookie.

use super::cookie::CookieRequest;
use super::find;
use crate::audit::Actor;
use crate::service::Service;
use crate::tokens::ending::{self, Why};
use crate::tokens::fault::{Fault, uncached};
use crate::tokens::handle::HandleDigest;
use crate::tokens::state::Tokens;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Logs out. It is done already where there is no cookie, or one that nobody knows.
pub(in crate::tokens) async fn log_out(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    headers: &HeaderMap,
) -> Result<Response, Fault> {
    let CookieRequest { name, shown } = CookieRequest::read(headers)?;
    for digest in shown {
        end(service, tokens, digest).await?;
    }
    let clear = name.clear().ok_or(Fault::Server)?;
    Ok(uncached((StatusCode::NO_CONTENT, [(SET_COOKIE, clear)]).into_response()))
}

/// Ends a session everywhere, and then its family. If either is not certain, the browser keeps its cookie and tries again.
async fn end(service: &Arc<Service>, tokens: &Arc<Tokens>, digest: HandleDigest) -> Result<(), Fault> {
    let Some(used) = find::find(tokens, digest).await? else { return Ok(()) };
    if !service.is_ready() {
        return Err(Fault::Unavailable);
    }
    let token = ending::token(service, &used.family).ok_or(Fault::Unavailable)?;
    if !ending::end_session(service, &token, "logged out", Actor::Person).await {
        return Err(Fault::Unavailable);
    }
    find::end(service, tokens, digest, |_| Why::Logout).await
}
