//! Retention: tombstones, revocations, blocks, requests and attributes that no token can need any more are dropped, a page at a time.

use super::NotWritten;
use super::commit::Commit;
use super::op::{Reply, answer};
use super::prepare::{Group, Step};
use crate::attributes::Attribute;
use crate::blocks::Block;
use crate::registry::Registry;
use crate::revocations::Revocation;
use crate::store::Change;
use portcullis_contract::SessionId;

/// Tombstones that are read for one commit.
const PAGE: usize = 2048;

/// The rules that are dropped from memory once they are no longer on disk.
#[derive(Default)]
pub(super) struct Forgotten {
    revocations: Vec<Revocation>,
    blocks: Vec<Block>,
    attributes: Vec<Attribute>,
    requests: Vec<String>,
}

impl Forgotten {
    /// The rules that were over before an instant. A block that has run out is kept as long as a revocation: if the clock was
    /// wrong when it ran out, it still stands.
    fn before(registry: &Registry, before_ms: u64) -> Self {
        let (revocations, blocks) = registry.rules_before(before_ms);
        let requests = registry.requests_before(before_ms);
        Self { revocations, blocks, attributes: registry.attributes_before(before_ms), requests }
    }

    fn changes(&self) -> impl Iterator<Item = Change> {
        let lifted = self.revocations.iter().cloned().map(Change::Lift);
        let unblocked = self.blocks.iter().cloned().map(Change::Unblock);
        let requests = self.requests.iter().cloned().map(Change::ForgetRequest);
        lifted.chain(unblocked).chain(self.attributes.iter().cloned().map(Change::Attribute)).chain(requests)
    }

    pub(super) fn leave(&self, registry: &Registry) {
        for revocation in &self.revocations {
            registry.lift(revocation);
        }
        for block in &self.blocks {
            registry.unblock(block);
        }
        registry.set_attributes(&self.attributes);
        registry.forget_requests(&self.requests);
    }
}

impl Commit {
    /// Gathers what ended before that instant among the next tombstones after `after`; with the first page, the
    /// revocations, blocks and attributes that were over before it too. The answer is where to go on, `None` at the end.
    pub(super) fn prepare_forgetting(
        &self,
        group: &mut Group,
        after: Option<SessionId>,
        before_ms: u64,
        reply: Reply<Option<SessionId>>,
    ) {
        let (mut read, mut last, mut changes) = (0, None, Vec::new());
        let walked = self.store.tombstones(after, &mut |id, record| {
            read += 1;
            last = Some(id);
            if record.and_then(|record| record.ended).is_some_and(|end| end.at_ms < before_ms) {
                changes.push(Change::Forget(id, before_ms));
            }
            read < PAGE
        });
        if let Err(error) = walked {
            return answer(reply, Err(NotWritten::Failed(error)));
        }
        let mut old = if after.is_none() { Forgotten::before(&self.registry, before_ms) } else { Forgotten::default() };
        // One that is being set is no longer old.
        let is_set = |old: &Attribute| {
            let is_it = |change: &Change| matches!(change, Change::Attribute(set) if set.identity() == old.identity());
            group.changes.iter().any(is_it)
        };
        old.attributes.retain(|old| !is_set(old));
        group.changes.append(&mut changes);
        group.changes.extend(old.changes());
        group.steps.push(Step::Forget(old, last.filter(|_| read == PAGE), reply));
    }
}
