//! `/v1/events` and `/v1/sessions/{id}/events`: the events of the audit. Followed, they are server-sent events with ids: a
//! listener that comes back with the id of its last event goes on there, and one that asks for an instant begins there. What
//! it missed all the same is said in an event of its own; a slow listener never holds up another.

use super::admit::Watched;
use super::body::{Moment, query};
use super::page::given;
use super::problem::Problem;
use super::sessions::{id_of, no_session, record};
use crate::admins::{Admins, Pass, Scope};
use crate::audit::{History, Named, Next, OfSession, Position};
use crate::clock::rfc3339;
use crate::service::Service;
use crate::token::Token;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::{Extension, Json};
use futures_util::stream::{Stream, StreamExt, iter, unfold};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The latest events of one session, and since when none is missing.
pub(super) async fn of_session(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let id = id_of(&id)?;
    let record = record(&service, id).await?;
    let OfSession { events, held_since_ms } =
        service.audit.history().of(id, record.as_ref().map(|record| record.party()).as_ref());
    if record.is_none() && events.is_empty() {
        return Err(no_session());
    }
    let events: Vec<_> = events.iter().map(|event| Named(event)).collect();
    Ok(Json(json!({"events": events, "held_since": rfc3339(held_since_ms)})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    since: Option<String>,
}

pub(super) async fn listen(
    State(service): State<Arc<Service>>,
    Extension(pass): Extension<Pass>,
    Extension(Watched(token)): Extension<Watched>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Parameters { since } = query(&uri)?;
    let since_ms = match given(since).map(|text| Moment::read(&text)) {
        None => None,
        Some(Some(moment)) => Some(moment.ms),
        Some(None) => return Err(Problem::invalid("query: `since` must be an instant as RFC 3339 text")),
    };
    let history = Arc::clone(service.audit.history());
    let made = history.made();
    let (position, first) = begin(&history, &headers, since_ms);
    let ends_at = match &pass {
        Pass::Credential(_) => None,
        Pass::Token(_, until_ms) => {
            Instant::now().checked_add(Duration::from_millis(until_ms.saturating_sub(service.clock.now_ms())))
        }
    };
    let admins = service.admins.watch();
    let stop = service.stop.clone();
    let listener = Listener { service, token, history, position, made, pass, ends_at, admins, stop };
    let events = unfold(listener, |mut listener| async { Some((listener.next().await?, listener)) });
    Ok(Sse::new(iter([first]).chain(events).map(Ok)).keep_alive(KeepAlive::default()))
}

/// Where a listener begins, and its first event. Without data, that event only sets the listener's last id: otherwise,
/// what happened between two connections without any event would be missed silently.
fn begin(history: &History, headers: &HeaderMap, since_ms: Option<u64>) -> (Position, Event) {
    let named = headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| history.position(id)));
    let (position, is_whole) = match (named, since_ms) {
        // A listener that comes back has read what its `since` asked for.
        (Some(Some(position)), _) => (position, true),
        // Nobody knows what happened between that id, which is from before a restart, and the oldest event here.
        (Some(None), _) => (history.start(), false),
        (None, Some(since_ms)) => history.since(since_ms),
        (None, None) => (history.end(), true),
    };
    let lost = || lagged(&json!({"missed": null, "held_since": rfc3339(history.held_since_ms())}));
    let first = if is_whole { Event::default() } else { lost() };
    (position, first.id(history.id(position)))
}

fn lagged(data: &Value) -> Event {
    Event::default().event("lagged").data(data.to_string())
}

/// Waits for an instant; for ever without one.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

struct Listener {
    service: Arc<Service>,
    /// The token that it has presented, as that of a session.
    token: Option<Arc<Token>>,
    history: Arc<History>,
    position: Position,
    made: watch::Receiver<u64>,
    /// What it has presented, and when that is no longer good.
    pass: Pass,
    ends_at: Option<Instant>,
    admins: watch::Receiver<Admins>,
    stop: watch::Receiver<bool>,
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let now_ms = self.service.clock.now_ms();
            if self.token.as_ref().is_some_and(|token| self.service.registry.is_taken_back(token, now_ms)) {
                return None;
            }
            if let Some(next) = self.history.next(&mut self.position) {
                let event = match next {
                    Next::Event(event) => {
                        let data = serde_json::to_string(&*event).unwrap_or_default();
                        Event::default().event(event.kind.as_str()).data(data)
                    }
                    Next::Missed(missed) => lagged(&json!({"missed": missed})),
                };
                return Some(event.id(self.history.id(self.position)));
            }
            tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => return None,
                made = self.made.changed() => made.ok()?,
                _ = self.admins.changed() => {
                    self.admins.borrow().still_let_in(&self.pass, Scope::View).then_some(())?;
                }
                () = at(self.ends_at) => return None,
            }
        }
    }
}
