//! `/v1/signals/held`: signals that are held because their transmitter has sent too many, and what becomes of them.

use super::body::query;
use super::page::{given, limit_of, next};
use super::problem::{Code, Problem};
use crate::admins::Caller;
use crate::attributes::Value;
use crate::clock::rfc3339;
use crate::held::HeldSignal;
use crate::registry::Registry;
use crate::service::Service;
use crate::signals::{Deed, drop_held, release as carry_out};
use crate::writer::NotWritten;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Serialize)]
struct User {
    issuer: String,
    subject: String,
}

#[derive(Serialize)]
struct Sid {
    issuer: String,
    sid: String,
}

#[derive(Serialize)]
struct Device {
    issuer: String,
    device: String,
}

/// A held signal as the admin API shows it.
#[derive(Serialize)]
struct HeldView {
    id: String,
    transmitter: String,
    event: String,
    actions: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    users: Vec<User>,
    /// How many e-mail addresses it names: `users` has whom they name now.
    #[serde(skip_serializing_if = "is_zero")]
    emails: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sids: Vec<Sid>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<Device>,
    /// The scopes that it leaves, by the issuer of the tokens.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    scopes: BTreeMap<String, Vec<String>>,
    /// What a login is to count as.
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<String>,
    /// Attributes, by name; null: it removes them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, Option<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    received_at: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl HeldView {
    fn of(held: HeldSignal, registry: &Registry) -> Self {
        let HeldSignal { id, transmitter, jti, received_at_ms, order, .. } = held;
        let actions = order.actions();
        let parties = order.parties.found(registry);
        let (mut scopes, mut acr, mut attributes) = (BTreeMap::new(), None, BTreeMap::new());
        for deed in order.deeds {
            match deed {
                Deed::Narrow(left) => scopes.extend(left),
                Deed::StepUp { acr: context, .. } => acr = Some(context),
                Deed::Attribute { facts, .. } => attributes.extend(facts),
                Deed::End | Deed::EndOthers | Deed::Block | Deed::Unblock => {}
            }
        }
        Self {
            id,
            transmitter,
            event: order.event,
            actions,
            emails: parties.emails.len(),
            scopes,
            acr,
            attributes,
            users: parties.users.into_iter().map(|(issuer, subject)| User { issuer, subject }).collect(),
            sids: parties.sids.into_iter().map(|(issuer, sid)| Sid { issuer, sid }).collect(),
            devices: parties.devices.into_iter().map(|(issuer, device)| Device { issuer, device }).collect(),
            jti,
            reason: order.reason,
            received_at: rfc3339(received_at_ms),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    transmitter: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ListView {
    held: Vec<HeldView>,
    /// The cursor of the next page, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The held signals, the oldest first.
pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Json<ListView>, Problem> {
    let Listing { transmitter, limit, cursor } = query(&uri)?;
    let (transmitter, after, limit) = (given(transmitter), given(cursor), limit_of(limit)?);
    let (page, has_more) = service.registry.held_page(transmitter.as_deref(), after.as_deref(), limit);
    let next = next(&page, has_more);
    let held = page.into_iter().map(|(_, signal)| HeldView::of(signal, &service.registry)).collect();
    Ok(Json(ListView { held, next }))
}

/// What has become of a signal that was held.
#[derive(Serialize)]
pub(super) struct Became {
    id: String,
    transmitter: String,
    event: String,
    fate: &'static str,
    /// Live sessions that it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<usize>,
}

impl Became {
    fn new(held: HeldSignal, fate: &'static str, ended: Option<usize>) -> Self {
        let HeldSignal { id, transmitter, order, .. } = held;
        Self { id, transmitter, event: order.event, fate, ended }
    }
}

/// Puts a held signal into effect.
pub(super) async fn release(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<Became>, Problem> {
    let held = service.registry.held_signal(&id).ok_or_else(gone)?;
    let (made, done) = to_its_end(held, async move |held| carry_out(&service, &held, caller.actor()).await).await?;
    let done = done.ok_or_else(gone)?;
    Ok(Json(Became::new(made, done.fate(), Some(done.ended))))
}

/// Drops one.
pub(super) async fn drop(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<Became>, Problem> {
    let held = service.registry.held_signal(&id).ok_or_else(gone)?;
    match to_its_end(held, async move |held| drop_held(&service, &held, caller.actor()).await).await? {
        (held, true) => Ok(Json(Became::new(held, "dropped", None))),
        (_, false) => Err(gone()),
    }
}

/// Decides about a signal also where the caller does not wait for it: what was done is reported.
async fn to_its_end<T: Send + 'static, F>(
    held: HeldSignal,
    decide: impl FnOnce(HeldSignal) -> F,
) -> Result<(HeldSignal, T), Problem>
where
    F: Future<Output = Result<T, NotWritten>> + Send + 'static,
{
    let done = tokio::spawn(decide(held.clone())).await;
    Ok((held, done.map_err(|_| Problem::new(Code::Internal, "the request was not processed"))??))
}

fn gone() -> Problem {
    Problem::new(Code::NotFound, "no signal with that id is held")
}
