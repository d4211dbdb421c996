//! `/v1/revocations`: revocations of a whole party: made, listed, taken back.

use super::body::{Input, Moment};
use super::page;
use super::party::{PartyView, named};
use super::problem::{Code, Problem};
use super::seen::Seen;
use crate::admins::Caller;
use crate::clock::rfc3339;
use crate::made_by::MadeBy;
use crate::per_party::OfParty;
use crate::revocations::Revocation;
use crate::service::Service;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How far ahead of now a `before` may lie without `force`: as far as a policy may let an issuer's clock be ahead. A later
/// one would lock the party out until then.
const AHEAD_MS_MAX: u64 = 60_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    issuer: String,
    subject: Option<String>,
    client_id: Option<String>,
    sid: Option<String>,
    before: Option<Moment>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    reason: String,
}

/// A revocation as the admin API shows it.
#[derive(Serialize)]
pub(super) struct RevocationView {
    id: String,
    /// That of a session that was not seen is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    issuer: String,
    #[serde(flatten)]
    party: PartyView,
    before: String,
    made_at: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// Absent when a signal has made it, or when nobody has noted who has.
    #[serde(skip_serializing_if = "MadeBy::is_nobody")]
    by: MadeBy,
}

impl From<Revocation> for RevocationView {
    fn from(revocation: Revocation) -> Self {
        Self {
            id: revocation.id(),
            party: revocation.party.into(),
            before: rfc3339(revocation.before_ms),
            made_at: rfc3339(revocation.made_at_ms),
            issuer: revocation.issuer,
            reason: revocation.reason,
            by: revocation.by,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Made {
    #[serde(flatten)]
    revocation: RevocationView,
    /// Live sessions that it ended.
    revoked: usize,
    #[serde(flatten)]
    seen: Seen,
}

pub(super) async fn make(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Input(input): Input<Asked>,
) -> Result<Json<Made>, Problem> {
    let party = named(&input.issuer, input.subject.as_ref(), input.client_id.as_ref(), input.sid.as_ref())?;
    let made_at_ms = service.clock.now_ms();
    let ends_at_ms = service.registry.instant_of(&input.issuer, &party, made_at_ms);
    let before_ms = input.before.map_or(ends_at_ms, |moment| moment.ms);
    if before_ms > ends_at_ms.max(made_at_ms.saturating_add(AHEAD_MS_MAX)) && !input.force {
        return Err(Problem::invalid(
            "body: `before` is more than a minute ahead, and would lock everybody out until then: omit `before`, or set `force`",
        ));
    }
    let revocation = Revocation {
        issuer: input.issuer,
        party,
        before_ms,
        made_at_ms,
        ends_at_ms,
        reason: input.reason,
        by: MadeBy::admin(&caller.name),
    };
    let revoked = service.writer.by(caller.actor()).revoke_party(revocation.clone()).await?;
    // Ended sessions are only looked through if no live one was ended.
    let seen = if revoked > 0 {
        Seen::YES
    } else {
        let made = revocation.clone();
        Seen::of(&service, revocation.issuer.clone(), move |bearer| made.is_about(bearer)).await
    };
    // A stricter one of the same party may stand.
    let stands = service.registry.revocation(&revocation.id()).unwrap_or(revocation);
    Ok(Json(Made { revocation: stands.into(), revoked, seen }))
}

#[derive(Serialize)]
pub(super) struct ListView {
    revocations: Vec<RevocationView>,
    /// The cursor of the next page, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Json<ListView>, Problem> {
    let asked = page::Asked::of(&uri)?;
    let (page, has_more) = service.registry.revocations_page(asked.after.as_deref(), asked.limit);
    let next = page::next(&page, has_more);
    Ok(Json(ListView { revocations: page.into_iter().map(|(_, revocation)| revocation.into()).collect(), next }))
}

/// Takes a revocation back. The sessions that it ended stay ended.
pub(super) async fn lift(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<RevocationView>, Problem> {
    // Another one of the same party may be made meanwhile: that one is what the caller means now.
    while let Some(revocation) = service.registry.revocation(&id) {
        if service.writer.by(caller.actor()).lift(revocation.clone()).await? {
            return Ok(Json(revocation.into()));
        }
    }
    Err(Problem::new(Code::NotFound, "there is no revocation with that id"))
}
