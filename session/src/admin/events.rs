//! `/v1/events`: the events of the audit, as server-sent events. A listener that reads slowly loses events and receives
//! their number; it never holds up another.

use crate::audit;
use crate::service::Service;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

pub(super) async fn listen(State(service): State<Arc<Service>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let listener = (service.audit.events(), service.stop.clone());
    let events = unfold(listener, |(mut events, mut stop)| async move {
        let event = next(&mut events, &mut stop).await?;
        Some((Ok(event), (events, stop)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn next(events: &mut Receiver<audit::Event>, stop: &mut watch::Receiver<bool>) -> Option<Event> {
    let received = tokio::select! {
        _ = stop.wait_for(|stop| *stop) => return None,
        received = events.recv() => received,
    };
    match received {
        Ok(event) => {
            let data = serde_json::to_string(&event).unwrap_or_default();
            Some(Event::default().event(event.name).data(data))
        }
        Err(RecvError::Lagged(missed)) => {
            let data = format!("{{\"missed\":{missed}}}");
            Some(Event::default().event("lagged").data(data))
        }
        Err(RecvError::Closed) => None,
    }
}
