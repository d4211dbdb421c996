//! What the writer does to the book once a change is on disk: entering the sessions that the admin API opens, and
//! publishing rules.

use super::{Book, Grave, NotOpened, SHARDS, lock, origin, revoked};
use crate::access::Access;
use crate::metrics::Opened;
use crate::rules::Rule;
use crate::session::Session;
use crate::store::StoreError;
use crate::token::Token;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

impl Book {
    /// The session that the admin API asks for, not yet entered.
    pub fn draft(
        &self,
        token: &Token,
        access: &Arc<Access>,
        now_ms: u64,
    ) -> Result<Result<Session, NotOpened>, StoreError> {
        if self.is_ruled_out(token) {
            return Ok(Err(NotOpened::RuledOut));
        }
        let grave = match self.find(token.id) {
            Some(session) => match self.settle(&session, now_ms, "judge") {
                None => return Ok(Err(NotOpened::Lives)),
                Some(end) => Some(Grave { end, kind: session.kind }),
            },
            None => self.buried(token.id)?,
        };
        if let Some(grave) = grave.filter(|grave| !grave.opens_for(token.kind, token.start_ms)) {
            return Ok(Err(NotOpened::Ended(grave.end.reason)));
        }
        let origin = origin(token, Arc::clone(access), grave.map(|grave| grave.end));
        Ok(Ok(Session::opened(origin, now_ms)))
    }

    /// Enters a session whose record is on disk. Gives back the one that lives under its id, if there is one.
    pub fn enter(&self, session: &Arc<Session>, now_ms: u64) -> Result<(), Arc<Session>> {
        let mut live = lock(&self.shard(session.id).live);
        if let Some(held) = live.get(&session.id)
            && held.ended().is_none()
        {
            return Err(Arc::clone(held));
        }
        live.insert(session.id, Arc::clone(session));
        drop(live);
        self.openings_epoch.fetch_add(1, Ordering::SeqCst);
        self.audit.opened(session, Opened::Explicit, now_ms);
        Ok(())
    }

    /// Publishes a rule that is on disk, then ends the sessions it is against: those are returned.
    pub fn publish(&self, rule: &Rule) -> Vec<Arc<Session>> {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        rules.add(rule.clone());
        drop(rules);
        self.rules_epoch.fetch_add(1, Ordering::SeqCst);
        let is_hit = |s: &Session| rule.hits(&s.issuer, &s.subject, &s.client, s.opened_at_ms);
        let mut hit = Vec::new();
        for shard in 0..SHARDS {
            hit.extend(self.in_shard(shard).into_iter().filter(|session| is_hit(session)));
        }
        hit.retain(|session| {
            self.settle(session, rule.made_at_ms, "judge").is_none()
                && self.end(session, revoked(rule.made_at_ms), "rule")
        });
        // It may be against a token whose session it is not against. Rules are rare: all follows are judged again.
        self.followers.all_changed();
        hit
    }
}
