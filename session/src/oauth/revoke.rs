//! `POST /oauth2/revoke` (RFC 7009): ends the session behind a token, durably before it answers. It does not matter
//! whether the token has expired: its session may live on with a newer one.

use super::fault::Fault;
use super::form::Form;
use crate::bound_token::BoundToken;
use crate::service::Service;
use crate::token::Token;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// Answers a call. The answer is the same for a token that names no session, or one that is over (section 2.2).
pub(super) async fn revoke(State(service): State<Arc<Service>>, form: Form) -> Result<StatusCode, Fault> {
    let now_ms = service.clock.now_ms();
    let Ok(read) = service.issuers.read(form.token()?) else {
        return Ok(StatusCode::OK);
    };
    let Ok(token) = Token::read(&read.facts.to_wire(0), service.registry.names(), now_ms) else {
        return Ok(StatusCode::OK);
    };
    // A session that is not known yet is opened to be ended: otherwise its first question would be answered as active.
    let mut bound = BoundToken::new(Arc::new(token));
    service.bind(&mut bound, false, now_ms).await.map_err(Fault::unreadable)?;
    // One that has ended is written as well: its tombstone may not be on disk yet.
    if let Some(session) = bound.own_session() {
        service.audit.revoking(session.id, "oauth2/revoke");
        service.writer.revoke(Arc::clone(session), now_ms).await.map_err(|_| Fault::Unavailable)?;
    }
    Ok(StatusCode::OK)
}
