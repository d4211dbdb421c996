//! OpenID Connect Back-Channel Logout 1.0: a provider says that a session, or every session of a user, is logged out.

use super::answer::Refusal;
use super::carry_out::{carry_out, caught_up, report};
use super::order::{Deed, Order};
use super::parties::Parties;
use super::push::{recognized, verify};
use super::status::Fate;
use super::subject::is_name;
use super::transmitter::Transmitter;
use crate::service::Service;
use portcullis_contract::token::Statement;
use serde_json::Value;
use std::sync::Arc;

/// The member of `events` that makes a token a logout token (section 2.4).
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Names in an `aud`.
const AUDIENCES_MAX: usize = 64;

/// Receives the form of a logout request (section 2.5).
pub(super) async fn receive(service: &Arc<Service>, transmitter: &Transmitter, body: &[u8]) -> Result<Fate, Refusal> {
    let received = accept(service, transmitter, body).await;
    report(service, transmitter, received)
}

async fn accept(service: &Arc<Service>, transmitter: &Transmitter, body: &[u8]) -> Result<Fate, Refusal> {
    let now_ms = service.clock.now_ms();
    let mut tokens = form_urlencoded::parse(body).filter(|(name, _)| name == "logout_token");
    let (Some((_, token)), None) = (tokens.next(), tokens.next()) else {
        return Err(Refusal::request("the body is not a form with one `logout_token`"));
    };
    let statement = verify(transmitter, token.as_bytes(), now_ms).await?;
    let parties = parties(service, transmitter, &statement).await?;
    let Some(signed) = &transmitter.settings.signed else {
        return Err(Refusal::request("this transmitter does not send such tokens"));
    };
    let (event, reason) = ("logout".to_owned(), format!("{}: logout", transmitter.name()));
    let order = Order { event, deeds: vec![Deed::End], parties, reason };
    match carry_out(service, transmitter, order, Some(recognized(&statement, signed)), None).await? {
        // A token is good for one logout (section 2.6): what it has ended stays ended.
        Fate::Repeated => Err(Refusal::request("a logout token with this `jti` was received before")),
        fate => Ok(fate),
    }
}

/// Whom a logout token logs out (section 2.6).
async fn parties(service: &Service, transmitter: &Transmitter, statement: &Statement) -> Result<Parties, Refusal> {
    let Statement { claims, audiences, expires_at_ms, .. } = statement;
    if claims.contains_key("nonce") {
        return Err(Refusal::request("`nonce` is not allowed in a logout token"));
    }
    if expires_at_ms.is_none() {
        return Err(Refusal::request("`exp` is missing"));
    }
    match claims.get("events") {
        Some(Value::Object(events)) if events.get(LOGOUT).is_some_and(Value::is_object) => {}
        _ => return Err(Refusal::request(format!("`events` has no object `{LOGOUT}`"))),
    }
    let issuers = &transmitter.settings.tokens_of;
    if audiences.len() > AUDIENCES_MAX {
        return Err(Refusal::request(format!("`aud` has more than {AUDIENCES_MAX} names")));
    }
    let named = transmitter.settings.signed.iter().flat_map(|signed| &signed.audiences);
    if !audiences.iter().any(|aud| named.clone().any(|audience| audience == aud)) {
        // Another replica may have opened the client's session a moment ago.
        caught_up(service).await?;
        if !service.registry.has_client(issuers, audiences) {
            return Err(Refusal::request("`aud` is neither the client of a session nor one of `audiences`"));
        }
    }
    let text = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if is_name(text) => Ok(Some(text)),
        Some(_) => Err(Refusal::request(format!("`{name}` is not a name"))),
    };
    let at_each = |name: Option<&String>| -> Vec<(String, String)> {
        name.into_iter().flat_map(|name| issuers.iter().map(|issuer| (issuer.clone(), name.clone()))).collect()
    };
    let (sid, sub) = (text("sid")?, text("sub")?);
    if sid.is_none() && sub.is_none() {
        return Err(Refusal::request("`sid` and `sub` are missing"));
    }
    Ok(Parties { users: at_each(sub), sids: at_each(sid), ..Parties::default() })
}
