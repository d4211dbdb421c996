//! Narrowings: the scopes that an administrator has left to a party. They hold for each of its sessions, including later
//! ones, until they are lifted: otherwise the next login would restore the scopes.

use crate::intern::ScopeSet;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The party that a narrowing holds for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Party {
    /// The issuer of the tokens.
    pub issuer: String,
    /// `sub`; may be empty.
    pub subject: String,
    /// The client; may be empty.
    pub client: String,
    /// The key of the only session that it holds for, when that has neither subject nor client; else empty.
    pub key: String,
}

impl Party {
    /// The party of a session or token with that identity.
    pub fn of(issuer: &str, subject: &str, client: &str, key: &str) -> Self {
        let is_nobody = subject.is_empty() && client.is_empty();
        Self {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            client: client.to_owned(),
            key: if is_nobody { key.to_owned() } else { String::new() },
        }
    }
}

/// One narrowing, or the end of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrowing {
    /// The party that it holds for.
    pub party: Party,
    /// The scopes that are left; `None` lifts it.
    pub scopes: Option<Vec<String>>,
}

/// All narrowings, at most one for each party.
#[derive(Debug, Default)]
pub(crate) struct Narrowings(HashMap<Party, ScopeSet>);

impl Narrowings {
    /// Makes a narrowing, changes it, or lifts it.
    pub(crate) fn set(&mut self, narrowing: Narrowing) {
        match narrowing.scopes {
            Some(scopes) => self.0.insert(narrowing.party, ScopeSet::new(scopes)),
            None => self.0.remove(&narrowing.party),
        };
    }

    /// The scopes that are left to a party; `None`: all.
    pub(crate) fn of(&self, party: impl FnOnce() -> Party) -> Option<ScopeSet> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&party()).cloned()
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = Narrowing> {
        self.0.iter().map(|(party, scopes)| Narrowing { party: party.clone(), scopes: Some(scopes.to_vec()) })
    }
}
