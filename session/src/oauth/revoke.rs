//! `POST /oauth2/revoke` (RFC 7009): ends the session behind a token, durably before it answers. It does not matter
//! whether the token has expired: its session may live on with a newer one.

use super::claims::Claims;
use super::form::Form;
use super::{App, Fault};
use crate::book::Binding;
use crate::session::Session;
use crate::token::Token;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// Answers a call. A token that names no session, or one that is over, is answered as one that does (section 2.2).
pub(super) async fn revoke(State(service): App, form: Form) -> Result<StatusCode, Fault> {
    let now_ms = service.clock.now_ms();
    let Ok(claims) = Claims::read(form.token()?) else {
        return Ok(StatusCode::OK);
    };
    let Ok(token) = Token::read(&claims.facts, &service.book.names, now_ms) else {
        return Ok(StatusCode::OK);
    };
    // One that was never asked about is enrolled to be ended: else its first question would be answered as active.
    let binding = service.book.bind(&token, false, now_ms).map_err(|error| {
        tracing::error!(%error, "the store could not read");
        Fault::Unavailable
    })?;
    let session: Option<Arc<Session>> = match binding {
        Binding::Live(session) => Some(session),
        // Its tombstone may still be waiting to be written.
        Binding::Gone(_) => service.book.find(token.id).filter(|session| session.ended().is_some()),
        Binding::Unknown => None,
    };
    if let Some(session) = session {
        service.book.audit.revoking(session.id, "oauth2/revoke");
        service.writer.revoke(session, now_ms).await.map_err(|_| Fault::Unavailable)?;
    }
    Ok(StatusCode::OK)
}
