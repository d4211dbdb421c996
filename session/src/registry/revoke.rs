//! Revocations of a whole party: publishing one, and ending what it covers.

use super::sessions::{Registry, SHARDS, revoked};
use crate::audit::EndedBy;
use crate::judge::End;
use crate::made_by::MadeBy;
use crate::per_party::OfParty;
use crate::revocations::{Revocation, RevokedParty};
use crate::session::Session;
use portcullis_contract::SessionId;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

impl Registry {
    /// The end of a session by a revocation that is made now, whose newest token is from `newest_ms`.
    pub fn revoked_now(&self, issuer: &str, newest_ms: u64, now_ms: u64) -> End {
        revoked(self.leads.instant(issuer, newest_ms, now_ms))
    }

    /// The instant of a revocation of a party that is made now: later than every token that was seen of its sessions.
    pub fn instant_of(&self, issuer: &str, party: &RevokedParty, now_ms: u64) -> u64 {
        let all = Revocation {
            issuer: issuer.to_owned(),
            party: party.clone(),
            before_ms: u64::MAX,
            made_at_ms: now_ms,
            ends_at_ms: now_ms,
            reason: String::new(),
            by: MadeBy::default(),
        };
        let newest = |s: Arc<Session>| all.covers(s.bearer()).then(|| s.marks().newest_ms());
        let newest_ms = self.candidates(party).filter_map(newest).max().unwrap_or_default();
        match party {
            RevokedParty::Session(_) => self.leads.instant_of_any(newest_ms, now_ms),
            RevokedParty::Everyone
            | RevokedParty::Subject(_)
            | RevokedParty::Client(_)
            | RevokedParty::Sid(_)
            | RevokedParty::Others { .. }
            | RevokedParty::Unnamed(_) => self.leads.instant(issuer, newest_ms, now_ms),
        }
    }

    /// Applies an end that is on disk in memory. While it was written, another session may have taken the place of the
    /// ended one: that session is over as well, and is returned so that it is written. A look-up from before this is
    /// repeated.
    pub fn ended_on_disk(&self, id: SessionId, end: End) -> Option<Arc<Session>> {
        let mut sessions = self.in_memory(id);
        sessions.forgotten += 1;
        let held = sessions.by_id.get(&id).cloned();
        drop(sessions);
        let held = held.filter(|session| session.ended().is_none_or(|own| own.merged(end) != own))?;
        self.end(&held, end, EndedBy::Admin);
        Some(held)
    }

    /// Publishes a revocation that is on disk, then ends the live sessions that it covers; returns how many. `unwritten` takes
    /// these and the ended ones whose tombstone another call may still wait for: the answer rests on all of them.
    pub fn publish(&self, revocation: &Revocation, unwritten: &mut Vec<Arc<Session>>, by: EndedBy) -> usize {
        let mut revocations = self.revocations.write().unwrap_or_else(PoisonError::into_inner);
        revocations.add(revocation.clone());
        drop(revocations);
        self.rules_epoch.fetch_add(1, Ordering::SeqCst);
        let is_covered = |s: &Arc<Session>| revocation.covers(self.judged(s.kind, s.bearer()));
        let covered: Vec<_> = self.candidates(&revocation.party).filter(is_covered).collect();
        let mut ended = 0;
        for session in &covered {
            let is_live = self.settle(session, revocation.made_at_ms, EndedBy::Judge).is_none();
            ended += usize::from(is_live && self.end(session, revoked(revocation.ends_at_ms), by));
        }
        // It may cover a token whose session it does not cover: all follows are judged again.
        self.followers.all_changed();
        unwritten.extend(covered.into_iter().filter(|session| session.life().stage().to_write().is_some()));
        ended
    }

    /// The sessions in memory that may be of a party: a shard at a time, so that no lock is held for long.
    fn candidates(&self, party: &RevokedParty) -> impl Iterator<Item = Arc<Session>> {
        let (shards, only) = match party {
            RevokedParty::Session(id) => (0..0, self.find(*id)),
            RevokedParty::Everyone
            | RevokedParty::Subject(_)
            | RevokedParty::Client(_)
            | RevokedParty::Sid(_)
            | RevokedParty::Others { .. }
            | RevokedParty::Unnamed(_) => (0..SHARDS, None),
        };
        shards.flat_map(|shard| self.in_shard(shard)).chain(only)
    }

    /// The revocation with that id.
    pub fn revocation(&self, id: &str) -> Option<Revocation> {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        revocations.all().find(|revocation| revocation.id() == id).cloned()
    }

    /// A page of at most `limit` revocations after `after`, in the order of their ids, and whether there are more.
    pub fn revocations_page(&self, after: Option<&str>, limit: usize) -> (Vec<(String, Revocation)>, bool) {
        self.revocations.read().unwrap_or_else(PoisonError::into_inner).page(after, limit)
    }

    /// Takes back a revocation that is no longer on disk. What it ended stays ended.
    pub fn lift(&self, revocation: &Revocation) -> bool {
        let is_lifted = self.revocations.write().unwrap_or_else(PoisonError::into_inner).lift(revocation);
        self.rules_epoch.fetch_add(1, Ordering::SeqCst);
        is_lifted
    }

    /// Ends a session that a revocation covers, as of the revocation's instant; returns whether there is one.
    pub fn end_if_revoked(&self, session: &Arc<Session>) -> bool {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        let against = revocations.against(self.judged(session.kind, session.bearer()));
        let ends_at_ms = against.map(|revocation| revocation.ends_at_ms);
        drop(revocations);
        if let Some(ends_at_ms) = ends_at_ms {
            self.end(session, revoked(ends_at_ms), EndedBy::Revocation);
        }
        ends_at_ms.is_some()
    }
}
