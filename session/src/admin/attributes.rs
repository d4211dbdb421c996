//! `/v1/attributes`: facts about sessions, devices and subjects, for scripts and risk engines.

use super::body::{Input, Moment, query};
use super::problem::{Code, Problem};
use super::sessions::{id_of, live};
use crate::admins::Caller;
use crate::attributes::{ACR, ADMIN, Attribute, Fact, HELD_MAX, Holder, Standing, TEXT_BYTES_MAX, Value, is_name};
use crate::clock::rfc3339;
use crate::service::Service;
use crate::signals::is_party_name;
use crate::writer::NoRoom;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An attribute as the admin API shows it.
#[derive(Serialize)]
pub(super) struct AttributeView {
    name: String,
    value: Value,
    source: String,
    /// What it is about; only where a session is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'static str>,
    set_at: String,
    /// Absent when it holds until it is changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl AttributeView {
    fn new(name: String, source: String, fact: Fact) -> Self {
        let Fact { value, set_at_ms, expires_at_ms, .. } = fact;
        let (set_at, expires_at) = (rfc3339(set_at_ms), expires_at_ms.map(rfc3339));
        Self { name, value, source, of: None, set_at, expires_at }
    }

    /// One that holds for a session.
    pub(super) fn of(name: String, Standing { holder, source, fact }: Standing) -> Self {
        Self { of: Some(holder.kind()), ..Self::new(name, source, fact) }
    }
}

#[derive(Serialize)]
pub(super) struct ListView {
    attributes: Vec<AttributeView>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfIssuer {
    issuer: Option<String>,
}

/// The holder that a path and its query name.
fn holder(kind: &str, id: String, uri: &Uri) -> Result<Holder, Problem> {
    let OfIssuer { issuer } = query(uri).map_err(Problem::unacceptable)?;
    let is_named = is_party_name(&id);
    match (kind, issuer) {
        ("session", None) => Ok(Holder::Session(id_of(&id)?)),
        ("session", Some(_)) => Err(Problem::unprocessable("query: `issuer` is not allowed for a session")),
        ("subject" | "device", None) => Err(Problem::unprocessable("query: `issuer` is missing")),
        ("subject" | "device", Some(issuer)) if issuer.is_empty() || !is_named => {
            Err(Problem::unprocessable("the id in the path and `issuer` must be valid names"))
        }
        ("subject", Some(issuer)) => Ok(Holder::Subject { issuer, subject: id }),
        ("device", Some(issuer)) => Ok(Holder::Device { issuer, device: id }),
        _ => Err(Problem::new(Code::NotFound, "attributes are about a `session`, a `subject` or a `device`")),
    }
}

/// The same, and for a session its session claim, which signals name it by.
fn all_of(service: &Service, holder: &Holder) -> Vec<Holder> {
    let session = match holder {
        Holder::Session(id) => service.registry.find(*id),
        Holder::Sid { .. } | Holder::Device { .. } | Holder::Subject { .. } => None,
    };
    let by_sid = session.and_then(|session| {
        let issuer = session.issuer.to_string();
        Some(Holder::Sid { issuer, sid: session.bearer().sid()?.to_owned() })
    });
    [holder.clone()].into_iter().chain(by_sid).collect()
}

/// What is known of a holder now, by name: of several sources, what the latest one says.
fn known(service: &Service, holder: &Holder) -> BTreeMap<String, (String, Fact)> {
    let (now_ms, mut known) = (service.clock.now_ms(), BTreeMap::<String, (String, Fact)>::new());
    for holder in all_of(service, holder) {
        for ((name, source), fact) in service.registry.attributes_at(&holder) {
            // What a signal says in the same millisecond goes before what was set here.
            let is_later = known.get(&name).is_none_or(|(_, held)| held.set_at_ms <= fact.set_at_ms);
            if fact.holds_at(now_ms) && is_later {
                known.insert(name, (source, fact));
            }
        }
    }
    known
}

/// The attributes of a holder.
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Path((kind, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Json<ListView>, Problem> {
    let holder = holder(&kind, id, &uri)?;
    let facts = known(&service, &holder).into_iter();
    Ok(Json(ListView {
        attributes: facts.map(|(name, (source, fact))| AttributeView::new(name, source, fact)).collect(),
    }))
}

/// One of them.
pub(super) async fn read(
    State(service): State<Arc<Service>>,
    Path((kind, id, name)): Path<(String, String, String)>,
    uri: Uri,
) -> Result<Json<AttributeView>, Problem> {
    let (source, fact) = known(&service, &holder(&kind, id, &uri)?).remove(&name).ok_or_else(none)?;
    Ok(Json(AttributeView::new(name, source, fact)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Set {
    value: serde_json::Value,
    expires_at: Option<Moment>,
}

/// Sets one.
pub(super) async fn set(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path((kind, id, name)): Path<(String, String, String)>,
    uri: Uri,
    input: Result<Input<Set>, Problem>,
) -> Result<Json<AttributeView>, Problem> {
    let (holder, now_ms) = (holder(&kind, id, &uri)?, service.clock.now_ms());
    let Input(Set { value, expires_at }) = input.map_err(Problem::unacceptable)?;
    if !is_name(&name) {
        return Err(Problem::unprocessable(
            "a name is a lower-case letter and up to 63 lower-case letters, digits, `_`, `.` and `-`",
        ));
    }
    let value = Value::read(&value).ok_or_else(|| {
        Problem::unprocessable(format!(
            "body: `value` must be a text of at most {TEXT_BYTES_MAX} bytes, a number, or a boolean"
        ))
    })?;
    if let Holder::Session(id) = holder {
        live(&service, id).await?;
    }
    let expires_at_ms = expires_at.map(|moment| moment.ms);
    if expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
        return Err(Problem::unprocessable("body: `expires_at` has passed"));
    }
    let login_until_ms = (name == ACR).then(|| service.registry.login_until_ms(&holder, now_ms));
    let fact = Fact { value, set_at_ms: now_ms, expires_at_ms, login_until_ms };
    let source = ADMIN.to_owned();
    let attribute = Attribute { holder, name: name.clone(), source: source.clone(), fact: Some(fact.clone()) };
    match service.writer.by(caller.actor()).attribute(attribute).await? {
        Ok(()) => Ok(Json(AttributeView::new(name, source, fact))),
        Err(NoRoom) => {
            Err(Problem::unprocessable(format!("it already has {HELD_MAX} attributes, and cannot have more")))
        }
    }
}

/// Removes one, whoever has stated it.
pub(super) async fn remove(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path((kind, id, name)): Path<(String, String, String)>,
    uri: Uri,
) -> Result<Json<AttributeView>, Problem> {
    let holder = holder(&kind, id, &uri)?;
    let (stood, writer) = (known(&service, &holder).remove(&name), service.writer.by(caller.actor()));
    for holder in all_of(&service, &holder) {
        let sources = service.registry.attributes_at(&holder).into_keys().filter(|(of, _)| *of == name);
        for (name, source) in sources {
            let ended = Attribute { holder: holder.clone(), name, source, fact: None };
            // What ends needs no room.
            let (Ok(()) | Err(NoRoom)) = writer.attribute(ended).await?;
        }
    }
    let (source, fact) = stood.ok_or_else(none)?;
    Ok(Json(AttributeView::new(name, source, fact)))
}

fn none() -> Problem {
    Problem::new(Code::NotFound, "there is no such attribute")
}
