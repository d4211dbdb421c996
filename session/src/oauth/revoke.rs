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

/// How far ahead of now a token may say that it was issued: as far as a policy may let an issuer's clock be ahead.
pub(super) const AHEAD_MS_MAX: u64 = 60_000;

/// Answers a call. The answer is the same for a token that names no session, or one that is over (section 2.2).
pub(super) async fn revoke(State(service): State<Arc<Service>>, form: Form) -> Result<StatusCode, Fault> {
    let now_ms = service.clock.now_ms();
    let Ok(read) = service.registry.issuers().read(form.token()?) else {
        return Err(Fault::UnsupportedTokenType);
    };
    let Ok(token) = Token::read(&read.facts.to_wire(0), service.registry.names(), now_ms) else {
        return Err(Fault::UnsupportedTokenType);
    };
    // No filter accepts one: its instants would move the end of the session as far ahead.
    if token.newest_ms() > now_ms.saturating_add(AHEAD_MS_MAX) {
        return Err(Fault::UnsupportedTokenType);
    }
    let id = token.id;
    // A session that is not known yet is opened to be ended: otherwise its first question would be answered as active.
    let mut bound = BoundToken::to_be_ended(Arc::new(token));
    service.bind(&mut bound, true, now_ms).await.map_err(Fault::unreadable)?;
    // What has ended is revoked again, and written: its tombstone may not be on disk yet, or another call for it may
    // still wait for the disk.
    if bound.may_end() {
        service.writer.revoke(id, "oauth2/revoke", now_ms).await.map_err(|_| Fault::Unavailable)?;
    } else if let Some(successor) = bound.successor() {
        let written = service.writer.make_durable(vec![Arc::clone(successor)]).await;
        written.map_err(|_| Fault::Unavailable)?;
    }
    // What was over before may have ended at another replica a moment ago, and be half applied here.
    service.writer.caught_up().await.map_err(|_| Fault::Unavailable)?;
    service.writer.everywhere().await.map_err(|_| Fault::Unavailable)?;
    Ok(StatusCode::OK)
}
