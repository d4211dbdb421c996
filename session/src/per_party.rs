//! The rules that hold for parties, at most one for each, so that a question costs four look-ups however many there are.
//! Two more are made only while there is a rule about the others of somebody's session, or about the id of a session.

use crate::revocations::{Bearer, RevokedParty};
use portcullis_contract::SessionId;
use std::collections::{BTreeMap, HashMap};

/// A rule that is about one party of one issuer.
pub trait OfParty: Clone + PartialEq {
    /// The issuer of the tokens.
    fn issuer(&self) -> &str;

    /// Which of the issuer's sessions it is about.
    fn party(&self) -> RevokedParty;

    /// The transmitter whose signal has made it, where such rules stand beside those of operators; else empty.
    fn transmitter(&self) -> &str {
        ""
    }

    /// Its public id: the same for every rule of its kind about the same party.
    fn id(&self) -> String {
        self.party().id(self.issuer(), self.transmitter())
    }

    /// What a store knows it by: JSON.
    fn key(&self) -> serde_json::Result<Vec<u8>> {
        match self.transmitter() {
            "" => serde_json::to_vec(&(self.issuer(), self.party())),
            transmitter => serde_json::to_vec(&(self.issuer(), self.party(), transmitter)),
        }
    }
}

/// Rules of one kind.
#[derive(Debug)]
pub struct PerParty<T> {
    issuers: HashMap<String, OfIssuer<T>>,
    /// Of a session that was not seen, only the id is known: the issuer of its rule is empty.
    unknown: OfIssuer<T>,
}

#[derive(Debug)]
struct OfIssuer<T> {
    everyone: Option<T>,
    subjects: HashMap<String, T>,
    clients: HashMap<String, T>,
    sids: HashMap<String, T>,
    /// By the subject.
    unnamed: HashMap<String, T>,
    /// By the subject.
    others: HashMap<String, Vec<T>>,
    sessions: HashMap<SessionId, T>,
}

impl<T> Default for PerParty<T> {
    fn default() -> Self {
        Self { issuers: HashMap::new(), unknown: OfIssuer::default() }
    }
}

impl<T> Default for OfIssuer<T> {
    fn default() -> Self {
        Self {
            everyone: None,
            subjects: HashMap::new(),
            clients: HashMap::new(),
            sids: HashMap::new(),
            unnamed: HashMap::new(),
            others: HashMap::new(),
            sessions: HashMap::new(),
        }
    }
}

impl<T: OfParty> OfIssuer<T> {
    fn all(&self) -> impl Iterator<Item = &T> {
        let named = [&self.subjects, &self.clients, &self.sids, &self.unnamed].into_iter().flat_map(HashMap::values);
        self.everyone.iter().chain(named).chain(self.others.values().flatten()).chain(self.sessions.values())
    }

    fn get(&self, party: &RevokedParty) -> Option<&T> {
        match party {
            RevokedParty::Everyone => self.everyone.as_ref(),
            RevokedParty::Subject(name) => self.subjects.get(name),
            RevokedParty::Client(name) => self.clients.get(name),
            RevokedParty::Sid(name) => self.sids.get(name),
            RevokedParty::Unnamed(name) => self.unnamed.get(name),
            RevokedParty::Others { subject, .. } => {
                self.others.get(subject)?.iter().find(|held| held.party() == *party)
            }
            RevokedParty::Session(id) => self.sessions.get(id),
        }
    }

    fn put(&mut self, party: RevokedParty, rule: T) -> Option<T> {
        match party {
            RevokedParty::Everyone => self.everyone.replace(rule),
            RevokedParty::Subject(name) => self.subjects.insert(name, rule),
            RevokedParty::Client(name) => self.clients.insert(name, rule),
            RevokedParty::Sid(name) => self.sids.insert(name, rule),
            RevokedParty::Unnamed(name) => self.unnamed.insert(name, rule),
            RevokedParty::Others { ref subject, .. } => {
                let others = self.others.entry(subject.clone()).or_default();
                match others.iter_mut().find(|held| held.party() == party) {
                    Some(held) => Some(std::mem::replace(held, rule)),
                    None => {
                        others.push(rule);
                        None
                    }
                }
            }
            RevokedParty::Session(id) => self.sessions.insert(id, rule),
        }
    }

    fn remove(&mut self, party: &RevokedParty) {
        match party {
            RevokedParty::Everyone => drop(self.everyone.take()),
            RevokedParty::Subject(name) => drop(self.subjects.remove(name)),
            RevokedParty::Client(name) => drop(self.clients.remove(name)),
            RevokedParty::Sid(name) => drop(self.sids.remove(name)),
            RevokedParty::Unnamed(name) => drop(self.unnamed.remove(name)),
            RevokedParty::Others { subject, .. } => {
                if let Some(others) = self.others.get_mut(subject) {
                    others.retain(|held| held.party() != *party);
                    if others.is_empty() {
                        self.others.remove(subject);
                    }
                }
            }
            RevokedParty::Session(id) => drop(self.sessions.remove(id)),
        }
    }
}

impl<T: OfParty> PerParty<T> {
    /// The rule about a party.
    pub fn get(&self, issuer: &str, party: &RevokedParty) -> Option<&T> {
        match issuer {
            "" => self.unknown.get(party),
            named => self.issuers.get(named)?.get(party),
        }
    }

    /// Puts a rule in the place of the one about the same party, which is returned.
    pub fn put(&mut self, rule: T) -> Option<T> {
        let of_issuer = match rule.issuer() {
            "" => &mut self.unknown,
            named => self.issuers.entry(named.to_owned()).or_default(),
        };
        of_issuer.put(rule.party(), rule)
    }

    /// Removes a rule, unless another about the same party has come since; returns whether it was there.
    pub fn remove(&mut self, rule: &T) -> bool {
        let party = rule.party();
        let of_issuer = match rule.issuer() {
            "" => Some(&mut self.unknown),
            named => self.issuers.get_mut(named),
        };
        let Some(of_issuer) = of_issuer.filter(|held| held.get(&party) == Some(rule)) else {
            return false;
        };
        of_issuer.remove(&party);
        true
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.issuers.values().chain([&self.unknown]).flat_map(OfIssuer::all)
    }

    /// Those about the party of a session or token.
    pub fn about(&self, bearer: Bearer<'_>) -> impl Iterator<Item = &T> {
        let by_id = &self.unknown.sessions;
        let by_id = (!by_id.is_empty()).then(|| by_id.get(&bearer.id())).flatten();
        let found = self.issuers.get(bearer.issuer).map(|of_issuer| {
            let one = [
                of_issuer.everyone.as_ref(),
                of_issuer.subjects.get(bearer.subject),
                of_issuer.clients.get(bearer.client),
                match bearer.sid() {
                    Some(sid) => of_issuer.sids.get(sid),
                    None => of_issuer.unnamed.get(bearer.subject),
                },
            ];
            let others = if of_issuer.others.is_empty() { None } else { of_issuer.others.get(bearer.subject) };
            one.into_iter().flatten().chain(others.into_iter().flatten())
        });
        found.into_iter().flatten().chain(by_id)
    }
}

/// A page of at most `limit` of these rules, after the id `after` and in the order of their ids, and whether there are more.
/// It walks over all of them: lists are for people.
pub fn page<'r, T: OfParty + 'r>(
    rules: impl Iterator<Item = &'r T>,
    after: Option<&str>,
    limit: usize,
) -> (Vec<(String, T)>, bool) {
    let mut page = BTreeMap::new();
    for rule in rules {
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
