//! The line of one stream to the book.

use super::waits::Leases;
use crate::fact_epochs::Counters;
use portcullis_contract::SessionId;
use std::sync::Arc;

/// The line of one stream. When it is dropped, its filter may have its leases for as long as they run.
#[derive(Debug)]
pub(crate) struct Line {
    leases: Arc<Leases>,
    stream: u64,
}

impl Line {
    pub(super) fn new(leases: Arc<Leases>, stream: u64) -> Self {
        Self { leases, stream }
    }

    /// Enters a lease that is asked for by a question that had arrived by `now_ms` of the steady clock: before the question is
    /// judged. `false`: there is no room.
    pub(crate) fn enter(
        &self,
        lease: u32,
        session: SessionId,
        facts: Option<Counters>,
        length_ms: u64,
        now_ms: u64,
    ) -> bool {
        self.leases.book().enter(self.stream, lease, session, facts, length_ms, now_ms)
    }

    /// Gives it, for at most as long as it was entered for; `false` if a change has come since.
    pub(crate) fn give(&self, lease: u32, length_ms: u64) -> bool {
        self.leases.book().give(self.stream, lease, length_ms)
    }

    /// It is not given.
    pub(crate) fn refuse(&self, lease: u32) {
        self.leases.book().refuse(self.stream, lease);
    }

    /// The filter has dropped these.
    pub(crate) fn end(&self, leases: &[u32]) {
        if !leases.is_empty() {
            self.leases.book().end(self.stream, leases);
            self.leases.freed();
        }
    }

    /// Extends all but those; returns the ones that are not extended.
    pub(crate) fn renew(&self, refused: &[u32], now_ms: u64) -> Vec<u32> {
        self.leases.book().renew(self.stream, refused, now_ms)
    }

    /// Takes those that are to be judged again.
    pub(crate) fn take_marked(&self) -> Vec<u32> {
        self.leases.book().take_marked(self.stream)
    }

    /// These were judged again, and stand.
    pub(crate) fn stand(&self, leases: &[u32]) {
        if !leases.is_empty() {
            let mut book = self.leases.book();
            leases.iter().for_each(|lease| book.stands(self.stream, *lease));
            drop(book);
            self.leases.freed();
        }
    }

    /// These do not; returns the id of their take-back, if there are any.
    pub(crate) fn take_back(&self, leases: &[u32]) -> Option<u32> {
        self.leases.book().take_back(self.stream, leases)
    }

    /// The filter has carried out a take-back; returns its leases.
    pub(crate) fn taken_back(&self, id: u32) -> Vec<u32> {
        let taken = self.leases.book().taken_back(self.stream, id);
        self.leases.freed();
        taken
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.leases.notifiers().remove(&self.stream);
        self.leases.book().close(self.stream);
    }
}
