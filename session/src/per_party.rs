//! The rules that hold for parties, at most one for each, so that a question costs four look-ups however many there are.

use crate::revocations::{Bearer, RevokedParty};
use std::collections::{BTreeMap, HashMap};

/// A rule that is about one party of one issuer.
pub trait OfParty: Clone + PartialEq {
    /// The issuer of the tokens.
    fn issuer(&self) -> &str;

    /// Which of the issuer's sessions it is about.
    fn party(&self) -> RevokedParty;

    /// Its public id: the same for every rule of its kind about the same party.
    fn id(&self) -> String {
        self.party().id(self.issuer())
    }
}

/// Rules of one kind.
#[derive(Debug)]
pub struct PerParty<T>(HashMap<String, OfIssuer<T>>);

#[derive(Debug)]
struct OfIssuer<T> {
    everyone: Option<T>,
    subjects: HashMap<String, T>,
    clients: HashMap<String, T>,
    sids: HashMap<String, T>,
}

impl<T> Default for PerParty<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Default for OfIssuer<T> {
    fn default() -> Self {
        Self { everyone: None, subjects: HashMap::new(), clients: HashMap::new(), sids: HashMap::new() }
    }
}

impl<T> OfIssuer<T> {
    fn all(&self) -> impl Iterator<Item = &T> {
        let named = [&self.subjects, &self.clients, &self.sids].into_iter().flat_map(HashMap::values);
        self.everyone.iter().chain(named)
    }

    fn get(&self, party: &RevokedParty) -> Option<&T> {
        match party {
            RevokedParty::Everyone => self.everyone.as_ref(),
            RevokedParty::Subject(name) => self.subjects.get(name),
            RevokedParty::Client(name) => self.clients.get(name),
            RevokedParty::Sid(name) => self.sids.get(name),
        }
    }

    fn put(&mut self, party: RevokedParty, rule: T) -> Option<T> {
        match party {
            RevokedParty::Everyone => self.everyone.replace(rule),
            RevokedParty::Subject(name) => self.subjects.insert(name, rule),
            RevokedParty::Client(name) => self.clients.insert(name, rule),
            RevokedParty::Sid(name) => self.sids.insert(name, rule),
        }
    }

    fn remove(&mut self, party: &RevokedParty) {
        match party {
            RevokedParty::Everyone => drop(self.everyone.take()),
            RevokedParty::Subject(name) => drop(self.subjects.remove(name)),
            RevokedParty::Client(name) => drop(self.clients.remove(name)),
            RevokedParty::Sid(name) => drop(self.sids.remove(name)),
        }
    }
}

impl<T: OfParty> PerParty<T> {
    /// The rule about a party.
    pub fn get(&self, issuer: &str, party: &RevokedParty) -> Option<&T> {
        self.0.get(issuer)?.get(party)
    }

    /// Puts a rule in the place of the one about the same party, which is returned.
    pub fn put(&mut self, rule: T) -> Option<T> {
        self.0.entry(rule.issuer().to_owned()).or_default().put(rule.party(), rule)
    }

    /// Removes a rule, unless another about the same party has come since; returns whether it was there.
    pub fn remove(&mut self, rule: &T) -> bool {
        let party = rule.party();
        let Some(of_issuer) = self.0.get_mut(rule.issuer()).filter(|held| held.get(&party) == Some(rule)) else {
            return false;
        };
        of_issuer.remove(&party);
        true
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.values().flat_map(OfIssuer::all)
    }

    /// Those about the party of a session or token.
    pub fn about(&self, bearer: Bearer<'_>) -> impl Iterator<Item = &T> {
        let found = self.0.get(bearer.issuer).map(|of_issuer| {
            [
                of_issuer.everyone.as_ref(),
                of_issuer.subjects.get(bearer.subject),
                of_issuer.clients.get(bearer.client),
                bearer.sid().and_then(|sid| of_issuer.sids.get(sid)),
            ]
        });
        found.into_iter().flatten().flatten()
    }

    /// A page of at most `limit` of those that are `listed`, after the id `after` and in the order of their ids, and whether
    /// there are more. It walks over all of them: lists are for people.
    pub fn page(&self, after: Option<&str>, limit: usize, listed: impl Fn(&T) -> bool) -> (Vec<(String, T)>, bool) {
        let mut page = BTreeMap::new();
        for rule in self.all().filter(|rule| listed(rule)) {
            let id = rule.id();
            if after.is_none_or(|after| id.as_str() > after) {
                page.insert(id, rule);
                if page.len() > limit.saturating_add(1) {
                    page.pop_last();
                }
            }
        }
        let has_more = page.len() > limit;
        (page.into_iter().take(limit).map(|(id, rule)| (id, rule.clone())).collect(), has_more)
    }
}
