//! The signals that are held.

use super::Registry;
use crate::held::{HeldSignal, HeldSignals};
use std::sync::{PoisonError, RwLockReadGuard};

impl Registry {
    /// Holds a signal that is on disk.
    pub fn hold(&self, signal: HeldSignal) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).add(signal);
    }

    /// A signal is no longer on disk.
    pub fn unhold(&self, id: &str) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// The held signal with that id.
    pub fn held_signal(&self, id: &str) -> Option<HeldSignal> {
        self.held_signals().get(id).cloned()
    }

    /// Whether there is room to hold another one of a transmitter.
    pub fn has_room_to_hold(&self, transmitter: &str) -> bool {
        self.held_signals().has_room(transmitter)
    }

    /// How many signals of a transmitter are held, and when the oldest one arrived.
    pub fn held_of(&self, transmitter: &str) -> (usize, Option<u64>) {
        self.held_signals().waiting(transmitter)
    }

    /// Those who have sent held signals.
    pub fn transmitters_held(&self) -> Vec<String> {
        self.held_signals().transmitters().map(str::to_owned).collect()
    }

    /// All held signals, the oldest first.
    pub fn all_held(&self) -> Vec<HeldSignal> {
        self.held_signals().all().cloned().collect()
    }

    /// A page of at most `limit` held signals after a place, of one transmitter or of all, the oldest first; each with its
    /// place, and whether there are more.
    pub fn held_page(
        &self,
        transmitter: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<(String, HeldSignal)>, bool) {
        let held = self.held_signals();
        let is_wanted = |signal: &&HeldSignal| transmitter.is_none_or(|name| signal.transmitter == name);
        let mut page: Vec<_> = held.after(after).filter(is_wanted).take(limit.saturating_add(1)).cloned().collect();
        let has_more = page.len() > limit;
        page.truncate(limit);
        (page.into_iter().map(|signal| (signal.place(), signal)).collect(), has_more)
    }

    fn held_signals(&self) -> RwLockReadGuard<'_, HeldSignals> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}
