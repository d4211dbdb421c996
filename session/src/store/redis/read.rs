//! The store's trait: what is read is read from the journal, which has everything that memory has.

use super::open::Redis;
use crate::issuers::KnownIssuer;
use crate::proofs::UsedProof;
use crate::replica::{Appended, Engine, Place};
use crate::store::{Change, Lead, ReceiptId, Record, Rules, Store, StoreError};
use crate::usage::Used;
use portcullis_contract::SessionId;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Store for Redis {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn secret(&self) -> String {
        self.secret.clone()
    }

    fn issuers(&self) -> Result<Vec<KnownIssuer>, StoreError> {
        self.embedded.issuers()
    }

    fn leads(&self) -> Result<Vec<Lead>, StoreError> {
        self.embedded.leads()
    }

    fn rules(&self) -> Result<Rules, StoreError> {
        self.embedded.rules()
    }

    fn sessions(&self, each: &mut dyn FnMut(Record)) -> Result<usize, StoreError> {
        self.embedded.sessions(each)
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.commit(changes)
    }

    /// Nothing that was answered is lost with a connection: what Redis lacks, it gets from the journals.
    fn recover(&self) -> Result<bool, StoreError> {
        // A file that has failed must be opened again; only memory is missing nothing of it.
        if self.embedded.recover()? {
            tracing::warn!("reopened the journal");
        }
        self.is_complete().map(|()| false)
    }

    fn tombstones(
        &self,
        after: Option<SessionId>,
        each: &mut dyn FnMut(SessionId, Option<Record>) -> bool,
    ) -> Result<(), StoreError> {
        self.embedded.tombstones(after, each)
    }

    fn tombstones_of(&self, ids: &[SessionId]) -> Result<Vec<(SessionId, Option<Record>)>, StoreError> {
        self.embedded.tombstones_of(ids)
    }

    fn received(&self, ids: &[&ReceiptId]) -> Result<HashSet<ReceiptId>, StoreError> {
        self.embedded.received(ids)
    }

    fn longest_lease_ms(&self) -> Result<Option<u64>, StoreError> {
        self.embedded.longest_lease_ms()
    }

    fn note_longest_lease(&self, ms: u64) -> Result<(), StoreError> {
        self.embedded.note_longest_lease(ms)
    }

    fn keep_proofs(&self, proofs: &[UsedProof], now_ms: u64) -> Result<Vec<bool>, StoreError> {
        self.note_proofs(proofs, now_ms)
    }

    fn usage(&self, since: u32, each: &mut dyn FnMut(Used)) -> Result<(), StoreError> {
        self.embedded.usage(since, each)
    }

    fn begin(&self, each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        self.lock_log(each)
    }

    fn cancel(&self) {
        self.unlock_log();
    }

    fn catch_up(&self, each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        self.read_log(each).map_err(StoreError::from)
    }

    fn trim(&self) -> Result<(), StoreError> {
        self.trim_log()
    }

    fn start_at_head(&self) -> Result<(), StoreError> {
        self.read_at_start()
    }

    fn place(&self) -> Place {
        self.committing().place()
    }

    fn clock_behind_ms(&self) -> u64 {
        self.clock_behind_ms.load(Ordering::Relaxed)
    }

    fn take_appended(&self) -> Option<Appended> {
        self.committing().appended.take()
    }

    fn engine(self: Arc<Self>) -> Option<Arc<dyn Engine>> {
        (!self.is_visitor).then_some(self as Arc<dyn Engine>)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.news.stop();
    }
}
