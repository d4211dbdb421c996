//! The leases of one stream: what its filter may decide by itself, by the verdict of a question.
//!
//! Limits are judged at renewals: a lease that has reached one is not extended. So nothing has to happen in between, and a
//! renewal costs next to nothing for a lease whose limits are far.

use crate::fact_epochs::Counters;
use crate::leases::Line;
use crate::session::Session;
use crate::token::Token;
use portcullis_contract::SessionId;
use portcullis_contract::bounds::LEASES_MAX;
use portcullis_contract::wire::{Scopes, TakeBack};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A lease that the filter has.
pub(super) struct Lease {
    /// Its own, so that the filter may forget the handle.
    pub(super) token: Arc<Token>,
    pub(super) handle: u32,
    pub(super) route: u32,
    pub(super) session: Arc<Session>,
    /// The scopes that were left of the token's; `None`: all.
    pub(super) narrowed: Option<Scopes>,
    /// For how long it was given, in milliseconds.
    pub(super) length_ms: u64,
    /// When it was given; once it is fixed, when it was extended last.
    pub(super) since_ms: u64,
    /// Once it is fixed: as of when it counts as used.
    pub(super) counts_ms: u64,
    /// The first instant at which a limit may end it.
    pub(super) limit_at_ms: Option<u64>,
    /// Its requests are not activity.
    pub(super) is_background: bool,
    /// Renewals do not extend it.
    pub(super) is_fixed: bool,
}

impl Lease {
    /// The last instant at which it can be extended by its whole length.
    fn renewable_until_ms(&self) -> Option<u64> {
        self.limit_at_ms.map(|at_ms| at_ms.saturating_sub(self.length_ms))
    }
}

/// The leases of one stream.
pub(super) struct StreamLeases {
    line: Line,
    held: HashMap<u32, Lease>,
    /// The last instant at which each can be extended without another look at it, where it has a limit.
    due: BTreeSet<(u64, u32)>,
    /// When they were extended last, and before that.
    renewed_at_ms: u64,
    renewed_before_ms: u64,
    /// Those that the filter has dropped as it was told. What they were used for comes with the next renewal.
    dropped: Vec<u32>,
}

impl StreamLeases {
    pub(super) fn new(line: Line) -> Self {
        let (held, due) = (HashMap::new(), BTreeSet::new());
        Self { line, held, due, renewed_at_ms: 0, renewed_before_ms: 0, dropped: Vec::new() }
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    pub(super) fn get(&self, id: u32) -> Option<&Lease> {
        self.held.get(&id)
    }

    /// Enters a lease that is asked for; `false` if there is no room.
    pub(super) fn enter(
        &mut self,
        id: u32,
        session: SessionId,
        facts: Option<Counters>,
        length_ms: u64,
        steady_ms: u64,
    ) -> bool {
        self.forget(id);
        // A filter says which leases it has dropped.
        self.held.len() < 2 * LEASES_MAX && self.line.enter(id, session, facts, length_ms, steady_ms)
    }

    /// Gives a lease that was entered; `false` if a change since may concern it.
    pub(super) fn give(&mut self, id: u32, lease: Lease) -> bool {
        if !self.line.give(id, lease.length_ms) {
            return false;
        }
        self.due.extend(lease.renewable_until_ms().map(|at_ms| (at_ms, id)));
        self.held.insert(id, lease);
        true
    }

    /// The session that was used by a lease, and the instant as of which that counts. A request can have come before the last
    /// renewal was read here, for that one was under way; it came after the answer to the one before.
    pub(super) fn used(&self, id: u32) -> Option<(&Arc<Session>, u64)> {
        let lease = self.held.get(&id).filter(|lease| !lease.is_background && lease.session.ended().is_none())?;
        Some((
            &lease.session,
            if lease.is_fixed { lease.counts_ms } else { lease.since_ms.max(self.renewed_before_ms) },
        ))
    }

    /// Until when a lease runs if it is not extended.
    pub(super) fn ends_at_ms(&self, lease: &Lease) -> u64 {
        self.since_ms(lease).saturating_add(lease.length_ms)
    }

    /// The filter has dropped these.
    pub(super) fn end(&mut self, ids: &[u32]) {
        self.line.end(ids);
        ids.iter().for_each(|id| self.forget(*id));
    }

    /// Those that could not be extended by their whole length at `now_ms` by what is known of their limits.
    pub(super) fn limited(&self, now_ms: u64) -> Vec<u32> {
        self.due.iter().take_while(|(until_ms, _)| *until_ms < now_ms).map(|(_, id)| *id).collect()
    }

    /// All that can be extended.
    pub(super) fn all(&self) -> Vec<u32> {
        self.held.iter().filter(|(_, lease)| !lease.is_fixed).map(|(id, _)| *id).collect()
    }

    /// A lease was looked at again; returns whether it can be extended by its whole length.
    pub(super) fn limit(&mut self, id: u32, limit_at_ms: Option<u64>, now_ms: u64) -> bool {
        let Some(lease) = self.held.get_mut(&id) else { return false };
        if let Some(before_ms) = lease.renewable_until_ms() {
            self.due.remove(&(before_ms, id));
        }
        lease.limit_at_ms = limit_at_ms;
        let until_ms = lease.renewable_until_ms();
        self.due.extend(until_ms.map(|until_ms| (until_ms, id)));
        until_ms.is_none_or(|until_ms| now_ms <= until_ms)
    }

    /// Extends all but those, by a renewal that had arrived by `steady_ms` of the steady clock; returns the ones that are not
    /// extended.
    pub(super) fn renew(&mut self, refused: &[u32], now_ms: u64, steady_ms: u64) -> Vec<u32> {
        let fixed = self.line.renew(refused, steady_ms);
        for id in &fixed {
            self.fix(*id);
        }
        self.renewed_before_ms = std::mem::replace(&mut self.renewed_at_ms, now_ms);
        for id in std::mem::take(&mut self.dropped) {
            self.forget(id);
        }
        fixed
    }

    /// Has the filter drop these, if there are any.
    pub(super) fn take_back(&mut self, ids: Vec<u32>) -> Option<TakeBack> {
        ids.iter().for_each(|id| self.fix(*id));
        let id = self.line.take_back(&ids)?;
        Some(TakeBack { id, leases: ids })
    }

    /// The filter has dropped leases as it was told.
    pub(super) fn taken_back(&mut self, id: u32) {
        self.dropped.extend(self.line.taken_back(id));
    }

    fn since_ms(&self, lease: &Lease) -> u64 {
        if lease.is_fixed { lease.since_ms } else { lease.since_ms.max(self.renewed_at_ms) }
    }

    fn fix(&mut self, id: u32) {
        let Some(lease) = self.held.get_mut(&id).filter(|lease| !lease.is_fixed) else { return };
        lease.counts_ms = lease.since_ms.max(self.renewed_before_ms);
        lease.since_ms = lease.since_ms.max(self.renewed_at_ms);
        lease.is_fixed = true;
        if let Some(at_ms) = lease.renewable_until_ms() {
            self.due.remove(&(at_ms, id));
        }
    }

    fn forget(&mut self, id: u32) {
        if let Some(lease) = self.held.remove(&id)
            && let Some(at_ms) = lease.renewable_until_ms()
        {
            self.due.remove(&(at_ms, id));
        }
    }
}
