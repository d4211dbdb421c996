//! Revocations of a whole party: "all sessions of … before T are revoked". They hold for sessions that were seen and for
//! those that were not, and are kept for ever.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The party that a revocation is about, within its issuer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedParty {
    /// Every session of the issuer.
    Everyone,
    /// The sessions of one subject.
    Subject(String),
    /// The sessions of one client.
    Client(String),
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The issuer of the tokens.
    pub issuer: String,
    /// Which of the issuer's sessions it revokes.
    #[serde(rename = "whom")]
    pub party: RevokedParty,
    /// Sessions and tokens that started before this instant are revoked.
    pub before_ms: u64,
    /// When it was made.
    pub made_at_ms: u64,
    /// The end of the sessions that it ended: see `leads.rs`.
    pub ends_at_ms: u64,
}

impl Revocation {
    /// Whether it revokes a session or token with that identity and start.
    pub fn covers(&self, issuer: &str, subject: &str, client: &str, start_ms: u64) -> bool {
        let is_named = match &self.party {
            RevokedParty::Everyone => true,
            RevokedParty::Subject(named) => named == subject,
            RevokedParty::Client(named) => named == client,
        };
        is_named && self.issuer == issuer && start_ms < self.before_ms
    }

    /// The stricter of two revocations of the same party: the one with the later instant.
    pub fn merged(self, other: &Self) -> Self {
        let ends_at_ms = self.ends_at_ms.max(other.ends_at_ms);
        let stricter = if other.before_ms > self.before_ms { other.clone() } else { self };
        Self { ends_at_ms, ..stricter }
    }
}

/// All revocations, at most one for each party, so that a question costs three look-ups however many there are.
#[derive(Debug, Default)]
pub struct Revocations(HashMap<String, OfIssuer>);

#[derive(Debug, Default)]
struct OfIssuer {
    everyone: Option<Revocation>,
    subjects: HashMap<String, Revocation>,
    clients: HashMap<String, Revocation>,
}

impl Revocations {
    /// Adds a revocation, or moves the one of the same party to the later instant.
    pub fn add(&mut self, revocation: Revocation) {
        let of_issuer = self.0.entry(revocation.issuer.clone()).or_default();
        let into = |held: &mut HashMap<String, Revocation>, name: String, new: Revocation| {
            let merged = match held.get(&name) {
                Some(old) => new.merged(old),
                None => new,
            };
            held.insert(name, merged);
        };
        match revocation.party.clone() {
            RevokedParty::Everyone => {
                of_issuer.everyone = Some(match of_issuer.everyone.take() {
                    Some(old) => revocation.merged(&old),
                    None => revocation,
                });
            }
            RevokedParty::Subject(name) => into(&mut of_issuer.subjects, name, revocation),
            RevokedParty::Client(name) => into(&mut of_issuer.clients, name, revocation),
        }
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Revocation> {
        fn each(of: &OfIssuer) -> impl Iterator<Item = &Revocation> {
            of.everyone.iter().chain(of.subjects.values()).chain(of.clients.values())
        }
        self.0.values().flat_map(each)
    }

    /// The revocation against a session or token with that identity and start, if there is one.
    pub fn against(&self, issuer: &str, subject: &str, client: &str, start_ms: u64) -> Option<&Revocation> {
        let of_issuer = self.0.get(issuer)?;
        [of_issuer.everyone.as_ref(), of_issuer.subjects.get(subject), of_issuer.clients.get(client)]
            .into_iter()
            .flatten()
            .find(|revocation| start_ms < revocation.before_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(party: RevokedParty, before_ms: u64) -> Revocation {
        Revocation { issuer: "i".to_owned(), party, before_ms, made_at_ms: 7, ends_at_ms: 7 }
    }

    #[test]
    fn a_revocation_stands_against_its_party_before_its_instant_and_no_other() {
        let mut revocations = Revocations::default();
        let made = [
            revocation(RevokedParty::Everyone, 10),
            revocation(RevokedParty::Subject("alice".to_owned()), 20),
            revocation(RevokedParty::Client("app".to_owned()), 30),
        ];
        for revocation in &made {
            revocations.add(revocation.clone());
        }
        let rows = [
            ("i", "bob", "web", 9, true),
            ("i", "bob", "web", 10, false),
            ("i", "alice", "web", 19, true),
            ("i", "alice", "web", 20, false),
            ("i", "alice", "app", 29, true),
            ("i", "bob", "app", 30, false),
            ("j", "alice", "app", 0, false),
            ("i", "app", "alice", 15, false),
        ];
        for (issuer, subject, client, start, expected) in rows {
            let found = revocations.against(issuer, subject, client, start).is_some();
            assert_eq!(found, expected, "{issuer} {subject} {client} {start}");
            let any = made.iter().any(|revocation| revocation.covers(issuer, subject, client, start));
            assert_eq!(any, expected, "{issuer} {subject} {client} {start}");
        }
    }

    #[test]
    fn an_earlier_instant_never_loosens_a_revocation() {
        for party in
            [RevokedParty::Everyone, RevokedParty::Subject("a".to_owned()), RevokedParty::Client("a".to_owned())]
        {
            let mut revocations = Revocations::default();
            for before in [50, 20] {
                revocations.add(revocation(party.clone(), before));
            }
            assert!(revocations.against("i", "a", "a", 49).is_some(), "{party:?}");
        }
    }
}
