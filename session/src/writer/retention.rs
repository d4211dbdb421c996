//! Retention: tombstones and revocations that no token can need any more are dropped, a page at a time.

use super::NotWritten;
use super::commit::Commit;
use super::op::{Reply, answer};
use super::prepare::{Group, Step};
use crate::store::Change;
use portcullis_contract::SessionId;

/// Tombstones that are read for one commit.
const PAGE: usize = 2048;

impl Commit {
    /// Gathers what ended before that instant among the next tombstones after `after`; with the first page, the revocations
    /// whose instants are before it too. The answer is where to go on, `None` at the end.
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
        let rules = if after.is_none() { self.registry.rules().revocations } else { Vec::new() };
        let old: Vec<_> = rules.into_iter().filter(|made| made.latest_ms() < before_ms).collect();
        group.changes.append(&mut changes);
        group.changes.extend(old.iter().cloned().map(Change::Lift));
        group.steps.push(Step::Forget(old, last.filter(|_| read == PAGE), reply));
    }
}
