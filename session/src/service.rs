//! What both listeners share.

use crate::book::Book;
use crate::clock::Clock;
use crate::credential::Credential;
use crate::oauth::Told;
use crate::session::Session;
use crate::writer::Writer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tracing::warn;

/// The running service.
pub struct Service {
    /// The sessions.
    pub book: Arc<Book>,
    /// Changes the store.
    pub writer: Writer,
    /// The time.
    pub clock: Clock,
    /// What filters present; `None` takes any caller.
    pub filter_credential: Option<Credential>,
    /// What callers of the admin API present.
    pub admin_credential: Credential,
    /// Turns `true` when the service is about to stop: it takes no new connections for checks, and the open check
    /// streams come to their end.
    pub draining: watch::Receiver<bool>,
    /// Turns `true` when that is over, and the rest is to stop.
    pub stop: watch::Receiver<bool>,
    /// What introspection has told to the audit.
    pub told: Told,
    /// Set once the stored sessions are in the book.
    pub is_loaded: AtomicBool,
}

impl Service {
    /// Whether callers are to be sent here: what was stored is loaded, the store takes changes, and it is not about to
    /// stop.
    pub fn is_ready(&self) -> bool {
        self.is_loaded.load(Ordering::SeqCst) && self.writer.is_healthy() && !*self.draining.borrow()
    }

    /// Writes the tombstones of sessions that ended before anything of them was written.
    pub async fn bury(&self, sessions: Vec<Arc<Session>>) {
        for session in sessions {
            if let Err(error) = self.writer.bury(session).await {
                // The verdict is a refusal, which memory keeps: it stands without the disk.
                warn!(?error, "the tombstone of a session is not written yet");
            }
        }
    }
}
