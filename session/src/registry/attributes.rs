//! The attributes of sessions, devices and subjects.
//!
//! The race is that of narrowings: an attribute is published before the sessions that it is about are looked for, and a session
//! reads what holds for it under the lock under which it is entered.

use super::Registry;
use super::sessions::SHARDS;
use crate::attributes::{Attribute, Fact, Holder};
use crate::revocations::{Bearer, RevokedParty};
use crate::session::Session;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError};

impl Registry {
    /// Publishes attributes, or the ends of some, that are on disk; returns what was known of the last one before. The next
    /// verdict on each of their sessions applies them, and their open requests are judged again.
    pub fn set_attributes(&self, changed: &[Attribute]) -> Option<Fact> {
        let mut attributes = self.attributes.write().unwrap_or_else(PoisonError::into_inner);
        let before = changed.iter().map(|attribute| attributes.set(attribute.clone())).last().flatten();
        drop(attributes);
        // However many attributes a holder gets, its sessions are looked for once.
        let holders: HashSet<&Holder> = changed.iter().map(|attribute| &attribute.holder).collect();
        for session in holders.into_iter().flat_map(|holder| self.held_by(holder)) {
            // Read again, for another change may have been published meanwhile.
            self.count_logins(&session);
            self.followers.changed(session.id);
        }
        before
    }

    /// Has the logins of a session count as what its attributes say.
    pub(super) fn count_logins(&self, session: &Session) {
        let attributes = self.attributes.read().unwrap_or_else(PoisonError::into_inner);
        session.set_contexts(attributes.contexts_of(session.bearer()));
    }

    /// The sessions in memory that a holder is about.
    fn held_by(&self, holder: &Holder) -> impl Iterator<Item = Arc<Session>> {
        let (shards, only) = match holder {
            Holder::Session(id) => (0..0, self.find(*id)),
            Holder::Device { .. } => (0..0, None),
            Holder::Sid { .. } | Holder::Subject { .. } => (0..SHARDS, None),
        };
        let is_held = |session: &Arc<Session>| holder.holds(session.bearer());
        shards.flat_map(|shard| self.in_shard(shard)).filter(is_held).chain(only)
    }

    /// Whether one of these is live.
    pub fn is_held(&self, holder: &Holder) -> bool {
        self.held_by(holder).any(|session| session.ended().is_none())
    }

    /// The latest login that an attribute set now can be about: a later one is a new login.
    pub fn login_until_ms(&self, holder: &Holder, now_ms: u64) -> u64 {
        let (issuer, party) = match holder {
            Holder::Session(id) => ("", RevokedParty::Session(*id)),
            Holder::Sid { issuer, sid } => (issuer.as_str(), RevokedParty::Sid(sid.clone())),
            Holder::Subject { issuer, subject } => (issuer.as_str(), RevokedParty::Subject(subject.clone())),
            Holder::Device { .. } => return now_ms,
        };
        self.instant_of(issuer, &party, now_ms)
    }

    /// The attributes of a holder, by name, with those that no longer hold.
    pub fn attributes_at(&self, holder: &Holder) -> BTreeMap<String, Fact> {
        self.attributes.read().unwrap_or_else(PoisonError::into_inner).at(holder).cloned().unwrap_or_default()
    }

    /// What holds for a session, by name.
    pub fn attributes_of(&self, bearer: Bearer<'_>, login_at_ms: u64, now_ms: u64) -> BTreeMap<String, (Holder, Fact)> {
        self.attributes.read().unwrap_or_else(PoisonError::into_inner).of(bearer, login_at_ms, now_ms)
    }

    /// All attributes.
    pub fn all_attributes(&self) -> Vec<Attribute> {
        self.attributes.read().unwrap_or_else(PoisonError::into_inner).all().collect()
    }

    /// Those that nobody can need any more: they had run out before an instant, or were set before it and are about a session
    /// that is not live.
    pub(crate) fn attributes_before(&self, before_ms: u64) -> Vec<Attribute> {
        let is_over = |fact: &Fact| fact.expires_at_ms.is_some_and(|at_ms| at_ms < before_ms);
        let (over, others): (Vec<_>, Vec<_>) =
            self.all_attributes().into_iter().partition(|attribute| attribute.fact.as_ref().is_none_or(is_over));
        let is_old = |attribute: &Attribute| {
            let is_about_session = matches!(attribute.holder, Holder::Session(_) | Holder::Sid { .. });
            is_about_session && attribute.fact.as_ref().is_some_and(|fact| fact.set_at_ms < before_ms)
        };
        let old: Vec<Attribute> = others.into_iter().filter(is_old).collect();
        let live = self.live_sids(&old);
        let is_left = |attribute: &Attribute| match &attribute.holder {
            Holder::Session(_) => !self.is_held(&attribute.holder),
            Holder::Sid { issuer, sid } => !live.contains(&(issuer.as_str(), sid.as_str())),
            Holder::Device { .. } | Holder::Subject { .. } => false,
        };
        over.into_iter().chain(old.iter().filter(|attribute| is_left(attribute)).cloned()).collect()
    }

    /// Which values of session claims, of those that these are about, have a live session. The sessions are walked over once.
    fn live_sids<'a>(&self, attributes: &'a [Attribute]) -> HashSet<(&'a str, &'a str)> {
        let mut wanted: HashMap<&str, HashSet<&str>> = HashMap::new();
        for Attribute { holder, .. } in attributes {
            if let Holder::Sid { issuer, sid } = holder {
                wanted.entry(issuer).or_default().insert(sid);
            }
        }
        let mut live = HashSet::new();
        if wanted.is_empty() {
            return live;
        }
        for session in (0..SHARDS).flat_map(|shard| self.in_shard(shard)).filter(|session| session.ended().is_none()) {
            let bearer = session.bearer();
            let of_issuer = wanted.get_key_value(bearer.issuer);
            let named = of_issuer.and_then(|(issuer, sids)| Some((*issuer, *sids.get(bearer.sid()?)?)));
            live.extend(named);
        }
        live
    }
}
