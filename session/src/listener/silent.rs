//! Connections of which no request is open: they are closed after a while, and sooner when others need their place.
//!
//! A request is open until it is answered, and as long as its answer goes on, such as a check stream or a stream of events.
//! An answer of a known length is complete for us: its peer may never take it. So a caller without a credential cannot keep
//! a connection, whatever it sends or answers: it gets no other answers.

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a caller may take for the TLS handshake, then until its first request, and for the headers of each further
/// request over HTTP/1.1.
pub(super) const GREETING_MAX: Duration = Duration::from_secs(10);

/// How long a connection is kept after its last request; at most twice as long, because nobody looks in between. Longer
/// than the pauses of callers that come again and again, such as Prometheus.
const SILENCE_MAX: Duration = Duration::from_mins(2);

/// Entries after which those of closed connections are forgotten, at least.
const FORGET_AT: usize = 1_024;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Connection {
    open: AtomicUsize,
    /// Moves when a request begins, and when it ends.
    moved: AtomicU64,
    makes_room: Notify,
}

/// An open request, until it is dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<Connection>);

impl Connection {
    /// A request begins.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.moved.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    fn is_silent(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    /// Waits until the connection must be closed because none of its requests is open.
    pub(super) async fn is_idle(&self) {
        self.is_idle_after(GREETING_MAX, SILENCE_MAX).await;
    }

    async fn is_idle_after(&self, greeting_max: Duration, silence_max: Duration) {
        let mut known = 0;
        loop {
            let wait = if known == 0 { greeting_max } else { silence_max };
            let makes_room = tokio::time::timeout(wait, self.makes_room.notified()).await.is_ok();
            let moved = self.moved.load(Ordering::Relaxed);
            if self.is_silent() && (makes_room || moved == known) {
                return;
            }
            known = moved;
        }
    }
}

impl Open {
    /// The request is answered with this body, and stays open while that goes on.
    pub(super) fn answered(self, body: Body) -> Body {
        match body.size_hint().exact() {
            Some(_) => body,
            None => Body::new(GoingOn { body, _open: self }),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.moved.fetch_add(1, Ordering::Relaxed);
    }
}

/// The body of an answer that goes on.
struct GoingOn {
    body: Body,
    _open: Open,
}

impl HttpBody for GoingOn {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The connections of a listener, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: VecDeque<Weak<Connection>>,
    forget_at: usize,
}

impl Connections {
    /// Enters a connection.
    pub(super) fn enter(&mut self) -> Arc<Connection> {
        if self.all.len() >= self.forget_at {
            self.all.retain(|connection| connection.strong_count() > 0);
            self.forget_at = FORGET_AT.max(2 * self.all.len());
        }
        let connection = Arc::<Connection>::default();
        self.all.push_back(Arc::downgrade(&connection));
        connection
    }

    /// Has the oldest connection without an open request closed.
    pub(super) fn make_room(&mut self) {
        let silent = |connection: &Weak<Connection>| connection.upgrade().is_some_and(|held| held.is_silent());
        let chosen = self.all.iter().position(silent).and_then(|oldest| self.all.remove(oldest));
        if let Some(chosen) = chosen {
            chosen.upgrade().iter().for_each(|connection| connection.makes_room.notify_one());
            // It stays if a request comes first. The next time it is another one's turn.
            self.all.push_back(chosen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    async fn closes(connection: &Connection) -> bool {
        tokio::time::timeout(Duration::from_millis(20), connection.is_idle()).await.is_ok()
    }

    #[tokio::test]
    async fn the_oldest_connection_without_an_open_request_makes_room_and_no_other() {
        let mut connections = Connections::default();
        let [asking, gone, asked, youngest] = std::array::from_fn(|_| connections.enter());
        let _open = asking.open();
        drop(asked.open());
        drop(gone);
        connections.make_room();
        assert!(closes(&asked).await && !closes(&asking).await && !closes(&youngest).await);
        connections.make_room();
        assert!(closes(&youngest).await && !closes(&asking).await);
    }

    #[tokio::test]
    async fn a_connection_is_closed_some_time_after_its_last_request_and_sooner_without_any() {
        const SHORT: Duration = Duration::from_millis(10);
        const LONG: Duration = Duration::from_hours(1);
        Arc::<Connection>::default().is_idle_after(SHORT, LONG).await;
        let connection = Arc::<Connection>::default();
        let open = connection.open();
        let closes = tokio::time::timeout(20 * SHORT, connection.is_idle_after(SHORT, SHORT)).await;
        assert!(closes.is_err(), "a request is open");
        drop(open);
        let closes = tokio::time::timeout(20 * SHORT, connection.is_idle_after(SHORT, LONG)).await;
        assert!(closes.is_err(), "a request was open a moment ago");
        connection.is_idle_after(SHORT, SHORT).await;
    }

    #[test]
    fn an_answer_that_goes_on_keeps_its_request_open_and_no_other_does() {
        let connection = Arc::<Connection>::default();
        for whole in [Body::empty(), Body::from("ok")] {
            let body = connection.open().answered(whole);
            assert!(connection.is_silent());
            drop(body);
        }
        let events = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let body = connection.open().answered(events);
        assert!(!connection.is_silent());
        drop(body);
        assert!(connection.is_silent());
    }
}
