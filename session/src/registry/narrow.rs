//! The scopes of sessions: an administrator narrows them for a whole party, and tokens extend them where the access type
//! allows.
//!
//! As with revocations, one race determines the order. A narrowing is published before the sessions of its party are looked
//! for. A session that opens is either entered first, or reads the narrowings under the lock under which it is entered. So
//! either the session has the narrowing, or the search finds the session.

use super::Registry;
use super::sessions::SHARDS;
use crate::life::Stage;
use crate::narrowings::{Narrowing, Party};
use crate::session::Session;
use crate::store::Record;
use crate::token::Token;
use std::sync::{Arc, PoisonError};

impl Registry {
    /// Publishes narrowings, or the ends of some, that are on disk. The next verdict on each session of their parties applies
    /// them. However many there are, the sessions are walked over once.
    pub fn narrow(&self, changed: &[Narrowing]) {
        let mut narrowings = self.narrowings.write().unwrap_or_else(PoisonError::into_inner);
        changed.iter().for_each(|narrowing| narrowings.set(narrowing.clone()));
        drop(narrowings);
        // A subject comes first, and covers its clients.
        for session in (0..SHARDS).flat_map(|shard| self.in_shard(shard)) {
            let party = session.party();
            if changed.iter().any(|narrowing| narrowing.party.covers(&party)) {
                // Read again, for another change may have been published meanwhile.
                self.narrow_session(&session);
                self.followers.changed(session.id);
            }
        }
    }

    /// Narrows a session to the scopes that are left to its party.
    pub(super) fn narrow_session(&self, session: &Session) {
        let narrowings = self.narrowings.read().unwrap_or_else(PoisonError::into_inner);
        session.narrow(narrowings.of(|| session.party()));
    }

    /// The narrowing of exactly this party; one that takes nothing if there is none.
    pub fn narrowing_at(&self, party: &Party) -> Narrowing {
        self.narrowings.read().unwrap_or_else(PoisonError::into_inner).at(party)
    }

    /// The narrowings that hold for the sessions of a party: its own, and that of its subject with every client.
    pub fn narrowings_of(&self, party: &Party) -> Vec<Narrowing> {
        let both = [self.narrowing_at(party), self.narrowing_at(&Party::of_subject(&party.issuer, &party.subject))];
        both.into_iter().filter(|narrowing| !narrowing.is_lifted()).collect()
    }

    /// A page of at most `limit` narrowings after `after`, in the order of their ids, and whether there are more. It walks
    /// over all of them: lists are for people.
    pub fn narrowings_page(&self, after: Option<&str>, limit: usize) -> (Vec<(String, Narrowing)>, bool) {
        let all = self.all_narrowings().into_iter().map(|narrowing| (narrowing.party.id(), narrowing));
        let mut page: Vec<_> = all.filter(|(id, _)| after.is_none_or(|after| id.as_str() > after)).collect();
        page.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
        let has_more = page.len() > limit;
        page.truncate(limit);
        (page, has_more)
    }

    /// All narrowings.
    pub fn all_narrowings(&self) -> Vec<Narrowing> {
        self.narrowings.read().unwrap_or_else(PoisonError::into_inner).all().collect()
    }

    /// Grants a session the scopes of a token that it was not granted, if its access type allows that; returns whether it
    /// did. A narrowing of its party stays.
    pub fn grow(&self, session: &Arc<Session>, token: &Token) -> bool {
        let granted = session.granted();
        if !session.access.growth.allows(session.kind, token.scopes.beyond(&granted)) {
            return false;
        }
        session.grant(&token.scopes, &self.names);
        // Conditions look at the scopes.
        self.followers.changed(session.id);
        // The record on disk lacks the new scopes, and is written whole.
        session.life().change(Stage::overwritten);
        self.enqueue(session);
        let beyond: Vec<&str> = token.scopes.beyond(&granted).collect();
        self.audit.scopes_grew(session, &beyond);
        true
    }
}

impl Record {
    /// The party that its narrowings hold for.
    pub(crate) fn party(&self) -> Party {
        Party::of(&self.issuer, &self.subject, &self.client_id, &self.key)
    }
}

impl Session {
    /// The party that its narrowings hold for.
    pub(crate) fn party(&self) -> Party {
        Party::of(&self.issuer, &self.subject, &self.client, &self.key)
    }
}
