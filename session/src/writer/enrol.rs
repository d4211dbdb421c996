//! First uses in a store that replicas share: the store decides which one opens a session, because two replicas may see the
//! first token of a login at the same time.

use super::commit::Commit;
use super::op::{NotWritten, Op, Reply, answer};
use super::prepare::{Group, Step};
use crate::registry::{Candidate, LookUp, LookedUp};
use crate::store::{Change, Record, StoreError};
use portcullis_contract::SessionId;
use std::collections::HashMap;
use std::sync::Arc;

/// The tombstones of the sessions of a group's first uses.
pub(super) type Buried = Result<HashMap<SessionId, Option<Record>>, StoreError>;

impl Commit {
    /// Reads them with one query.
    pub(super) fn buried(&self, ops: &[Op]) -> Buried {
        let ids: Vec<SessionId> = ops
            .iter()
            .filter_map(|op| match op {
                Op::Enrol(look_up, ..) => Some(look_up.id),
                _ => None,
            })
            .collect();
        match ids.as_slice() {
            [] => Ok(HashMap::new()),
            ids => Ok(self.store.tombstones_of(ids)?.into_iter().collect()),
        }
    }

    pub(super) fn prepare_enrolment(
        &self,
        group: &mut Group,
        buried: &Buried,
        look_up: LookUp,
        candidate: Arc<Candidate>,
        reply: Reply<LookedUp>,
    ) {
        let buried = match buried.as_ref().map(|buried| buried.get(&look_up.id)) {
            Ok(None) => None,
            Ok(Some(Some(record))) => Some(record),
            Ok(Some(None)) => {
                let error = StoreError("a tombstone cannot be read".to_owned());
                return answer(reply, Err(NotWritten::Failed(error)));
            }
            Err(error) => return answer(reply, Err(NotWritten::Failed(error.clone()))),
        };
        let id = look_up.id;
        // With the second of two first uses in a group, the first one's session is there.
        let opened = (!group.opened().contains(&id))
            .then(|| self.registry.decide(&candidate, buried, group.end_of(id)).map(Arc::new))
            .flatten();
        if let Some(session) = &opened {
            group.openings.push(Change::Write(session.record()));
        }
        group.steps.push(Step::Enrol(opened, candidate, look_up.answered(buried), reply));
    }
}
