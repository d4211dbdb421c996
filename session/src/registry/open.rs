//! Sessions that the admin API opens: drafted, written by the writer, and entered once they are on disk.

use super::sessions::{Registry, Tombstone, origin};
use crate::access::Access;
use crate::audit::{Actor, EndedBy};
use crate::judge::{End, Reason};
use crate::metrics::Opened;
use crate::session::Session;
use crate::store::StoreError;
use crate::token::Token;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why the admin API cannot open a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpened {
    /// It is live.
    Lives,
    /// It has ended, and does not come back.
    Ended(Reason),
    /// A revocation stands against it.
    Revoked,
}

impl Registry {
    /// The session that the admin API asks for, not yet entered. `ends` is an end that the same commit brings. Reads the
    /// disk, and is called by the writer only.
    pub fn draft(
        &self,
        token: &Token,
        access: &Arc<Access>,
        ends: Option<End>,
        now_ms: u64,
    ) -> Result<Result<Session, NotOpened>, StoreError> {
        if self.is_revoked(token) {
            return Ok(Err(NotOpened::Revoked));
        }
        let tombstone = match self.find(token.id) {
            Some(session) => match self.settle(&session, now_ms, EndedBy::Judge) {
                None => return Ok(Err(NotOpened::Lives)),
                Some(end) => Some(Tombstone::of(&session, end)),
            },
            None => self.store.tombstone(token.id)?.as_ref().and_then(Tombstone::read),
        };
        let tombstone = tombstone.map(|tombstone| ends.map_or(tombstone, |end| tombstone.and(end)));
        if let Some(tombstone) = tombstone.filter(|tombstone| !tombstone.opens_for(token)) {
            return Ok(Err(NotOpened::Ended(tombstone.end.reason)));
        }
        let origin = origin(token, Arc::clone(access), tombstone);
        Ok(Ok(Session::opened(origin, token.scopes.clone(), token.marks(self.agreement.activity_ms(now_ms)))))
    }

    /// Enters a session whose record is on disk. A first use may have come in between: then the error is its session,
    /// over whose record the new one was written.
    pub fn enter(&self, session: &Arc<Session>, by: Opened, actor: &Actor, now_ms: u64) -> Result<(), Arc<Session>> {
        let mut sessions = self.in_memory(session.id);
        if let Some(held) = sessions.by_id.get(&session.id)
            && held.ended().is_none_or(|end| session.returned != Some(end))
        {
            return Err(Arc::clone(held));
        }
        self.narrow_session(session);
        self.count_logins(session);
        self.grant_session(session);
        sessions.put(session);
        drop(sessions);
        if matches!(by, Opened::Explicit) {
            self.openings_epoch.fetch_add(1, Ordering::SeqCst);
        }
        self.audit.opened(session, by, actor, now_ms);
        Ok(())
    }
}
