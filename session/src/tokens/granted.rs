//! What issuers answer: a login opens a session and a family, and the client gets a handle in place of the refresh token, or a
//! browser a cookie in place of all tokens.

use super::browser::{self, CookieRequest};
use super::client::Client;
use super::ending;
use super::family::{Family, FamilyId};
use super::fault::{Fault, uncached};
use super::form::Form;
use super::handle::{Handle, HandleDigest};
use super::issue::{Content, Issued};
use super::keep::Written;
use super::metrics::Grant;
use super::rotation::Rotation;
use super::said::Said;
use super::settings::IssueSettings;
use super::standing::{self, Live, Standing};
use super::state::Tokens;
use super::upstream::{Reply, Upstream};
use super::vault::random;
use crate::log::Sampler;
use crate::service::Service;
use axum::Json;
use axum::response::{IntoResponse, Response};
use portcullis_contract::token::Unverified;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tracing::warn;

/// How far ahead of now a token may say that it was issued: as far as a policy may let an issuer's clock be ahead.
const AHEAD_MS_MAX: u64 = 60_000;

/// An access token of an issuer.
pub(super) struct Access {
    pub(super) said: Said,
    read: Unverified,
}

/// Passes a grant on, and takes the answer over. With `cookie`, it is the login of a browser.
pub(super) async fn pass_on(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    upstream: &Arc<Upstream>,
    (grant, form, client): (Grant, &Form, &Client),
    cookie: Option<&CookieRequest>,
) -> Response {
    let is_login = grant.is_login();
    // What a code is exchanged for cannot be had again.
    if is_login && !service.is_ready() {
        return Fault::Unavailable.into_response();
    }
    let members = match upstream.token(form, client).await {
        Reply::Issued(members) => members,
        Reply::Refused(passed) => return passed.into_response(),
        Reply::Out => return Fault::Unavailable.into_response(),
    };
    match take_over(service, tokens, upstream, (is_login, form, client, cookie), &members).await {
        Ok(answer) => uncached(answer),
        Err(fault) => {
            // Nobody has it.
            if let Some(refresh_token) = refresh_token(&members) {
                ending::forget(tokens, upstream, refresh_token.to_owned(), client);
            }
            fault.into_response()
        }
    }
}

async fn take_over(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    upstream: &Arc<Upstream>,
    (is_login, form, client, cookie): (bool, &Form, &Client, Option<&CookieRequest>),
    members: &Map<String, Value>,
) -> Result<Response, Fault> {
    let refresh_token = refresh_token(members);
    let is_passed_on = refresh_token.is_none() && tokens.settings.issue.is_none() && cookie.is_none();
    if is_passed_on && !is_login {
        return Ok(Json(members).into_response());
    }
    let access = match read_access(service, upstream, members) {
        Ok(access) => access,
        // It may be for something else altogether, and is of no use at a filter.
        Err(_) if is_passed_on => return Ok(Json(members).into_response()),
        Err(why) => return Err(unusable(upstream.issuer(), why)),
    };
    let live = match standing::of(service, &access.said, is_login).await {
        Standing::Live(live) => live,
        Standing::Over(_) | Standing::Refused(_) => return Err(Fault::InvalidGrant("the session is refused")),
        Standing::Unknown => return Err(Fault::Unavailable),
    };
    let granted = members.get("scope").and_then(Value::as_str).or_else(|| form.get("scope"));
    let family = |handle: HandleDigest| Family {
        issuer: upstream.issuer().to_owned(),
        client_id: client.id.clone(),
        key: client.key,
        certificate: client.certificate,
        refresh_token: refresh_token.map(str::to_owned),
        said: access.said.clone(),
        scope: granted.unwrap_or_default().to_owned(),
        rotation: Rotation::new(handle, service.clock.now_ms()),
        answer: None,
        over: None,
        browser: None,
    };
    if let Some(cookie) = cookie {
        return browser::log_in(service, tokens, upstream, cookie, (members, &live), family).await;
    }
    if refresh_token.is_none() {
        let answer = answer(tokens, service, (members, &access), client, &live, None).ok_or(Fault::Unavailable)?;
        return Ok(Json(answer).into_response());
    }
    let id = FamilyId(random().ok_or(Fault::Unavailable)?);
    let handle = Handle::make(&tokens.vault, id, 0).ok_or(Fault::Unavailable)?;
    let answer = answer(tokens, service, (members, &access), client, &live, Some(&handle)).ok_or(Fault::Unavailable)?;
    match tokens.save(id, &family(handle.digest()), None).await {
        Written::As(_) => {
            service.audit.family_opened(&live.token, &id.to_string(), "refresh_token");
            Ok(Json(answer).into_response())
        }
        Written::Late | Written::Failed => Err(Fault::Unavailable),
    }
}

/// The refresh token of an answer.
pub(super) fn refresh_token(members: &Map<String, Value>) -> Option<&str> {
    members.get("refresh_token")?.as_str().filter(|token| !token.is_empty())
}

