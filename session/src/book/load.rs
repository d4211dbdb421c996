//! Filling the book from the store.

use super::{Book, lock};
use crate::access::Access;
use crate::intern::ScopeSet;
use crate::judge::Limits;
use crate::session::{Origin, Session};
use crate::store::{Record, StoreError};
use std::sync::{Arc, PoisonError};

impl Book {
    /// Fills the book with what is stored; answers how many sessions that are. One that a rule was made against just
    /// before a crash ends here, as of the rule.
    pub fn load(&self) -> Result<usize, StoreError> {
        let stored = self.store.rules()?;
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        stored.into_iter().for_each(|rule| rules.add(rule));
        drop(rules);
        let mut count = 0;
        self.store.sessions(&mut |record| {
            let session = Arc::new(self.restore(&record));
            lock(&self.shard(session.id).live).insert(session.id, Arc::clone(&session));
            self.audit.metrics.sessions.inc();
            self.end_if_ruled_out(&session);
            count += 1;
        })?;
        Ok(count)
    }

    /// The session of a record. Its limits are those that the configuration gives its access type now, so that a
    /// limit made shorter holds at the next start; those it opened with only when the type is no longer there.
    fn restore(&self, record: &Record) -> Session {
        let access = self.access.named(&record.access).unwrap_or_else(|| {
            Arc::new(Access {
                name: record.access.clone(),
                limits: Limits { absolute_ms: record.absolute_ms, idle_ms: record.idle_ms },
            })
        });
        let origin = Origin {
            id: record.id(),
            issuer: self.names.name(&record.issuer),
            key: record.key.as_str().into(),
            kind: record.kind,
            subject: record.subject.as_str().into(),
            client: self.names.name(&record.client_id),
            access,
            granted: self.names.scopes(ScopeSet::new(&record.granted)),
            opened_at_ms: record.opened_at_ms,
            returned: record.returned,
        };
        let scopes = self.names.scopes(ScopeSet::new(&record.scopes));
        Session::loaded(origin, scopes, record.last_seen_ms)
    }
}
