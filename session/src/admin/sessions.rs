//! `/v1/sessions`: open, list, read, revoke.

use super::attributes::AttributeView;
use super::body::{Input, Moment, query};
use super::page::{given, limit_of};
use super::problem::{Code, Problem};
use super::view::{ListView, SessionView};
use crate::access::Access;
use crate::admins::Caller;
use crate::audit::EndedBy;
use crate::intern::ScopeSet;
use crate::registry::{Filter, Ids, NotOpened, Order, Place};
use crate::service::Service;
use crate::session::Session;
use crate::store::Record;
use crate::token::Token;
use crate::writer::Opening;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use portcullis_contract::{KeyKind, SessionId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The kind of a key. Left out, a key that is the name of the client is a machine's.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Claim,
    Login,
    Machine,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    issuer: String,
    key: String,
    kind: Option<Kind>,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    scopes: Vec<String>,
    access: Option<String>,
    auth_time: Option<Moment>,
}

pub(super) async fn open(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Input(input): Input<Open>,
) -> Result<Json<SessionView>, Problem> {
    let now_ms = service.clock.now_ms();
    let named = input.access.clone();
    let token = token_of(input, &service, now_ms)?;
    let access = access_of(named.as_deref(), &token, &service)?;
    let opening = Opening { token, access, now_ms };
    let session = service.writer.by(caller.actor()).open(opening).await??;
    Ok(Json(session.record().into()))
}

/// What a token would say of a session that the admin API opens.
fn token_of(input: Open, service: &Service, now_ms: u64) -> Result<Token, Problem> {
    if input.issuer.is_empty() || input.key.is_empty() {
        return Err(Problem::invalid("body: `issuer` and `key` must not be empty"));
    }
    let names = service.registry.names();
    let is_machine = input.key == input.client_id && (input.subject.is_empty() || input.subject == input.client_id);
    let (kind, grant) = match input.kind {
        Some(Kind::Machine) => (KeyKind::Machine, "client_credentials"),
        None if is_machine => (KeyKind::Machine, "client_credentials"),
        Some(Kind::Login) => (KeyKind::Login, ""),
        Some(Kind::Claim) | None => (KeyKind::Claim, ""),
    };
    Ok(Token {
        id: SessionId::of(kind, &input.issuer, &input.key, &input.client_id),
        issuer: names.name(&input.issuer),
        kind,
        key: input.key.into(),
        subject: input.subject.into(),
        client: names.name(&input.client_id),
        scopes: names.scopes(scopes_of(&input.scopes)?),
        issued_at_ms: now_ms,
        // It stands for no token of a client, and none is minted for it.
        expires_at_ms: now_ms,
        authenticated_ms: input.auth_time.map(|moment| moment.ms.min(now_ms)),
        start_ms: input.auth_time.map_or(now_ms, |moment| moment.ms.min(now_ms)),
        grant: names.name(grant),
        email: "".into(),
        digest: 0,
        acr: "".into(),
        further: None,
    })
}

fn access_of(named: Option<&str>, token: &Token, service: &Service) -> Result<Arc<Access>, Problem> {
    let types = service.registry.access();
    match named {
        Some(name) => {
            types.named(name).ok_or_else(|| Problem::invalid(format!("body: there is no access type `{name}`")))
        }
        None => types
            .of(&token.scopes, &token.client, &token.grant)
            .ok_or_else(|| Problem::invalid("body: no access type matches the session: name one in `access`")),
    }
}

