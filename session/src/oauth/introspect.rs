//! `POST /oauth2/introspect` (RFC 7662): the session behind a token, judged as a question on the check stream is.
//!
//! Parameters besides `token`, all of them optional: `route` (its name, for the audit line), `portcullis_max_age_ms` and
//! `portcullis_max_idle_ms` (the limits of the route; they narrow), `portcullis_acr` (the authentication contexts that the
//! route accepts, separated by spaces), `portcullis_background` (`true`: the request is not
//! activity), `portcullis` (`1`: an answer that is not active says why, as `portcullis_code`), and
//! `portcullis_verified` (`true`: the caller has verified the token). Others, such as `token_type_hint` and
//! `client_address`, are accepted and not used.
//!
//! Conditions are not judged here: neither the method nor the circumstances of a request are known. A filter that asks on behalf
//! of a request (`portcullis`) is refused while there are any, for it would release what they forbid.
//!
//! This service has no keys. A token that its caller has not verified opens no session and is not activity: it is active
//! only while the session that it names is live and has its subject and client.

use super::fault::Fault;
use super::form::Form;
use super::revoke::AHEAD_MS_MAX;
use crate::bound_token::{BoundToken, Required};
use crate::judge::Asked;
use crate::log::Sampler;
use crate::metrics::Tally;
use crate::service::Service;
use crate::token::Token;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use portcullis_contract::token::Unverified;
use portcullis_contract::wire::{Outcome, Verdict};
use portcullis_contract::{code, introspection};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use tracing::warn;

/// The answer. An answer that is not active says nothing else; only the filter learns why.
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

/// The members of RFC 7662, section 2.2, and the session's public id.
#[derive(Debug, Serialize)]
pub(super) struct Active {
    active: bool,
    /// The scopes that are left of the token's.
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
pub(super) async fn introspect(State(service): State<Arc<Service>>, form: Form) -> Result<Answer, Fault> {
    let asked = Asked {
        max_age_ms: form.millis(introspection::MAX_AGE_MS)?,
        max_idle_ms: form.millis(introspection::MAX_IDLE_MS)?,
        background: form.flag(introspection::BACKGROUND)?,
    };
    let acr: Vec<String> =
        form.get(introspection::ACR).unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    let is_verified = form.flag(introspection::VERIFIED)?;
    let shows_code = form.flag(introspection::EXPLAIN)?;
    let inactive = |code| Answer::Inactive(Inactive { active: false, portcullis_code: shows_code.then_some(code) });
    let now_ms = service.clock.now_ms();
    let read = match service.registry.issuers().read(form.token()?) {
        Ok(read) if read.is_expired(now_ms) => return Ok(inactive("token_expired")),
        Ok(read) if !read.is_early(now_ms) => read,
        Ok(_) | Err(_) => return Ok(inactive("invalid_token")),
    };
    let Ok(token) = Token::read(&read.facts.to_wire(0), service.registry.names(), now_ms) else {
        return Ok(inactive("invalid_token"));
    };
    // No filter accepts one: its instants would move the end of its session as far ahead.
    if token.newest_ms() > now_ms.saturating_add(AHEAD_MS_MAX) {
        return Ok(inactive("invalid_token"));
    }
    // The session's start would stand for a login whose time is unreadable.
    if read.facts.is_login_unreadable && asked.max_age_ms.is_some() {
        return Ok(inactive(code::STEP_UP_REQUIRED));
    }
    let token = Arc::new(token);
    let bound = if is_verified { BoundToken::new(token) } else { BoundToken::unverified(token) };
    let bound = bound.holding_back(&service.approvals());
    let route = form.get("route").unwrap_or("introspection");
    if shows_code && service.conditions.as_ref().is_some_and(|conditions| conditions.are_enforced()) {
        static REFUSED: Sampler = Sampler::new();
        if let Some(not_logged) = REFUSED.admit() {
            warn!(not_logged, "refused a filter's introspection: conditions are only judged on the check stream");
        }
        return Ok(inactive(code::CONDITION_FAILED));
    }
    let (verdict, contexts) = ask(&service, bound, asked, &acr, route).await?;
    Ok(match verdict.outcome() {
        Outcome::Active => Answer::Active(Box::new(active(&read, verdict, &contexts))),
        outcome => inactive(code::of(outcome).unwrap_or(code::SESSION_UNKNOWN)),
    })
}

/// Asks the judge, and waits for the disk where the answer needs it. Returns the verdict, and what the login counts as besides
/// what the token says.
async fn ask(
    service: &Arc<Service>,
    mut bound: BoundToken,
    asked: Asked,
    acr: &[String],
    route: &str,
) -> Result<(Verdict, Vec<String>), Fault> {
    service.bind(&mut bound, !asked.background, service.clock.now_ms()).await.map_err(Fault::unreadable)?;
    if !service.registry.lease().holds() {
        return Err(Fault::Unavailable);
    }
    let now_ms = service.clock.now_ms();
    let required = Required { acr, ..Required::default() };
    let answer = bound.answer(&service.registry, asked, required, now_ms);
    let outcome = answer.verdict.outcome();
    let mut tally = Tally::default();
    tally.add(outcome);
    service.metrics.answered(&tally);
    // The names in a token that nobody has verified do not belong in the audit, unless its session bears them out.
    if outcome != Outcome::Active && (bound.is_verified() || outcome != Outcome::UnknownSession) {
        service.audit.refused_introspection(bound.refused(outcome, route, (asked, required), now_ms));
    }
    if let Some(session) = answer.awaits {
        service.make_durable(vec![session]).await;
    }
    Ok((answer.verdict, bound.contexts(now_ms)))
}

fn active(read: &Unverified, verdict: Verdict, contexts: &[String]) -> Active {
    let facts = &read.facts;
    let scopes = verdict.narrowed.map(|left| left.scopes);
    Active {
        active: true,
        scope: scopes.as_ref().unwrap_or(&facts.scopes).join(" "),
        client_id: facts.client_id.clone().unwrap_or_default(),
        sub: facts.subject.clone().unwrap_or_default(),
        iss: facts.issuer.to_string(),
        aud: read.claim("aud").cloned(),
        exp: facts.expires_at_ms / 1_000,
        iat: facts.issued_at_ms / 1_000,
        sid: read.claim("sid").filter(|sid| sid.as_str() != Some("")).cloned(),
        acr: context(facts.acr.as_ref(), contexts),
        auth_time: facts.authenticated_at_ms.map(|ms| ms / 1_000),
        token_type: "Bearer",
        portcullis_session: facts.session_id.to_string(),
    }
}

/// The authentication context to report. Whoever accepts it must accept all that the login counts as, and what its token says:
/// the order of contexts is not known here, so where they differ, none is reported.
fn context(of_token: Option<&String>, contexts: &[String]) -> String {
    of_token.filter(|own| contexts.iter().all(|context| context == *own)).cloned().unwrap_or_default()
}
