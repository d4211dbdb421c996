//! What both listeners share.

use crate::book::Book;
use crate::clock::Clock;
use crate::credential::Credential;
use crate::writer::Writer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

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
    /// Turns `true` when the service is to stop.
    pub stop: watch::Receiver<bool>,
    /// Set once the stored sessions are in the book.
    pub is_loaded: AtomicBool,
}

impl Service {
    /// Whether it can answer: what was stored is loaded, and the store takes changes.
    pub fn is_ready(&self) -> bool {
        self.is_loaded.load(Ordering::SeqCst) && self.writer.is_healthy()
    }
}
