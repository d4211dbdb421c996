//! The leases of one check stream: for how long a worker decides the requests of a token on a route by itself.
//!
//! The session service promises to take a lease back before it answers a revocation, and otherwise waits until the lease has
//! run out. That holds only if a lease never lives longer here than there. So it counts from a clock that was read before its
//! question or renewal was sent; it is used by a clock that is read after the request has arrived; a renewal's answer extends
//! only leases that are still alive, and that the service had given when the renewal was sent; and what is taken back is gone
//! before that is acknowledged.
//!
//! A lease is asked for with a question, and has an id from then on. One that ends in any other way than by a take-back is
//! named in the next renewal, so that no answer has to wait for it. One that releases no request for as long as it was given
//! for is not renewed any further.

mod clocks;
mod lease;
mod left;
#[cfg(test)]
mod orders;
mod places;
#[cfg(test)]
mod tests;

use super::{question::Question, upstream_token::UpstreamToken};
use crate::{
    time::{Monotonic, Now},
    wire,
};
use clocks::Clocks;
pub(super) use lease::{Grant, Lease};
pub(super) use left::Left;
use places::Places;
pub(super) use places::{Key, LeaseId};
use portcullis_contract::bounds::LEASES_MAX;
use std::{collections::HashSet, rc::Rc};

/// The most leases that a worker has or asks for. The rest of what a stream can have is for those that have ended, until the
/// service knows.
const PLACES_MAX: usize = 12_000;

/// When there is no more room, one lease in this many has to leave, at once: finding the oldest takes a look at all of them.
const EVICTED_PART: usize = 16;

/// A lease is renewed this often while it lives.
pub(super) const RENEWALS: u64 = 3;

/// What a lease allows: the release of one request.
#[derive(Debug, Clone)]
pub struct Leased {
    pub(super) id: LeaseId,
    /// When the question or renewal was sent by whose answer the session was last known to be good.
    pub(super) confirmed_at: Monotonic,
    /// The session's remaining scopes, if there are fewer than in the token.
    pub(super) narrowed: Option<Rc<[String]>>,
    /// The token for the upstream, if the route wants one.
    pub(super) upstream_token: Option<UpstreamToken>,
}

/// What has become of leases since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct LeaseCounts {
    pub(super) given: u64,
    pub(super) taken_back: u64,
    pub(super) expired: u64,
    pub(super) dropped: u64,
}

/// The leases of one stream.
#[derive(Debug, Clone, Default, Hash)]
pub(super) struct Leases {
    /// The stream; there are no leases without one.
    stream: Option<u32>,
    places: Places,
    clocks: Clocks,
    /// Leases that have ended and that the service may still count.
    ended: Vec<LeaseId>,
    /// Those of them that have released requests which are not reported yet.
    ended_active: Vec<LeaseId>,
    /// When the renewal was sent that is not answered yet.
    renewing_since: Option<Monotonic>,
    renew_at: Monotonic,
    counts: LeaseCounts,
}

/// How a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    TakenBack,
    Expired,
    Dropped,
}

impl Leases {
    /// No leases, on another stream.
    pub(super) fn on(stream: Option<u32>, before: &mut Self) -> Self {
        before.drop_all();
        Self { stream, counts: before.take_counts(), ..Self::default() }
    }

    /// The stream whose service has given them.
    pub(super) const fn stream(&self) -> Option<u32> {
        self.stream
    }

    /// How many leases there are.
    pub(super) const fn held(&self) -> usize {
        self.places.held()
    }

    /// What has become of leases since the last call.
    pub(super) fn take_counts(&mut self) -> LeaseCounts {
        std::mem::take(&mut self.counts)
    }

    /// Compares the clocks. If they have moved apart, one of them stood still, and nobody knows which leases are still alive:
    /// all of them are dropped, and so is what questions that are out would bring.
    pub(super) fn observe(&mut self, now: Now) {
        if !self.clocks.are_steady(now) {
            self.drop_all();
        }
        if self.places.is_empty() {
            self.clocks = Clocks::read(now);
        }
    }

    /// The id of a lease that a question can ask for. `None` if there is one, or one is being asked for, or there is no room.
    pub(super) fn ask(&mut self, key: Key) -> Option<LeaseId> {
        if !self.clocks.are_read() || self.places.id(key).is_some() {
            return None;
        }
        if self.places.len() >= PLACES_MAX {
            self.evict();
        }
        let has_room = self.places.len() < PLACES_MAX && self.places.len() + self.ended.len() < LEASES_MAX;
        if has_room { self.places.ask(key) } else { None }
    }

    /// The question that asked for this lease was answered with one. It is none if it was taken back before.
    pub(super) fn grant(&mut self, id: LeaseId, grant: &Grant, period_ms: u64, now: Monotonic) {
        if !self.places.is_asked(id) {
            return;
        }
        if self.held() == 0 {
            self.renew_at = self.renew_at.max(now.after(period_ms));
        }
        self.counts.given += 1;
        self.places.hold(id, |key| Lease::new(key, grant, now));
        if !self.places.lease(id).is_some_and(|lease| lease.is_alive(now)) {
            self.end(id, End::Expired);
        }
    }

    /// The question that asked for this lease was answered without one.
    pub(super) fn decline(&mut self, id: LeaseId) {
        if self.places.is_asked(id) {
            self.places.free(id);
        }
    }

