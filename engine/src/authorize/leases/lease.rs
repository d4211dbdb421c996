//! One lease: until when it lives, and what extends it.

use super::{Key, Left};
use crate::{time::Monotonic, wire};
use portcullis_contract::bounds::LEASE_MS_MAX;

/// The terms on which the service gives a lease.
#[derive(Debug, Clone, Copy)]
pub(in crate::authorize) struct Grant {
    /// Read before its question was sent.
    pub(in crate::authorize) sent_at: Monotonic,
    /// For how long; not for longer than the route wants.
    pub(in crate::authorize) lease_ms: u64,
    /// Until the session's absolute limit and the route's, when the question was judged.
    pub(in crate::authorize) remaining_ms: Option<u64>,
    /// Until the idle limit, likewise.
    pub(in crate::authorize) idle_ms: Option<u64>,
    /// Whether requests on the route are activity.
    pub(in crate::authorize) touches: bool,
    pub(in crate::authorize) left: Left,
    /// What its requests are counted as.
    pub(in crate::authorize) kind: u16,
}

impl Grant {
    /// The terms of a verdict for a question that was sent at `sent_at`; `None` if it gives no lease.
    pub(in crate::authorize) fn of(verdict: &wire::Verdict, route: &wire::Route, sent_at: Monotonic) -> Option<Self> {
        let lease_ms = verdict.lease_ms?.min(route.lease_ms).min(LEASE_MS_MAX);
        let (remaining_ms, idle_ms) = (verdict.remaining_ms, verdict.idle_ms);
        let touches = !route.background;
        Some(Self { sent_at, lease_ms, remaining_ms, idle_ms, touches, left: Left::WHOLE, kind: 0 })
    }
}

/// A lease. There can be thousands of them, so its size counts.
#[derive(Debug, Clone, Copy, Hash)]
pub(in crate::authorize) struct Lease {
    pub(super) key: Key,
    /// When the question or the renewal was sent that it stands on.
    pub(super) confirmed_at: Monotonic,
    /// It releases requests before this instant.
    until: Monotonic,
    /// When it last released a request, or was given.
    pub(super) used_at: Monotonic,
    /// When the session or the route ends it, whoever is active.
    hard_end: Monotonic,
    /// When it ends if nobody is active.
    idle_end: Monotonic,
    idle_ms: u64,
    pub(super) left: Left,
    given_ms: u16,
    pub(super) kind: u16,
    touches: bool,
    /// It has released requests since it was given, or since the last renewal was sent.
    is_used: bool,
    /// The renewal that is out says that it has.
    is_reported: bool,
    /// The renewal that is out is about it.
    is_renewing: bool,
}

impl Lease {
    pub(super) fn new(key: Key, grant: &Grant, now: Monotonic) -> Self {
        let never = u64::MAX;
        let (lease_ms, idle_ms) = (grant.lease_ms.min(LEASE_MS_MAX), grant.idle_ms.unwrap_or(never));
        let hard_end = grant.sent_at.after(grant.remaining_ms.unwrap_or(never));
        let idle_end = grant.sent_at.after(idle_ms);
        Self {
            key,
            confirmed_at: grant.sent_at,
            until: grant.sent_at.after(lease_ms).min(hard_end).min(idle_end),
            used_at: now,
            hard_end,
            idle_end,
            idle_ms,
            left: grant.left,
            given_ms: u16::try_from(lease_ms).unwrap_or(u16::MAX),
            kind: grant.kind,
            touches: grant.touches,
            is_used: false,
            is_reported: false,
            is_renewing: false,
        }
    }

    /// Whether it releases a request that arrived before this instant was read.
    pub(super) fn is_alive(&self, now: Monotonic) -> bool {
        now < self.until
    }

    /// Whether it has released no request for as long as it was given for.
    pub(super) fn is_unused(&self, now: Monotonic) -> bool {
        self.used_at.after(u64::from(self.given_ms)) <= now
    }

    pub(super) fn note_use(&mut self, now: Monotonic) {
        (self.used_at, self.is_used) = (now, true);
    }

    /// Whether the service should learn that it has released requests.
    pub(super) fn is_to_be_reported(&self) -> bool {
        self.is_used && self.touches
    }

    /// A renewal leaves. Returns whether it says that the lease was used.
    pub(super) fn begin_renewal(&mut self) -> bool {
        let is_reported = self.is_to_be_reported();
        (self.is_renewing, self.is_reported, self.is_used) = (true, is_reported, false);
        is_reported
    }

    /// The renewal is answered: it extends the lease, counted from when it was sent, or not at all. One that was given since
    /// is not extended, because the service may not have given it yet when it read the renewal.
    pub(super) fn end_renewal(&mut self, sent_at: Option<Monotonic>) {
        let (is_renewing, is_reported) = (self.is_renewing, self.is_reported);
        (self.is_renewing, self.is_reported) = (false, false);
        let Some(sent_at) = sent_at.filter(|_| is_renewing) else { return };
        if is_reported {
            // Activity counts as of the moment at which the service gave the lease, which was not before this.
            self.idle_end = self.idle_end.max(self.confirmed_at.after(self.idle_ms));
        }
        let end = sent_at.after(u64::from(self.given_ms)).min(self.hard_end).min(self.idle_end);
        self.until = self.until.max(end);
        self.confirmed_at = sent_at;
    }
}
