//! The connection between an open stream and the task that runs its client.

use tokio::sync::{mpsc, watch};

/// The task's ends of it.
pub(super) struct Control {
    /// A message for each time that the client is to send something.
    pub(super) to_send: mpsc::UnboundedReceiver<()>,
    /// Counts what was received.
    pub(super) received: watch::Sender<u64>,
}

impl Control {
    pub(super) fn count_received(&self) {
        self.received.send_modify(|count| *count += 1);
    }
}
