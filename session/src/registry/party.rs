//! What is known of the sessions of a party, for whoever is told about it from outside.

use super::sessions::{Registry, SHARDS};
use crate::revocations::{Bearer, RevokedParty};
use crate::session::Session;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Registry {
    /// The subjects of the live sessions that a value of a session claim names.
    pub fn subjects_of(&self, issuer: &str, sid: &str) -> Vec<String> {
        let is_it = |bearer: Bearer<'_>| bearer.issuer == issuer && bearer.sid() == Some(sid);
        let subjects: BTreeSet<String> =
            self.live().filter(|session| is_it(session.bearer())).map(|session| session.subject.to_string()).collect();
        subjects.into_iter().filter(|subject| !subject.is_empty()).collect()
    }

    /// Whether a live session is of a client.
    pub fn has_client(&self, issuer: &str, client: &str) -> bool {
        self.live().any(|session| &*session.issuer == issuer && &*session.client == client)
    }

    /// Whether a party has a live session.
    pub fn has_session(&self, issuer: &str, party: &RevokedParty) -> bool {
        self.live().any(|session| party.holds(issuer, session.bearer()))
    }

    fn live(&self) -> impl Iterator<Item = Arc<Session>> {
        (0..SHARDS).flat_map(|shard| self.in_shard(shard)).filter(|session| session.ended().is_none())
    }
}
