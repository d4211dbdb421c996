//! The use of a handle.

use super::attempt::{self, Attempt, LOOK_EVERY, Used, withdraw};
use super::client::Client;
use super::ending::{self, Why};
use super::family::{Family, FamilyId, Kept};
use super::fault::{Fault, uncached};
use super::form::Form;
use super::granted::{answer, next_tokens};
use super::handle::Handle;
use super::keep::Written;
use super::rotation::{Decision, Shown};
use super::standing::{self, Live, Standing};
use super::state::Tokens;
use super::upstream::{Reply, Upstream};
use crate::service::Service;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a request waits for others of its family, and for the issuer.
const WAIT_MAX: Duration = Duration::from_secs(15);

const REFUSED: Fault = Fault::InvalidGrant("the refresh token is not good, or no longer");

/// Finds the family of a handle and its issuer, before anything else is known of the client. A handle that was made up costs one
/// look into the store.
pub(super) async fn find(tokens: &Arc<Tokens>, form: &Form) -> Result<(Handle, Arc<Upstream>), Fault> {
    let text = form.get("refresh_token").ok_or(Fault::InvalidRequest("`refresh_token` is missing"))?;
    // A refresh token of an issuer is not good here, whoever has it.
    let handle = Handle::read(text).ok_or(REFUSED)?;
    let (family, _) = tokens.load(handle.family).await?.ok_or(REFUSED)?;
    let is_known = family.rotation.knows(shown(tokens, &handle));
    let upstream =
        tokens.issuer(&family.issuer).filter(|_| is_known && family.over.is_none() && family.browser.is_none());
    Ok((handle, Arc::clone(upstream.ok_or(REFUSED)?)))
}

/// Uses a handle.
pub(super) async fn refresh(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    (handle, upstream): (&Handle, &Arc<Upstream>),
    (form, client): (&Form, &Client),
) -> Result<Response, Fault> {
    let (id, by) = (handle.family, (upstream, client));
    let gives_up_at = Instant::now() + WAIT_MAX;
    // One after another: whoever waits finds the answer of the first.
    let held = tokio::time::timeout_at(gives_up_at, tokens.families.hold(id)).await;
    let _held = held.map_err(|_| Fault::Unavailable)?;
    while Instant::now() < gives_up_at {
        let (family, version) = tokens.load(id).await?.ok_or(REFUSED)?;
        let shown = shown(tokens, handle);
        if family.over.is_some() || !family.rotation.knows(shown) {
            return Err(REFUSED);
        }
        if !family.is_of(client) {
            ending::refused(service, &family, id, Why::Client);
            return Err(REFUSED);
        }
        let used = Used { id, family, version };
        let now_ms = service.clock.now_ms();
        match used.family.rotation.decide(shown, &tokens.settings.terms, tokens.process, now_ms) {
            Decision::Unknown => return Err(REFUSED),
            Decision::Wait(_) => tokio::time::sleep(LOOK_EVERY).await,
            Decision::Expired => {
                ending::end(service, tokens, used, client, Why::Expired).await;
                return Err(REFUSED);
            }
            Decision::Reuse => return Err(ending::reuse(service, tokens, used, client).await),
            Decision::Repeat => {
                let (used, _) = live(service, tokens, used, client).await?;
                return repeat(used.family, upstream, client).await;
            }
            Decision::Ask => {
                let (used, live) = live(service, tokens, used, client).await?;
                let scope = scope_to_ask(&used.family, &live, form.get("scope")).inspect_err(|_| {
                    ending::refused(service, &used.family, id, Why::Scope);
                })?;
                let form = form.clone().with("scope", scope.as_deref());
                let form = form.with("refresh_token", used.family.refresh_token.as_deref());
                match attempt::ask(service, tokens, by, used, &form).await {
                    Attempt::Replied(used, attempt, reply) => {
                        return replied(service, tokens, by, *used, (attempt, reply, &live)).await;
                    }
                    Attempt::Again => {}
                    Attempt::Failed => return Err(Fault::Unavailable),
                }
            }
        }
    }
    Err(Fault::Unavailable)
}

fn shown(tokens: &Tokens, handle: &Handle) -> Shown {
    Shown { generation: handle.generation, digest: handle.digest(), is_genuine: handle.is_genuine(&tokens.vault) }
}

/// The session of a family, if it is live. A family whose session has ended is over.
async fn live(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    used: Used,
    client: &Client,
) -> Result<(Used, Live), Fault> {
    match standing::of(service, &used.family.said, false).await {
        Standing::Live(live) => Ok((used, live)),
        Standing::Over(outcome) => {
            ending::end(service, tokens, used, client, Why::Session(outcome)).await;
            Err(Fault::InvalidGrant("the session is over"))
        }
        Standing::Refused(outcome) => {
            ending::refused(service, &used.family, used.id, Why::Session(outcome));
            Err(Fault::InvalidGrant("the session is refused"))
        }
        Standing::Unknown => Err(Fault::Unavailable),
    }
}

