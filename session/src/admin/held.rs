//! `/v1/signals/held`: signals that are held because their transmitter has sent too many, and what becomes of them.

use super::body::query;
use super::page::{given, limit_of, next};
use super::problem::{Code, Problem};
use crate::clock::rfc3339;
use crate::held::HeldSignal;
use crate::service::Service;
use crate::signals::{drop_held, release as carry_out};
use crate::writer::NotWritten;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::{Deserialize, Serialize};
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sids: Vec<Sid>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<Device>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    received_at: String,
}

impl From<HeldSignal> for HeldView {
    fn from(held: HeldSignal) -> Self {
        let HeldSignal { id, transmitter, jti, received_at_ms, order, .. } = held;
        let actions = order.actions();
        let parties = order.parties;
        Self {
            id,
            transmitter,
            event: order.event,
            actions,
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
    Ok(Json(ListView { held: page.into_iter().map(|(_, signal)| signal.into()).collect(), next }))
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
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<Became>, Problem> {
    let held = service.registry.held_signal(&id).ok_or_else(gone)?;
    let (made, done) = to_its_end(held, async move |held| carry_out(&service, &held).await).await?;
    let done = done.ok_or_else(gone)?;
    Ok(Json(Became::new(made, done.fate(), Some(done.ended))))
}

/// Drops one.
pub(super) async fn drop(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Result<Json<Became>, Problem> {
    let held = service.registry.held_signal(&id).ok_or_else(gone)?;
    match to_its_end(held, async move |held| drop_held(&service, &held).await).await? {
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
