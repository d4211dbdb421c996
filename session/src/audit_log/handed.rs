//! The newest checkpoint, for those who hand it to others.

use crate::clock::wall_ms;
use std::sync::LazyLock;
use tokio::sync::watch;

/// The file belongs to the process, and so do its checkpoints.
static NEWEST: LazyLock<watch::Sender<Option<Signed>>> = LazyLock::new(|| watch::Sender::new(None));

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The name of the key.
    pub(crate) origin: String,
    /// How many records it covers.
    pub(crate) size: u64,
    /// The signed note.
    pub(crate) note: String,
    /// When it was signed, in milliseconds since the epoch.
    pub(crate) at_ms: u64,
}

/// Learns of every later checkpoint of this process.
pub(crate) fn signed() -> watch::Receiver<Option<Signed>> {
    NEWEST.subscribe()
}

pub(super) fn hand_over(origin: &str, size: u64, note: &str) {
    let (origin, note) = (origin.to_owned(), note.to_owned());
    NEWEST.send_replace(Some(Signed { origin, size, note, at_ms: wall_ms() }));
}
