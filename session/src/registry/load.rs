//! Loading the registry from the store.

use super::Registry;
use crate::access::{Access, Growth};
use crate::intern::ScopeSet;
use crate::judge::Limits;
use crate::session::{Origin, Session};
use crate::store::{Record, StoreError};
use std::sync::{Arc, PoisonError};
use tracing::error;

impl Registry {
    /// Loads what is stored; returns the number of sessions. If a party was revoked just before a crash, its sessions end
    /// here, as of the revocation.
    pub fn load(&self) -> Result<usize, StoreError> {
        // First, so that whatever is changed meanwhile is applied again rather than missed.
        self.store.start_at_head()?;
        self.issuers().load(self.store.issuers()?);
        self.leads().load(self.store.leads()?);
        let rules = self.store.rules()?;
        let mut revocations = self.revocations.write().unwrap_or_else(PoisonError::into_inner);
        rules.revocations.into_iter().for_each(|revocation| revocations.add(revocation));
        drop(revocations);
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        rules.blocks.into_iter().for_each(|block| drop(blocks.add(block)));
        drop(blocks);
        let mut narrowings = self.narrowings.write().unwrap_or_else(PoisonError::into_inner);
        rules.narrowings.into_iter().for_each(|narrowing| narrowings.set(narrowing));
        drop(narrowings);
        let mut attributes = self.attributes.write().unwrap_or_else(PoisonError::into_inner);
        rules.attributes.into_iter().for_each(|attribute| attributes.set(attribute));
        drop(attributes);
        rules.held.into_iter().for_each(|signal| self.hold(signal));
        self.put_requests(&rules.requests);
        let mut count = 0;
        let damaged = self.store.sessions(&mut |record| {
            let session = Arc::new(self.restore(&record));
            self.narrow_session(&session);
            self.count_logins(&session);
            self.grant_session(&session);
            self.in_memory(session.id).put(&session);
            self.metrics.sessions.inc();
            self.end_if_revoked(&session);
            count += 1;
        })?;
        if damaged > 0 {
            error!(sessions = damaged, "the store has records that cannot be read: their sessions get no verdict");
        }
        Ok(count)
    }

    /// The session of a record. Its limits are those that the configuration has for its access type now, so that a
    /// shorter limit holds from the next start; those it opened with count only when there is no such type any more.
    pub(super) fn restore(&self, record: &Record) -> Session {
        let access = self.terms.access.named(&record.access).unwrap_or_else(|| {
            Arc::new(Access {
                name: record.access.clone(),
                limits: Limits { absolute_ms: record.absolute_ms, idle_ms: record.idle_ms },
                growth: Growth::default(),
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
            opened_at_ms: record.opened_at_ms,
            returned: record.returned,
            returned_from_ms: record.returned_from_ms,
        };
        let granted = self.names.scopes(ScopeSet::new(&record.granted));
        let session = Session::loaded(origin, granted, record.marks);
        if let Some(email) = record.email {
            session.set_email(email);
        }
        session
    }
}
