//! The attributes of sessions, devices and subjects.
//!
//! The race is that of narrowings: an attribute is published before the sessions that it is about are looked for, and a session
//! reads what holds for it under the lock under which it is entered.

use super::Registry;
use super::sessions::SHARDS;
use crate::attributes::{ACR, Attribute, Fact, Holder, Known, Standing};
#[cfg(feature = "conditions")]
use crate::conditions::Layers;
use crate::revocations::{Bearer, RevokedParty};
use crate::session::Session;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError};

/// Attributes that one commit drops: the next round goes on.
const FORGOTTEN_MAX: usize = 4_096;

impl Registry {
    /// Publishes attributes, or the ends of some, that are on disk. The next verdict on each of their sessions applies them, and
    /// their open requests are judged again.
    pub fn set_attributes(&self, changed: &[Attribute]) {
        let mut attributes = self.attributes.write().unwrap_or_else(PoisonError::into_inner);
        changed.iter().for_each(|attribute| attributes.set(attribute.clone()));
        drop(attributes);
        // Conditions may look at any of them.
        let moved = changed.iter().map(|attribute| self.fact_epochs.changed(&attribute.holder)).collect();
        self.followers.facts_changed(&moved);
        if changed.iter().any(|attribute| matches!(attribute.holder, Holder::Device { .. })) {
            self.followers.leases().devices_changed();
        }
        // Nothing else decides anything without them.
        let holders: HashSet<&Holder> = changed.iter().filter(|set| set.name == ACR).map(|set| &set.holder).collect();
        for session in self.held_by(&holders) {
            // Read again, for another change may have been published meanwhile.
            self.count_logins(&session);
            self.followers.changed(session.id);
        }
    }

    /// Has the logins of a session count as what its attributes say.
    pub(super) fn count_logins(&self, session: &Session) {
        let attributes = self.attributes.read().unwrap_or_else(PoisonError::into_inner);
        session.set_contexts(attributes.contexts_of(session.bearer()));
    }

    /// The sessions in memory that these are about, which are walked over once at most.
    fn held_by(&self, holders: &HashSet<&Holder>) -> impl Iterator<Item = Arc<Session>> {
        let is_many = |holder: &&Holder| matches!(holder, Holder::Sid { .. } | Holder::Subject { .. });
        let shards = if holders.iter().any(is_many) { 0..SHARDS } else { 0..0 };
        let is_held = move |session: &Arc<Session>| {
            let bearer = session.bearer();
            holders.iter().any(|holder| is_many(holder) && holder.holds(bearer))
        };
        let named = holders.iter().filter_map(|holder| match holder {
            Holder::Session(id) => self.find(*id),
            Holder::Sid { .. } | Holder::Device { .. } | Holder::Subject { .. } => None,
        });
        shards.flat_map(|shard| self.in_shard(shard)).filter(is_held).chain(named)
    }

    /// Whether a session of one of these is live.
    pub fn are_held(&self, holders: &HashSet<&Holder>) -> bool {
        !holders.is_empty() && self.held_by(holders).any(|session| session.ended().is_none())
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

    /// The attributes of a holder, with those that no longer hold.
    pub fn attributes_at(&self, holder: &Holder) -> Known {
        self.attributes.read().unwrap_or_else(PoisonError::into_inner).at(holder).cloned().unwrap_or_default()
    }

    /// What holds for a session and its device, by kind of holder.
    #[cfg(feature = "conditions")]
    pub(crate) fn layers_of(&self, bearer: Bearer<'_>, device: &str, now_ms: u64) -> Layers {
        Layers::of(&self.attributes.read().unwrap_or_else(PoisonError::into_inner), bearer, device, now_ms)
    }

    /// What holds for a session, by name.
    pub fn attributes_of(&self, bearer: Bearer<'_>, now_ms: u64) -> BTreeMap<String, Standing> {
        self.attributes.read().unwrap_or_else(PoisonError::into_inner).of(bearer, now_ms)
    }

    /// Whether anything is known of any device. Then what is known of a session depends on where its requests come from.
    #[cfg(feature = "conditions")]
    pub(crate) fn knows_devices(&self) -> bool {
        self.attributes.read().unwrap_or_else(PoisonError::into_inner).know_devices()
    }

    /// All attributes.
    pub fn all_attributes(&self) -> Vec<Attribute> {
        self.attributes.read().unwrap_or_else(PoisonError::into_inner).all().collect()
    }

    /// The ends of those that nobody can need any more: they had run out before an instant, or were set before it and are
    /// about a session that is not live.
    pub(crate) fn attributes_before(&self, before_ms: u64) -> Vec<Attribute> {
        let is_over = |fact: &Fact| fact.expires_at_ms.is_some_and(|at_ms| at_ms < before_ms);
        let (mut over, mut old) = (Vec::new(), Vec::new());
        let attributes = self.attributes.read().unwrap_or_else(PoisonError::into_inner);
        for (holder, known) in attributes.each() {
            let is_about_session = matches!(holder, Holder::Session(_) | Holder::Sid { .. });
            for ((name, source), fact) in known {
                let kept = match () {
                    () if is_over(fact) => &mut over,
                    () if is_about_session && fact.set_at_ms < before_ms => &mut old,
                    () => continue,
                };
                let (name, source) = (name.clone(), source.clone());
                kept.push(Attribute { holder: holder.clone(), name, source, fact: None });
            }
        }
        drop(attributes);
        let live = self.live_sids(&old);
        let is_left = |attribute: &&Attribute| match &attribute.holder {
            Holder::Session(id) => self.find(*id).is_none_or(|session| session.ended().is_some()),
            Holder::Sid { issuer, sid } => !live.contains(&(issuer.as_str(), sid.as_str())),
            Holder::Device { .. } | Holder::Subject { .. } => false,
        };
        over.into_iter().chain(old.iter().filter(is_left).cloned()).take(FORGOTTEN_MAX).collect()
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
