//! Connections that have not sent a request yet: they are closed after a while, and sooner when others need their place.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a caller may take for the TLS handshake, then until its first request, and for the headers of each further
/// request over HTTP/1.1.
pub(super) const GREETING_MAX: Duration = Duration::from_secs(10);

/// Entries after which those of closed connections, and of those that have sent a request, are forgotten.
const FORGET_AT: usize = 1_024;

/// Whether one connection has sent a request.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    pub(super) is_made: AtomicBool,
    makes_room: Notify,
}

impl Greeting {
    fn is_made(&self) -> bool {
        self.is_made.load(Ordering::Relaxed)
    }

    /// Waits until the connection must be closed because it has sent no request.
    pub(super) async fn is_missed(&self) {
        // An error says that the time is up.
        drop(tokio::time::timeout(GREETING_MAX, self.makes_room.notified()).await);
        if self.is_made() {
            pending::<()>().await;
        }
    }
}

/// The connections of a listener that may be silent, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Silent(VecDeque<Weak<Greeting>>);

impl Silent {
    /// Enters a connection.
    pub(super) fn enter(&mut self) -> Arc<Greeting> {
        if self.0.len() >= FORGET_AT {
            self.0.retain(|greeting| greeting.upgrade().is_some_and(|greeting| !greeting.is_made()));
        }
        let greeting = Arc::<Greeting>::default();
        self.0.push_back(Arc::downgrade(&greeting));
        greeting
    }

    /// Has the oldest silent connection closed.
    pub(super) fn make_room(&mut self) {
        while let Some(greeting) = self.0.pop_front() {
            if let Some(greeting) = greeting.upgrade().filter(|greeting| !greeting.is_made()) {
                greeting.makes_room.notify_one();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn closes(greeting: &Greeting) -> bool {
        tokio::time::timeout(Duration::from_millis(20), greeting.is_missed()).await.is_ok()
    }

    #[tokio::test]
    async fn the_oldest_silent_connection_makes_room_and_no_other() {
        let mut silent = Silent::default();
        let [asked, gone, oldest, youngest] = std::array::from_fn(|_| silent.enter());
        asked.is_made.store(true, Ordering::Relaxed);
        drop(gone);
        silent.make_room();
        assert!(closes(&oldest).await && !closes(&asked).await && !closes(&youngest).await);
    }
}
