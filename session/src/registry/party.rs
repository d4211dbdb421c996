//! What is known of the sessions of a party, for whoever is told about it from outside.

use super::sessions::{Registry, SHARDS};
use crate::email::EmailDigest;
use crate::narrowings::Party;
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

    /// Whether a live session is of one of these clients, at one of these issuers.
    pub fn has_client(&self, issuers: &[String], clients: &[String]) -> bool {
        let is_of = |names: &[String], name: &str| names.iter().any(|of| of == name);
        self.live().any(|session| is_of(issuers, &session.issuer) && is_of(clients, &session.client))
    }

    /// The subjects of the live sessions whose tokens have said this e-mail address.
    pub fn subjects_with(&self, issuer: &str, email: EmailDigest) -> Vec<String> {
        let is_it = |session: &Arc<Session>| *session.issuer == *issuer && session.email() == Some(email);
        let subjects: BTreeSet<String> = self.live().filter(is_it).map(|session| session.subject.to_string()).collect();
        subjects.into_iter().filter(|subject| !subject.is_empty()).collect()
    }

    /// The parties of the live sessions that a value of a session claim names.
    pub fn parties_of(&self, issuer: &str, sid: &str) -> Vec<Party> {
        let is_it = |bearer: Bearer<'_>| bearer.issuer == issuer && bearer.sid() == Some(sid);
        let mut parties: Vec<Party> = Vec::new();
        for party in self.live().filter(|session| is_it(session.bearer())).map(|session| session.party()) {
            if !parties.contains(&party) {
                parties.push(party);
            }
        }
        parties
    }

    /// Whether a party that scopes are taken from has a live session.
    pub fn has_party(&self, party: &Party) -> bool {
        self.live().any(|session| party.covers(&session.party()))
    }

    /// Whether a party has a live session.
    pub fn has_session(&self, issuer: &str, party: &RevokedParty) -> bool {
        self.live().any(|session| party.holds(issuer, session.bearer()))
    }

    fn live(&self) -> impl Iterator<Item = Arc<Session>> {
        (0..SHARDS).flat_map(|shard| self.in_shard(shard)).filter(|session| session.ended().is_none())
    }
}