    /// Nobody waits for the question any more that asked for this lease, and the service may have given it.
    pub(super) fn abandon(&mut self, id: LeaseId) {
        if self.places.is_asked(id) {
            self.places.free(id);
            self.ended.push(id);
        }
    }

    /// The lease by which a request can be released that arrived before the clock was read.
    pub(super) fn find(&mut self, key: Key, now: Monotonic) -> Option<(LeaseId, Lease)> {
        let id = self.places.id(key)?;
        let lease = *self.places.lease(id)?;
        if !lease.is_alive(now) {
            self.end(id, End::Expired);
            return None;
        }
        Some((id, lease))
    }

    /// A request was released by this lease. Returns what it is counted as.
    pub(super) fn note_use(&mut self, id: LeaseId, now: Monotonic) -> Option<u16> {
        let lease = self.places.lease_mut(id)?;
        lease.note_use(now);
        Some(lease.kind)
    }

    /// The service takes leases back. Once this returns, they release no request.
    pub(super) fn take_back(&mut self, ids: &[u32]) {
        for id in ids.iter().copied().map(LeaseId) {
            if self.places.is_asked(id) {
                self.places.free(id);
            }
            self.end(id, End::TakenBack);
        }
    }

    /// A token is refused, or not used any more.
    pub(super) fn drop_token(&mut self, token: u32) {
        for id in self.places.of_token(token) {
            self.abandon(id);
            self.end(id, End::Dropped);
        }
    }

    /// The renewal that is due, if any.
    pub(super) fn renewal(&mut self, period_ms: u64, now: Monotonic) -> Option<wire::Renewal> {
        if self.renewing_since.is_some() || now < self.renew_at || (self.held() == 0 && self.ended.is_empty()) {
            return None;
        }
        self.sweep(now);
        self.renew_at = now.after(period_ms);
        self.renewing_since = Some(now);
        let ended = self.ended.drain(..).map(|id| id.0).collect();
        let mut active: Vec<u32> = self.ended_active.drain(..).map(|id| id.0).collect();
        for (id, lease) in self.places.leases_mut() {
            if lease.begin_renewal() {
                active.push(id.0);
            }
        }
        Some(wire::Renewal { active, ended })
    }

    /// The renewal was answered.
    pub(super) fn renewed(&mut self, refused: &[u32], now: Monotonic) {
        let Some(sent_at) = self.renewing_since.take() else { return };
        let refused: HashSet<u32> = refused.iter().copied().collect();
        let mut expired = Vec::new();
        for (id, lease) in self.places.leases_mut() {
            if !lease.is_alive(now) {
                expired.push(id);
            } else {
                lease.end_renewal((!refused.contains(&id.0)).then_some(sent_at));
            }
        }
        expired.into_iter().for_each(|id| self.end(id, End::Expired));
    }

    /// Ends everything, and returns what the service of the stream should know: then it waits for none of it. `None` if there
    /// is nothing to say.
    pub(super) fn farewell(&mut self) -> Option<Farewell> {
        let stream = self.stream?;
        self.drop_all();
        let ended: Vec<u32> = self.ended.drain(..).map(|id| id.0).collect();
        let active = self.ended_active.drain(..).map(|id| id.0).collect();
        let waits = self.renewing_since.is_some();
        (!ended.is_empty()).then_some(Farewell { stream, waits, renewal: wire::Renewal { active, ended } })
    }

    /// Drops the leases that have run out, and those that nobody uses.
    pub(super) fn sweep(&mut self, now: Monotonic) {
        let over = self.places.leases().filter_map(|(id, lease)| match lease.is_alive(now) {
            false => Some((id, End::Expired)),
            true => lease.is_unused(now).then_some((id, End::Dropped)),
        });
        let over: Vec<(LeaseId, End)> = over.collect();
        over.into_iter().for_each(|(id, how)| self.end(id, how));
    }

    /// Drops the leases that have been unused for longest.
    fn evict(&mut self) {
        let mut oldest: Vec<(Monotonic, LeaseId)> =
            self.places.leases().map(|(id, lease)| (lease.used_at, id)).collect();
        let count = oldest.len().div_ceil(EVICTED_PART);
        if count < oldest.len() {
            oldest.select_nth_unstable(count);
        }
        oldest.into_iter().take(count).for_each(|(_, id)| self.end(id, End::Dropped));
    }

    fn drop_all(&mut self) {
        for id in self.places.all() {
            self.abandon(id);
            self.end(id, End::Dropped);
        }
    }

    fn end(&mut self, id: LeaseId, how: End) {
        let Some(lease) = self.places.lease(id) else { return };
        if lease.is_to_be_reported() && how != End::TakenBack {
            self.ended_active.push(id);
        }
        if how != End::TakenBack {
            self.ended.push(id);
        }
        self.places.free(id);
        match how {
            End::TakenBack => self.counts.taken_back += 1,
            End::Expired => self.counts.expired += 1,
            End::Dropped => self.counts.dropped += 1,
        }
    }
}

/// What a service is told whose stream is left.
#[derive(Debug)]
pub(super) struct Farewell {
    /// The stream.
    pub(super) stream: u32,
    /// Whether another renewal has to be answered first.
    pub(super) waits: bool,
    pub(super) renewal: wire::Renewal,
}

impl Leased {
    /// What a lease allows of a question.
    pub(super) fn new((id, lease): (LeaseId, Lease), question: &Question) -> Self {
        let narrowed = lease.left.of_scopes(&question.principal.facts.scopes);
        Self { id, confirmed_at: lease.confirmed_at, narrowed, upstream_token: None }
    }
}