pub(super) fn scopes_of(scopes: &[String]) -> Result<ScopeSet, Problem> {
    // RFC 6749, section 3.3.
    let is_token = |scope: &str| {
        let is_char = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
        !scope.is_empty() && scope.chars().all(is_char)
    };
    match scopes.iter().find(|scope| !is_token(scope)) {
        Some(wrong) => Err(Problem::invalid(format!("body: `{wrong}` is not a scope"))),
        None => Ok(ScopeSet::new(scopes)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    subject: Option<String>,
    client_id: Option<String>,
    sid: Option<String>,
    state: Option<String>,
    id_prefix: Option<String>,
    order: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Json<ListView>, Problem> {
    let listing: Listing = query(&uri)?;
    let limit = limit_of(listing.limit)?;
    let active = match given(listing.state).as_deref() {
        None => None,
        Some("active") => Some(true),
        Some("ended") => Some(false),
        Some(_) => return Err(Problem::invalid("query: `state` must be `active` or `ended`")),
    };
    let order = match given(listing.order).as_deref() {
        None | Some("id") => Order::Id,
        Some("newest") => Order::Newest,
        Some(_) => return Err(Problem::invalid("query: `order` must be `id` or `newest`")),
    };
    let after = match given(listing.cursor).map(|cursor| Place::read(order, &cursor)) {
        None => None,
        Some(Some(place)) => Some(place),
        Some(None) => {
            return Err(Problem::invalid("query: `cursor` is not one that this API has returned in this order"));
        }
    };
    let ids = match given(listing.id_prefix).map(|prefix| Ids::beginning_with(&prefix)) {
        None => Ids::default(),
        Some(Some(ids)) => ids,
        Some(None) => return Err(Problem::invalid("query: `id_prefix` must be 1 to 32 lower-case hexadecimal digits")),
    };
    let filter = Filter {
        subject: given(listing.subject),
        client_id: given(listing.client_id),
        sid: given(listing.sid),
        active,
        ids,
    };
    let now_ms = service.clock.now_ms();
    // The others read a part only.
    let reads_all_ended = order == Order::Newest && active != Some(true);
    let turn = if reads_all_ended { Some(Arc::clone(&service.long_list).lock_owned().await) } else { None };
    let listed = Arc::clone(&service);
    let listing = move || {
        let _turn = turn;
        listed.registry.page(&filter, order, after, limit, now_ms)
    };
    let page = blocking(listing).await??;
    let view = |record| SessionView::of(record, &service.registry, now_ms);
    Ok(Json(ListView {
        sessions: page.sessions.into_iter().map(view).collect(),
        next: page.next.map(|place| place.cursor(order)),
    }))
}

pub(super) async fn read(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<SessionView>, Problem> {
    let id = id_of(&id)?;
    shown(&service, id).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    #[serde(default)]
    reason: String,
}

/// A session that was revoked before it was seen.
#[derive(Serialize)]
struct UnseenView {
    id: String,
    known: bool,
}

pub(super) async fn revoke(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Input(input): Input<Revoke>,
) -> Result<Response, Problem> {
    let id = id_of(&id)?;
    let writer = service.writer.by(caller.actor());
    let record = writer.revoke_id(id, &input.reason, service.clock.now_ms()).await?;
    Ok(match record {
        Some(record) => Json(SessionView::from(*record)).into_response(),
        None => Json(UnseenView { id: id.to_string(), known: false }).into_response(),
    })
}

pub(super) async fn live(service: &Arc<Service>, id: SessionId) -> Result<Arc<Session>, Problem> {
    let now_ms = service.clock.now_ms();
    let ended = match service.registry.find(id) {
        Some(session) => match service.registry.settle(&session, now_ms, EndedBy::Judge) {
            None => return Ok(session),
            Some(end) => Some(end),
        },
        None => record(service, id).await?.and_then(|record| record.ended),
    };
    Err(match ended {
        Some(end) => NotOpened::Ended(end.reason).into(),
        None => no_session(),
    })
}

pub(super) async fn shown(service: &Arc<Service>, id: SessionId) -> Result<Json<SessionView>, Problem> {
    let record = record(service, id).await?.ok_or_else(no_session)?;
    let now_ms = service.clock.now_ms();
    let narrowings = service.registry.narrowings_of(&record.party());
    let attributes = service.registry.attributes_of(record.bearer(), now_ms);
    let blocks = service.registry.blocks_of(record.bearer(), now_ms);
    let mut view = SessionView::of(record, &service.registry, now_ms);
    view.blocks = blocks.into_iter().map(Into::into).collect();
    view.narrowings = narrowings.into_iter().map(Into::into).collect();
    view.attributes = attributes.into_iter().map(|(name, held)| AttributeView::of(name, held)).collect();
    Ok(Json(view))
}

/// One session, live or ended. One that is not known here may just have opened at another replica.
pub(super) async fn record(service: &Arc<Service>, id: SessionId) -> Result<Option<Record>, Problem> {
    let read = || {
        let service = Arc::clone(service);
        blocking(move || service.registry.read(id, service.clock.now_ms()))
    };
    match read().await?? {
        None if service.registry.lease().is_shared() => {
            service.writer.caught_up().await?;
            Ok(read().await??)
        }
        found => Ok(found),
    }
}

pub(super) fn id_of(text: &str) -> Result<SessionId, Problem> {
    text.parse().map_err(|_| no_session())
}

pub(super) fn no_session() -> Problem {
    Problem::new(Code::NotFound, "there is no session with that id")
}

/// Runs what walks over all sessions on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Problem::new(Code::Internal, "the request was not processed"))
}
