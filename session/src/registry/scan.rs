//! Walks over all sessions: the cleaner's round, and the lists of the admin API.

use super::{Registry, SHARDS};
use crate::audit::EndedBy;
use crate::revocations::{Bearer, Revocation};
use crate::session::Session;
use crate::store::{Record, StoreError};
use portcullis_contract::SessionId;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::warn;

/// Which sessions a list shows.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    /// Only those of this subject.
    pub subject: Option<String>,
    /// Only those of this client.
    pub client_id: Option<String>,
    /// Only those whose session claim has this value.
    pub sid: Option<String>,
    /// Only live ones (`true`) or ended ones (`false`).
    pub active: Option<bool>,
}

impl Filter {
    fn shows(&self, bearer: Bearer<'_>, is_active: bool) -> bool {
        self.subject.as_deref().is_none_or(|wanted| wanted == bearer.subject)
            && self.client_id.as_deref().is_none_or(|wanted| wanted == bearer.client)
            && self.sid.as_deref().is_none_or(|wanted| Some(wanted) == bearer.sid())
            && self.active.is_none_or(|wanted| wanted == is_active)
    }
}

/// One page of a list, in the order of the ids.
#[derive(Debug)]
pub struct Page {
    /// The sessions.
    pub sessions: Vec<Record>,
    /// The id to go on after, when there are more.
    pub next: Option<SessionId>,
}

impl Registry {
    /// Ends the sessions of one shard that are past their limits, whether there are questions about them or not.
    pub fn clean(&self, shard: usize, now_ms: u64) {
        for session in self.in_shard(shard) {
            self.settle(&session, now_ms, EndedBy::Cleaner);
        }
    }

    /// A page of at most `limit` sessions after `after`, live and ended. It walks over all of them: lists are for
    /// people, and an index would cost every enrolment.
    pub fn page(
        &self,
        filter: &Filter,
        after: Option<SessionId>,
        limit: usize,
        now_ms: u64,
    ) -> Result<Page, StoreError> {
        let mut page = BTreeMap::new();
        let wanted = limit.saturating_add(1);
        // Memory first: a session that moves to disk meanwhile is then seen twice, not missed.
        for session in (0..SHARDS).flat_map(|shard| self.in_shard(shard)) {
            if after.is_some_and(|after| session.id <= after) {
                continue;
            }
            let is_active = self.settle(&session, now_ms, EndedBy::Judge).is_none();
            if filter.shows(session.bearer(), is_active) {
                page.insert(session.id, Entry::Memory(session));
                if page.len() > wanted {
                    page.pop_last();
                }
            }
        }
        let mut damaged: usize = 0;
        self.store.tombstones(after, &mut |id, record| {
            let is_full = page.len() >= wanted;
            if is_full && page.last_key_value().is_some_and(|(last, _)| *last < id) {
                return false;
            }
            let Some(record) = record else {
                damaged += 1;
                return true;
            };
            let is_known = page.contains_key(&id) || self.find(id).is_some();
            if !is_known && filter.shows(record.bearer(), false) {
                page.insert(id, Entry::Disk(Box::new(record)));
                if page.len() > wanted {
                    page.pop_last();
                }
            }
            true
        })?;
        if damaged > 0 {
            warn!(sessions = damaged, "a list leaves out ended sessions whose entries in the store cannot be read");
        }
        let has_more = page.len() > limit;
        if has_more {
            page.pop_last();
        }
        let next = page.last_key_value().map(|(id, _)| *id).filter(|_| has_more);
        let sessions = page.into_values().map(Entry::record).collect();
        Ok(Page { sessions, next })
    }

    /// Whether a session of the revoked party was seen, live or ended. One whose entry in the store cannot be read may be.
    pub fn has_seen_party(&self, revocation: &Revocation) -> Result<bool, StoreError> {
        let is_theirs = |session: &Arc<Session>| revocation.is_about(session.bearer());
        if (0..SHARDS).any(|shard| self.in_shard(shard).iter().any(is_theirs)) {
            return Ok(true);
        }
        let mut is_seen = false;
        self.store.tombstones(None, &mut |_, record| {
            is_seen = record.is_none_or(|record| revocation.is_about(record.bearer()));
            !is_seen
        })?;
        Ok(is_seen)
    }

    /// One session, live or ended.
    pub fn read(&self, id: SessionId, now_ms: u64) -> Result<Option<Record>, StoreError> {
        match self.find(id) {
            Some(session) => {
                self.settle(&session, now_ms, EndedBy::Judge);
                Ok(Some(session.record()))
            }
            None => self.store.tombstone(id),
        }
    }
}

enum Entry {
    Memory(Arc<Session>),
    Disk(Box<Record>),
}

impl Entry {
    fn record(self) -> Record {
        match self {
            Self::Memory(session) => session.record(),
            Self::Disk(record) => *record,
        }
    }
}