/// The same answer again, for the client that the issuer has authenticated for it.
async fn repeat(family: Family, upstream: &Arc<Upstream>, client: &Client) -> Result<Response, Fault> {
    let Kept { body, by } = family.answer.ok_or(REFUSED)?;
    if by.is_none() || client.by() != by {
        match upstream.admits(client).await {
            Reply::Issued(_) => {}
            Reply::Refused(passed) => return Ok(passed.into_response()),
            Reply::Out => return Err(Fault::Unavailable),
        }
    }
    Ok(json(body))
}

/// The scope that the issuer is asked for. `None`: all that it has granted.
pub(super) fn scope_to_ask(family: &Family, live: &Live, asked: Option<&str>) -> Result<Option<String>, Fault> {
    let held = &family.said.scopes;
    let is_lost = |scope: &str| held.iter().any(|held| held == scope) && !live.holds(scope);
    let granted = || family.scope.split_ascii_whitespace().chain(held.iter().map(String::as_str));
    if let Some(asked) = asked {
        // Never more than was granted (RFC 6749, section 6).
        let is_good = |scope: &str| granted().any(|granted| granted == scope) && !is_lost(scope);
        let is_allowed = asked.split_ascii_whitespace().all(is_good);
        return if is_allowed { Ok(Some(asked.to_owned())) } else { Err(Fault::InvalidScope) };
    }
    if !held.iter().any(|scope| is_lost(scope)) {
        return Ok(None);
    }
    if held.iter().all(|scope| is_lost(scope)) {
        return Err(Fault::InvalidGrant("the session has no scope left"));
    }
    let mut left: Vec<&str> = Vec::new();
    for scope in granted().filter(|scope| !is_lost(scope)) {
        if !left.contains(&scope) {
            left.push(scope);
        }
    }
    Ok(Some(left.join(" ")))
}

/// Answers with what the issuer has replied.
async fn replied(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    (upstream, client): (&Arc<Upstream>, &Client),
    used: Used,
    (attempt, reply, live): (u64, Reply, &Live),
) -> Result<Response, Fault> {
    match reply {
        Reply::Issued(members) => settle(service, tokens, upstream, used, (attempt, client, live), members).await,
        // It is definitive: there is nothing left to refresh.
        Reply::Refused(passed) if passed.error() == "invalid_grant" => {
            ending::gone(service, tokens, used).await;
            Ok(passed.into_response())
        }
        Reply::Refused(passed) => {
            withdraw(tokens, used, attempt).await;
            Ok(passed.into_response())
        }
        Reply::Out => {
            withdraw(tokens, used, attempt).await;
            Err(Fault::Unavailable)
        }
    }
}

/// Takes the issuer's answer over, on disk, before the client gets its own.
async fn settle(
    service: &Arc<Service>,
    tokens: &Arc<Tokens>,
    upstream: &Arc<Upstream>,
    used: Used,
    (attempt, client, live): (u64, &Client, &Live),
    members: Map<String, Value>,
) -> Result<Response, Fault> {
    let Used { id, mut family, version } = used;
    let made = make(service, tokens, upstream, (id, &mut family), (client, live), &members);
    let (handle, access, body) = match made {
        Ok(made) => made,
        Err(fault) => {
            family.rotation.withdraw(attempt);
            tokens.save(id, &family, Some(version)).await;
            return Err(fault);
        }
    };
    family.rotation.settle(attempt, handle.digest(), service.clock.now_ms());
    family.said.renewed_by(&access);
    family.answer = Some(Kept { body: body.clone(), by: client.by() });
    match tokens.save(id, &family, Some(version)).await {
        Written::As(_) => Ok(json(body)),
        // It took so long that another replica has asked as well: that one's answer is the family's.
        Written::Late | Written::Failed => Err(Fault::Unavailable),
    }
}

type Made = (Handle, super::said::Said, String);

fn make(
    service: &Arc<Service>,
    tokens: &Tokens,
    upstream: &Upstream,
    (id, family): (FamilyId, &mut Family),
    (client, live): (&Client, &Live),
    members: &Map<String, Value>,
) -> Result<Made, Fault> {
    let access = next_tokens(service, upstream, family, members)?;
    let generation = family.rotation.generation.saturating_add(1);
    let handle = Handle::make(&tokens.vault, id, generation).ok_or(Fault::Unavailable)?;
    let answer = answer(tokens, service, (members, &access), client, live, Some(&handle)).ok_or(Fault::Unavailable)?;
    let body = serde_json::to_string(&answer).map_err(|_| Fault::Server)?;
    Ok((handle, access.said, body))
}

fn json(body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    uncached(response)
}
