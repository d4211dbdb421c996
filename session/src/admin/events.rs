//! `/v1/events`: the events of the audit, as server-sent events with ids. A listener that comes back with the id of its last
//! event goes on there. What it missed all the same is said in an event of its own; a slow listener never holds up another.

use crate::audit::{History, Next, Position};
use crate::credential::{Credentials, Presented};
use crate::service::Service;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, StreamExt, iter, unfold};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;

pub(super) async fn listen(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let history = Arc::clone(service.audit.history());
    let made = history.made();
    let (position, first) = begin(&history, &headers);
    let credentials = service.admin_credential.watch();
    let presented = Presented::read(&headers);
    let listener = Listener { history, position, made, presented, credentials, stop: service.stop.clone() };
    let events = unfold(listener, |mut listener| async { Some((listener.next().await?, listener)) });
    Sse::new(iter([first]).chain(events).map(Ok)).keep_alive(KeepAlive::default())
}

/// Where a listener begins, and its first event. Without data, that event only sets the listener's last id: otherwise,
/// what happened between two connections without any event would be missed silently.
fn begin(history: &History, headers: &HeaderMap) -> (Position, Event) {
    let named = headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| history.position(id)));
    let (position, is_gap) = match named {
        None => (history.end(), false),
        Some(Some(position)) => (position, false),
        // Nobody knows what happened between that id, which is from before a restart, and the oldest event here.
        Some(None) => (history.start(), true),
    };
    let first = if is_gap { lagged("null") } else { Event::default() };
    (position, first.id(history.id(position)))
}

fn lagged(missed: &str) -> Event {
    Event::default().event("lagged").data(format!("{{\"missed\":{missed}}}"))
}

struct Listener {
    history: Arc<History>,
    position: Position,
    made: watch::Receiver<u64>,
    presented: Option<Presented>,
    credentials: watch::Receiver<Credentials>,
    stop: watch::Receiver<bool>,
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(next) = self.history.next(&mut self.position) {
                let event = match next {
                    Next::Event(event) => {
                        let data = serde_json::to_string(&event).unwrap_or_default();
                        Event::default().event(event.kind.as_str()).data(data)
                    }
                    Next::Missed(missed) => lagged(&missed.to_string()),
                };
                return Some(event.id(self.history.id(self.position)));
            }
            tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => return None,
                made = self.made.changed() => made.ok()?,
                _ = self.credentials.changed() => {
                    let credentials = self.credentials.borrow();
                    self.presented.as_ref().filter(|presented| credentials.hold(presented))?;
                }
            }
        }
    }
}
