//! Revocations of a whole party: publishing one, and ending what it covers.

use super::sessions::{Registry, SHARDS, revoked};
use crate::audit::EndedBy;
use crate::revocations::Revocation;
use crate::session::Session;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

impl Registry {
    /// Publishes a revocation that is on disk, then ends the live sessions that it covers and returns them.
    pub fn publish(&self, revocation: &Revocation) -> Vec<Arc<Session>> {
        let mut revocations = self.revocations.write().unwrap_or_else(PoisonError::into_inner);
        revocations.add(revocation.clone());
        drop(revocations);
        self.revocations_epoch.fetch_add(1, Ordering::SeqCst);
        let is_covered = |s: &Session| revocation.covers(&s.issuer, &s.subject, &s.client, s.opened_at_ms);
        let mut covered = Vec::new();
        for shard in 0..SHARDS {
            covered.extend(self.in_shard(shard).into_iter().filter(|session| is_covered(session)));
        }
        covered.retain(|session| {
            self.settle(session, revocation.made_at_ms, EndedBy::Judge).is_none()
                && self.end(session, revoked(revocation.made_at_ms), EndedBy::Revocation)
        });
        // It may cover a token whose session it does not cover. Revocations are rare: all follows are judged again.
        self.followers.all_changed();
        covered
    }

    /// Ends a session that a revocation stands against, as of when that was made; returns whether there is one.
    pub fn end_if_revoked(&self, session: &Arc<Session>) -> bool {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        let against = revocations.against(&session.issuer, &session.subject, &session.client, session.opened_at_ms);
        let made_at_ms = against.map(|revocation| revocation.made_at_ms);
        drop(revocations);
        if let Some(made_at_ms) = made_at_ms {
            self.end(session, revoked(made_at_ms), EndedBy::Revocation);
        }
        made_at_ms.is_some()
    }
}
