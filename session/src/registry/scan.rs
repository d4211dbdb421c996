//! Walks over all sessions: the cleaner's round, and the lists of the admin API.

use super::order::{Ids, Order, Place};
use super::{Registry, SHARDS};
use crate::audit::EndedBy;
use crate::revocations::Bearer;
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
    /// Only those whose id begins so.
    pub ids: Ids,
}

impl Filter {
    fn shows(&self, bearer: Bearer<'_>, is_active: bool) -> bool {
        self.subject.as_deref().is_none_or(|wanted| wanted == bearer.subject)
            && self.client_id.as_deref().is_none_or(|wanted| wanted == bearer.client)
            && self.sid.as_deref().is_none_or(|wanted| Some(wanted) == bearer.sid())
            && self.active.is_none_or(|wanted| wanted == is_active)
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    /// The sessions.
    pub sessions: Vec<Record>,
    /// The place to go on after, when there are more.
    pub next: Option<Place>,
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
        order: Order,
        after: Option<Place>,
        limit: usize,
        now_ms: u64,
    ) -> Result<Page, StoreError> {
        let mut page = BTreeMap::new();
        let wanted = limit.saturating_add(1);
        // Memory first: a session that moves to disk meanwhile is then seen twice, not missed.
        for session in (0..SHARDS).flat_map(|shard| self.in_shard(shard)) {
            let place = Place::of(order, session.opened_at_ms, session.id);
            if after.is_some_and(|after| place <= after) || !filter.ids.hold(session.id) {
                continue;
            }
            let is_active = self.settle(&session, now_ms, EndedBy::Judge).is_none();
            if filter.shows(session.bearer(), is_active) {
                page.insert(place, Entry::Memory(session));
                if page.len() > wanted {
                    page.pop_last();
                }
            }
        }
        let mut damaged: usize = 0;
        let read_after = after.filter(|_| order == Order::Id).map(|after| after.id).max(filter.ids.before());
        let mut add_ended = |id, record: Option<Record>| {
            let is_full = order == Order::Id && page.len() >= wanted;
            let is_past = |(last, _): (&Place, _)| last.id < id;
            if filter.ids.end_before(id) || (is_full && page.last_key_value().is_some_and(is_past)) {
                return false;
            }
            let Some(record) = record else {
                damaged += 1;
                return true;
            };
            let place = Place::of(order, record.opened_at_ms, id);
            let is_wanted = after.is_none_or(|after| place > after) && filter.shows(record.bearer(), false);
            if is_wanted && !page.contains_key(&place) && self.find(id).is_none() {
                page.insert(place, Entry::Disk(Box::new(record)));
                if page.len() > wanted {
                    page.pop_last();
                }
            }
            true
        };
        if filter.active != Some(true) {
            self.store.tombstones(read_after, &mut add_ended)?;
        }
        if damaged > 0 {
            warn!(sessions = damaged, "a list leaves out ended sessions whose entries in the store cannot be read");
        }
        let has_more = page.len() > limit;
        if has_more {
            page.pop_last();
        }
        let next = page.last_key_value().map(|(place, _)| *place).filter(|_| has_more);
        let sessions = page.into_values().map(Entry::record).collect();
        Ok(Page { sessions, next })
    }

    /// Whether such a session was seen, live or ended. One whose entry in the store cannot be read may be.
    pub fn has_seen(&self, is_theirs: impl Fn(Bearer<'_>) -> bool) -> Result<bool, StoreError> {
        if (0..SHARDS).any(|shard| self.in_shard(shard).iter().any(|session| is_theirs(session.bearer()))) {
            return Ok(true);
        }
        let mut is_seen = false;
        self.store.tombstones(None, &mut |_, record| {
            is_seen = record.is_none_or(|record| is_theirs(record.bearer()));
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