/// The access token of an answer.
pub(super) fn access_token(members: &Map<String, Value>) -> Option<&str> {
    members.get("access_token")?.as_str()
}

/// Reads the access token of an answer, as the filter reads it. It is genuine: it comes from its issuer.
pub(super) fn read_access(
    service: &Service,
    upstream: &Upstream,
    members: &Map<String, Value>,
) -> Result<Access, &'static str> {
    let text = access_token(members).ok_or("its answer has no access token")?;
    let read = service.registry.issuers().read(text);
    let read = read.map_err(|_| "its access token is not a JWT that can be read here")?;
    let now_ms = service.clock.now_ms();
    if *read.facts.issuer != *upstream.issuer() {
        return Err("its access token is another issuer's");
    }
    if !upstream.accepts(read.claim("aud")) {
        return Err("its access token is for none of `audiences`");
    }
    if read.is_expired(now_ms) {
        return Err("its access token has expired already");
    }
    let newest_ms = read.facts.issued_at_ms.max(read.facts.authenticated_at_ms.unwrap_or_default());
    if newest_ms > now_ms.saturating_add(AHEAD_MS_MAX) {
        return Err("its access token is from the future");
    }
    Ok(Access { said: Said::by(&read.facts), read })
}

/// Reads an access token that was read before, and has been held since.
pub(super) fn held_access(service: &Service, text: &str) -> Option<Access> {
    let read = service.registry.issuers().read(text).ok()?;
    Some(Access { said: Said::by(&read.facts), read })
}

/// Takes over what an issuer has answered to a refresh: its next refresh token in any case, and the access token if it is one of
/// the family's session.
pub(super) fn next_tokens(
    service: &Service,
    upstream: &Upstream,
    family: &mut Family,
    members: &Map<String, Value>,
) -> Result<Access, Fault> {
    if let Some(next) = refresh_token(members) {
        family.refresh_token = Some(next.to_owned());
    }
    let access = read_access(service, upstream, members).map_err(|why| unusable(upstream.issuer(), why))?;
    match access.said.is_session_of(&family.said) {
        true => Ok(access),
        false => Err(unusable(upstream.issuer(), "its access token is of another session")),
    }
}

/// The answer to a client: that of the issuer, with a handle in place of the refresh token and, where that is configured, our own
/// access token in place of the issuer's. `None`: it cannot be made.
pub(super) fn answer(
    tokens: &Tokens,
    service: &Service,
    (members, access): (&Map<String, Value>, &Access),
    client: &Client,
    live: &Live,
    handle: Option<&Handle>,
) -> Option<Map<String, Value>> {
    let mut answer = members.clone();
    answer.remove("refresh_token");
    answer.extend(handle.map(|handle| ("refresh_token".to_owned(), json!(handle.text()))));
    let Some(issue) = &tokens.settings.issue else { return Some(answer) };
    // A proof for the issuer has bound the issuer's token, if it wanted that.
    let key = client.key.filter(|_| client.proof.is_none());
    let issued = own(tokens, issue, (access, live), key, service.clock.now_ms())?;
    let token_type = if issued.is_bound_to_key { "DPoP" } else { "Bearer" };
    answer.insert("access_token".to_owned(), json!(issued.text));
    answer.insert("token_type".to_owned(), json!(token_type));
    answer.insert("expires_in".to_owned(), json!(issued.expires_in_s));
    if let Some(scope) = members.get("scope").and_then(Value::as_str)
        && live.left.is_some()
    {
        answer.insert("scope".to_owned(), json!(left_of(scope, &access.said, live)));
    }
    Some(answer)
}

/// Our own access token in place of an issuer's. `None`: it cannot be made.
pub(super) fn own(
    tokens: &Tokens,
    issue: &IssueSettings,
    (access, live): (&Access, &Live),
    key: Option<[u8; 32]>,
    now_ms: u64,
) -> Option<Issued> {
    let said = &access.said;
    let content = Content {
        said,
        kind: live.token.kind,
        claim: &|name| access.read.claim(name).cloned(),
        scopes: said.scopes.iter().filter(|scope| live.holds(scope)).cloned().collect(),
        audience: &issue.audience,
        key,
        actor: None,
        ends_at_ms: [Some(said.expires_at_ms()), live.ends_at_ms],
    };
    tokens.mint(issue, &content, now_ms)
}

/// A list of scopes without those that the session has lost.
pub(super) fn left_of(scope: &str, said: &Said, live: &Live) -> String {
    let is_lost = |scope: &&str| said.scopes.iter().any(|held| held == scope) && !live.holds(scope);
    scope.split_ascii_whitespace().filter(|scope| !is_lost(scope)).collect::<Vec<_>>().join(" ")
}

/// An answer of an issuer is of no use.
pub(super) fn unusable(issuer: &str, why: &'static str) -> Fault {
    static UNUSABLE: Sampler = Sampler::new();
    if let Some(not_logged) = UNUSABLE.admit() {
        warn!(issuer, why, not_logged, "an issuer's answer cannot be passed on");
    }
    Fault::Server
}
