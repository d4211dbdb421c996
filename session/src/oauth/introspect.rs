//! `POST /oauth2/introspect` (RFC 7662): the session behind a token, judged as for a question on the check stream.
//!
//! Parameters besides `token`, all of them optional: `route` (its name, for the audit line), `portcullis_max_age_ms` and
//! `portcullis_max_idle_ms` (what the route takes; they narrow), `portcullis_background` (`true`: the request is no
//! activity), `portcullis` (`1`: an answer that is not active says why, as `portcullis_code`), and `portcullis_verified` (`true`:
//! the caller has verified the token). Others, such as `token_type_hint` and `client_address`, are taken and not used.
//!
//! This service has no keys. A token that its caller has not verified opens no session and is no activity: it is active only
//! while the session that it names lives, and was opened for the same subject and client.

use super::claims::{Claims, Unreadable};
use super::form::Form;
use super::{App, Fault};
use crate::checks::bound::Bound;
use crate::judge::Asked;
use crate::metrics::Tally;
use crate::service::Service;
use crate::token::Token;
use crate::wire::{Outcome, Verdict};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Refusals that are remembered as told to the audit. Then they are told again.
const TOLD_MAX: usize = 10_000;

/// The refusals that have been told to the audit: a caller that asks about a dead token again and again is one line.
#[derive(Debug, Default)]
pub struct Told(Mutex<HashSet<(u64, Outcome)>>);

impl Told {
    /// Whether it is told for the first time.
    fn is_news(&self, token: &Token, outcome: Outcome) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert((token.digest, outcome))
    }
}

/// The answer. Whatever is not active says nothing else, but to the filter: why.
pub(super) enum Answer {
    Active(Box<Active>),
    Inactive(Inactive),
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Active(active) => Json(active).into_response(),
            Self::Inactive(inactive) => Json(inactive).into_response(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Inactive {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    portcullis_code: Option<&'static str>,
}

/// RFC 7662, section 2.2, and the session's public id.
#[derive(Debug, Serialize)]
pub(super) struct Active {
    active: bool,
    /// Those that are left of the token's.
    scope: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    sub: String,
    iss: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<Value>,
    exp: u64,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    acr: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    token_type: &'static str,
    portcullis_session: String,
}

/// Answers a call.
pub(super) async fn introspect(State(service): App, form: Form) -> Result<Answer, Fault> {
    let asked = Asked {
        max_age_ms: form.millis("portcullis_max_age_ms")?,
        max_idle_ms: form.millis("portcullis_max_idle_ms")?,
        background: form.flag("portcullis_background")?,
    };
    let is_verified = form.flag("portcullis_verified")?;
    let says_why = form.flag("portcullis")?;
    let inactive = |code| Answer::Inactive(Inactive { active: false, portcullis_code: says_why.then_some(code) });
    let now_ms = service.clock.now_ms();
    let claims = match Claims::read(form.token()?) {
        Ok(claims) if claims.is_expired(now_ms) => return Ok(inactive("token_expired")),
        Ok(claims) if !claims.is_early(now_ms) => claims,
        Ok(_) | Err(Unreadable) => return Ok(inactive("invalid_token")),
    };
    let Ok(token) = Token::read(&claims.facts, &service.book.names, now_ms) else {
        return Ok(inactive("invalid_token"));
    };
    let live = || service.book.find(token.id).filter(|session| session.ended().is_none());
    if !is_verified && !live().is_some_and(|session| session.subject == token.subject && session.client == token.client)
    {
        return Ok(inactive("session_unknown"));
    }
    let asked = Asked { background: asked.background || !is_verified, ..asked };
    let route = form.get("route").unwrap_or("introspection");
    let verdict = judge(&service, Arc::new(token), asked, route, now_ms).await?;
    Ok(match verdict.outcome() {
        Outcome::Active => Answer::Active(Box::new(active(&claims, verdict))),
        outcome => inactive(code(outcome)),
    })
}

async fn judge(service: &Service, token: Arc<Token>, asked: Asked, route: &str, now_ms: u64) -> Result<Verdict, Fault> {
    let book = &service.book;
    let (mut bound, mut to_bury) = (Bound::new(Arc::clone(&token)), Vec::new());
    bound.bind(book, !asked.background, now_ms, &mut to_bury).map_err(|error| {
        tracing::error!(%error, "the store could not read");
        Fault::Unavailable
    })?;
    let verdict = bound.judge(book, asked, now_ms, &mut to_bury);
    let outcome = verdict.outcome();
    let mut tally = Tally::default();
    tally.add(outcome);
    book.audit.metrics.answered(&tally);
    if outcome != Outcome::Active && service.told.is_news(&token, outcome) {
        book.audit.refused(&token, outcome, route, now_ms);
    }
    service.bury(to_bury).await;
    Ok(verdict)
}

fn active(claims: &Claims, verdict: Verdict) -> Active {
    let facts = &claims.facts;
    let scopes = verdict.narrowed.map(|left| left.scopes);
    Active {
        active: true,
        scope: scopes.as_ref().unwrap_or(&facts.scopes).join(" "),
        client_id: facts.client_id.clone(),
        sub: facts.subject.clone(),
        iss: facts.issuer.clone(),
        aud: claims.get("aud").cloned(),
        exp: facts.expires_at_ms / 1_000,
        iat: facts.issued_at_ms / 1_000,
        sid: claims.get("sid").filter(|sid| sid.as_str() != Some("")).cloned(),
        acr: facts.acr.clone(),
        auth_time: facts.authenticated_at_ms.map(|ms| ms / 1_000),
        token_type: "Bearer",
        portcullis_session: crate::id::SessionId::of(&facts.issuer, &facts.session_key).to_string(),
    }
}

/// The code that the filter answers its client with.
fn code(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::IdleTimeout => "session_idle_timeout",
        Outcome::LifetimeExceeded => "session_lifetime_exceeded",
        Outcome::Revoked => "session_revoked",
        Outcome::ScopeEscalation => "scope_escalation",
        Outcome::StepUpRequired => "step_up_required",
        // The first two are never asked for a code.
        Outcome::Unspecified | Outcome::Active | Outcome::UnknownSession => "session_unknown",
    }
}
