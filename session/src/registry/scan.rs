//! Walks over all sessions: the cleaner's round, and the lists of the admin API.

use super::order::{Ids, Order, Place};
use super::{Registry, SHARDS};
use crate::audit::EndedBy;
use crate::intern::ScopeSet;
use crate::revocations::Bearer;
use crate::session::Session;
use crate::store::{Record, StoreError};
use portcullis_contract::SessionId;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tracing::warn;

/// Ended sessions that one answer reads: each is parsed, which takes a microsecond or two.
const TOMBSTONES_MAX: usize = 20_000;

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
    /// The place to go on after, when there may be more.
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
    /// people, and an index would cost every enrolment and every end. In the order of ids it reads a bounded number of
    /// ended ones, and the next page goes on where it stopped. Only all of them tell which is the newest.
    pub fn page(
        &self,
        filter: &Filter,
        order: Order,
        after: Option<Place>,
        limit: usize,
        now_ms: u64,
    ) -> Result<Page, StoreError> {
        self.page_within(TOMBSTONES_MAX, filter, order, after, limit, now_ms)
    }

    /// The same, with that bound.
    pub(super) fn page_within(
        &self,
        tombstones_max: usize,
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
        let (mut damaged, mut read): (usize, usize) = (0, 0);
        let mut stopped_at = None;
        let read_after = after.filter(|_| order == Order::Id).map(|after| after.id).max(filter.ids.before());
        let mut add_ended = |id, record: Option<Record>| {
            let is_full = order == Order::Id && page.len() >= wanted;
            let is_past = |(last, _): (&Place, _)| last.id < id;
            if filter.ids.end_before(id) || (is_full && page.last_key_value().is_some_and(is_past)) {
                return false;
            }
            read += 1;
            stopped_at = Some(id).filter(|_| order == Order::Id && read >= tombstones_max);
            let Some(record) = record else {
                damaged += 1;
                return stopped_at.is_none();
            };
            let place = Place::of(order, record.opened_at_ms, id);
            let is_wanted = after.is_none_or(|after| place > after) && filter.shows(record.bearer(), false);
            if is_wanted && !page.contains_key(&place) && self.find(id).is_none() {
                page.insert(place, Entry::Disk(Box::new(record)));
                if page.len() > wanted {
                    page.pop_last();
                }
            }
            stopped_at.is_none()
        };
        if filter.active != Some(true) {
            self.store.tombstones(read_after, &mut add_ended)?;
        }
        if damaged > 0 {
            warn!(sessions = damaged, "a list leaves out ended sessions whose entries in the store cannot be read");
        }
        let stopped_at = stopped_at.map(|id| Place::of(order, 0, id));
        if let Some(stopped_at) = stopped_at {
            // There may be ended ones before them.
            page.retain(|place, _| *place <= stopped_at);
        }
        let has_more = page.len() > limit;
        if has_more {
            page.pop_last();
        }
        let next = page.last_key_value().map(|(place, _)| *place).filter(|_| has_more).or(stopped_at);
        let sessions = page.into_values().map(Entry::record).collect();
        Ok(Page { sessions, next })
    }

    /// The scopes that live sessions were granted, with their clients: each set once for each client.
    pub fn grants(&self, now_ms: u64) -> HashSet<(Arc<str>, ScopeSet)> {
        let sessions = (0..SHARDS).flat_map(|shard| self.in_shard(shard));
        let live = sessions.filter(|session| self.settle(session, now_ms, EndedBy::Judge).is_none());
        live.map(|session| (Arc::clone(&session.client), session.granted())).collect()
    }

    /// Whether such a session was seen, live or ended; `None` if there are too many ended ones to read. One whose entry in
    /// the store cannot be read may be.
    pub fn has_seen(&self, is_theirs: impl Fn(Bearer<'_>) -> bool) -> Result<Option<bool>, StoreError> {
        self.has_seen_within(TOMBSTONES_MAX, is_theirs)
    }

    /// The same, with that bound.
    pub(super) fn has_seen_within(
        &self,
        tombstones_max: usize,
        is_theirs: impl Fn(Bearer<'_>) -> bool,
    ) -> Result<Option<bool>, StoreError> {
        if (0..SHARDS).any(|shard| self.in_shard(shard).iter().any(|session| is_theirs(session.bearer()))) {
            return Ok(Some(true));
        }
        let (mut is_seen, mut read) = (Some(false), 0);
        self.store.tombstones(None, &mut |_, record| {
            read += 1;
            is_seen = match record.is_none_or(|record| is_theirs(record.bearer())) {
                true => Some(true),
                false => Some(false).filter(|_| read < tombstones_max),
            };
            is_seen == Some(false)
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
