//! The scopes of parties: `PATCH /v1/sessions/{id}` and `/v1/narrowings`.
//!
//! `scopes` sets all that is left, `remove` and `restore` change what is left. The latter are applied by the writer to what
//! holds then, so that two callers never undo each other's change.

use super::body::Input;
use super::page;
use super::problem::{Code, Problem};
use super::seen::Seen;
use super::sessions::{id_of, live, no_session, record, scopes_of, shown};
use super::view::SessionView;
use crate::admins::Caller;
use crate::clock::rfc3339;
use crate::intern::ScopeSet;
use crate::made_by::MadeBy;
use crate::narrowings::{Narrowing, Party, ScopeChange};
use crate::revocations::Bearer;
use crate::service::Service;
use crate::writer::HeldBack;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use portcullis_contract::SessionId;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// `null` lifts the narrowing, which is not the same as leaving it out.
    #[serde(default, deserialize_with = "given")]
    scopes: Option<Option<Vec<String>>>,
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    restore: Vec<String>,
    #[serde(default)]
    reason: String,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Vec<String>>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes the scopes of the party of a session.
pub(super) async fn change(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Input(input): Input<Change>,
) -> Result<Json<SessionView>, Problem> {
    let id = id_of(&id)?;
    match (input.scopes, input.remove.is_empty() && input.restore.is_empty()) {
        (Some(scopes), true) if input.reason.is_empty() => set(&service, &caller, id, scopes).await?,
        (None, false) => {
            let record = record(&service, id).await?.ok_or_else(no_session)?;
            let change = change_of(
                record.party(),
                &input.remove,
                &input.restore,
                input.reason,
                (&caller, service.clock.now_ms()),
            )?;
            let changed = ScopeSet::new(change.remove.iter().chain(&change.restore));
            within(&changed, &ScopeSet::new(&record.granted))?;
            make(&service, &caller, change).await?;
        }
        _ => {
            return Err(Problem::invalid("body: specify either `scopes`, or `remove` and `restore` (with a `reason`)"));
        }
    }
    shown(&service, id).await
}

async fn set(
    service: &Arc<Service>,
    caller: &Caller,
    id: SessionId,
    scopes: Option<Vec<String>>,
) -> Result<(), Problem> {
    let scopes = scopes.as_deref().map(scopes_of).transpose()?;
    let session = live(service, id).await?;
    if let Some(scopes) = &scopes {
        within(scopes, &session.granted())?;
    }
    let scopes = scopes.map(|scopes| scopes.to_vec());
    let made_at_ms = Some(service.clock.now_ms());
    let by = MadeBy::admin(&caller.name);
    let narrowing = Narrowing { scopes, made_at_ms, by, ..Narrowing::none(session.party()) };
    service.writer.by(caller.actor()).narrow(narrowing).await?;
    Ok(())
}

fn within(scopes: &ScopeSet, granted: &ScopeSet) -> Result<(), Problem> {
    let beyond: Vec<&str> = scopes.beyond(granted).collect();
    match beyond.is_empty() {
        true => Ok(()),
        false => Err(Problem::new(Code::ScopesBeyondGrant, format!("beyond its grant: `{}`", beyond.join(" ")))),
    }
}

fn change_of(
    party: Party,
    remove: &[String],
    restore: &[String],
    reason: String,
    (by, made_at_ms): (&Caller, u64),
) -> Result<ScopeChange, Problem> {
    let (removed, restored) = (scopes_of(remove)?, scopes_of(restore)?);
    match removed.and(&restored).first() {
        Some(both) => Err(Problem::invalid(format!("body: `{both}` is in both `remove` and `restore`"))),
        None => {
            let by = MadeBy::admin(&by.name);
            Ok(ScopeChange { party, remove: removed.to_vec(), restore: restored.to_vec(), reason, made_at_ms, by })
        }
    }
}

async fn make(service: &Service, caller: &Caller, change: ScopeChange) -> Result<Narrowing, Problem> {
    service.writer.by(caller.actor()).change_scopes(change).await?.map_err(|HeldBack(scopes)| {
        let scopes = scopes.join(" ");
        let detail = format!("`{scopes}` is taken from the subject with every client: restore it without a client");
        Problem::new(Code::NarrowedForEveryClient, detail)
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartyChange {
    issuer: String,
    subject: String,
    client_id: Option<String>,
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    restore: Vec<String>,
    #[serde(default)]
    reason: String,
}

/// A narrowing as the admin API shows it.
#[derive(Serialize)]
pub(super) struct NarrowingView {
    id: String,
    issuer: String,
    subject: String,
    /// Absent when it holds for every client of the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// The key of its only session, when that has neither subject nor client.
    #[serde(skip_serializing_if = "String::is_empty")]
    key: String,
    /// All that is left, if a caller has set that.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    removed: Vec<String>,
    /// What the latest signal of each transmitter has left.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    signalled: BTreeMap<String, Vec<String>>,
    /// When scopes were last taken, if that is known and any are.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_at: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// Who took them, if somebody has noted that.
    #[serde(skip_serializing_if = "MadeBy::is_nobody")]
    by: MadeBy,
}

impl From<Narrowing> for NarrowingView {
    fn from(narrowing: Narrowing) -> Self {
        let made_at = narrowing.made_at_ms.filter(|_| !narrowing.is_lifted()).map(rfc3339);
        let Narrowing { party, scopes, removed, signalled, reason, by, .. } = narrowing;
        Self {
            id: party.id(),
            client_id: (!party.every_client).then_some(party.client),
            issuer: party.issuer,
            subject: party.subject,
            key: party.key,
            scopes,
            removed,
            signalled,
            made_at,
            reason,
            by,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ChangedParty {
    #[serde(flatten)]
    narrowing: NarrowingView,
    #[serde(flatten)]
    seen: Seen,
}

/// Changes the scopes of a party, seen or not.
pub(super) async fn change_party(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Input(input): Input<PartyChange>,
) -> Result<Json<ChangedParty>, Problem> {
    let is_named = !input.issuer.is_empty() && !input.subject.is_empty() && input.client_id.as_deref() != Some("");
    if !is_named {
        return Err(Problem::invalid("body: `issuer`, `subject` and `client_id` must not be empty"));
    }
    if input.remove.is_empty() && input.restore.is_empty() {
        return Err(Problem::invalid("body: specify `remove` or `restore`, or both"));
    }
    let party = match &input.client_id {
        Some(client) => Party::of(&input.issuer, &input.subject, client, ""),
        None => Party::of_subject(&input.issuer, &input.subject),
    };
    let now_ms = service.clock.now_ms();
    let change = change_of(party.clone(), &input.remove, &input.restore, input.reason, (&caller, now_ms))?;
    let narrowing = make(&service, &caller, change).await?;
    let is_theirs =
        move |bearer: Bearer<'_>| party.covers(&Party::of(bearer.issuer, bearer.subject, bearer.client, bearer.key));
    let seen = Seen::of(&service, input.issuer, is_theirs).await;
    Ok(Json(ChangedParty { narrowing: narrowing.into(), seen }))
}

#[derive(Serialize)]
pub(super) struct ListView {
    narrowings: Vec<NarrowingView>,
    /// The cursor of the next page, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The narrowings that hold.
pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Json<ListView>, Problem> {
    let asked = page::Asked::of(&uri)?;
    let (page, has_more) = service.registry.narrowings_page(asked.after.as_deref(), asked.limit);
    let next = page::next(&page, has_more);
    Ok(Json(ListView { narrowings: page.into_iter().map(|(_, narrowing)| narrowing.into()).collect(), next }))
}
