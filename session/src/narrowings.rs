//! Narrowings: what an administrator has left to a party, or taken from it. They hold for each of its sessions, including
//! later ones, until they are lifted: otherwise the next login would restore the scopes.
//!
//! A narrowing has three parts. `scopes` is everything that is left, as one caller has set it. `removed` is what callers have
//! taken away one by one: each adds to it or takes from it, so that two of them never undo each other's change. `signalled` is
//! what each transmitter has left with its latest signal; a caller who sets `scopes`, or lifts that, overrules them.

use crate::intern::ScopeSet;
use crate::made_by::MadeBy;
use portcullis_contract::token::TokenDigest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

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
    /// Whether it is the subject with whatever client; then `client` is empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub every_client: bool,
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
            every_client: false,
        }
    }

    /// A subject with whatever client, including those that were never seen.
    pub fn of_subject(issuer: &str, subject: &str) -> Self {
        Self { every_client: true, ..Self::of(issuer, subject, "", "") }
    }

    /// Whether what holds for this party holds for a session of `other`.
    pub fn covers(&self, other: &Self) -> bool {
        match self.every_client {
            true => self.issuer == other.issuer && self.subject == other.subject,
            false => self == other,
        }
    }

    /// The key of its only session, when that has neither subject nor client.
    pub fn named_key(&self) -> Option<&str> {
        (!self.key.is_empty()).then_some(self.key.as_str())
    }

    /// Its public id: the first 16 bytes of SHA-256 of its JSON, as lower-case hex.
    pub fn id(&self) -> String {
        let digest = TokenDigest::of(&serde_json::to_string(self).unwrap_or_default());
        digest.0.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One narrowing, or the end of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrowing {
    /// The party that it holds for.
    pub party: Party,
    /// The scopes that are left; `None`: all.
    pub scopes: Option<Vec<String>>,
    /// The scopes that are taken from these, or from all, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// The scopes that are left according to signals, by their transmitter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signalled: BTreeMap<String, Vec<String>>,
    /// When scopes were last taken; `None`: an older version has stored it, which did not note that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at_ms: Option<u64>,
    /// The reason that its caller stated then; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who took scopes then.
    #[serde(default, skip_serializing_if = "MadeBy::is_nobody")]
    pub by: MadeBy,
}

impl Narrowing {
    /// One that takes nothing from a party.
    pub fn none(party: Party) -> Self {
        Self {
            party,
            scopes: None,
            removed: Vec::new(),
            signalled: BTreeMap::new(),
            made_at_ms: None,
            reason: String::new(),
            by: MadeBy::default(),
        }
    }

    /// Whether it takes nothing.
    pub fn is_lifted(&self) -> bool {
        self.scopes.is_none() && self.removed.is_empty() && self.signalled.is_empty()
    }

    /// The narrowing after a change.
    #[must_use]
    pub fn changed(self, change: &ScopeChange) -> Self {
        let is_in = |list: &[String], scope: &String| list.contains(scope);
        let before = self.removed.clone();
        let removed = self.removed.into_iter().filter(|scope| !is_in(&change.restore, scope));
        let removed = ScopeSet::new(removed.chain(change.remove.iter().cloned())).to_vec();
        let scopes = self.scopes.map(|left| {
            let left = left.into_iter().filter(|scope| !is_in(&change.remove, scope));
            ScopeSet::new(left.chain(change.restore.iter().cloned())).to_vec()
        });
        let given_back = |(transmitter, left): (String, Vec<String>)| {
            (transmitter, ScopeSet::new(left.iter().chain(&change.restore)).to_vec())
        };
        let signalled = self.signalled.into_iter().map(given_back).collect();
        // What is given back does not change when, and why, the rest was taken.
        let (made_at_ms, reason, by) = match removed.iter().any(|scope| !before.contains(scope)) {
            true => (Some(change.made_at_ms), change.reason.clone(), change.by.clone()),
            false => (self.made_at_ms, self.reason, self.by),
        };
        Self { party: self.party, scopes, removed, signalled, made_at_ms, reason, by }
    }

    /// The narrowing after a transmitter's signal that these scopes are left, in the place of its earlier one.
    #[must_use]
    pub fn signalled(mut self, transmitter: &str, scopes: Vec<String>, made_at_ms: u64, reason: &str) -> Self {
        self.signalled.insert(transmitter.to_owned(), ScopeSet::new(scopes).to_vec());
        Self { made_at_ms: Some(made_at_ms), reason: reason.to_owned(), by: MadeBy::default(), ..self }
    }
}

/// Scopes to take from a party and to give back to it. It is applied to what holds when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeChange {
    /// The party.
    pub party: Party,
    /// Scopes to take.
    pub remove: Vec<String>,
    /// Scopes to give back.
    pub restore: Vec<String>,
    /// The reason that its caller stated; may be empty.
    pub reason: String,
    /// When it was made.
    pub made_at_ms: u64,
    /// Who makes it.
    pub by: MadeBy,
}

/// What narrowings leave of the scopes that a session was granted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Left {
    only: Option<ScopeSet>,
    removed: Option<ScopeSet>,
}

impl Left {
    /// Only these scopes.
    pub fn only(scopes: ScopeSet) -> Self {
        Self { only: Some(scopes), removed: None }
    }

    /// Whether it leaves everything.
    pub fn is_all(&self) -> bool {
        self.only.is_none() && self.removed.is_none()
    }

    /// What is left of `granted`.
    pub fn of(&self, granted: &ScopeSet) -> ScopeSet {
        let is_left = |scope: &&str| {
            self.only.as_ref().is_none_or(|only| only.holds(scope))
                && !self.removed.as_ref().is_some_and(|removed| removed.holds(scope))
        };
        ScopeSet::new(granted.iter().filter(is_left))
    }

    /// What both leave.
    fn and(&self, other: &Self) -> Self {
        let join = |one: &Option<ScopeSet>, two: &Option<ScopeSet>, both: fn(&ScopeSet, &ScopeSet) -> ScopeSet| match (
            one, two,
        ) {
            (Some(one), Some(two)) => Some(both(one, two)),
            (one, two) => one.clone().or_else(|| two.clone()),
        };
        Self {
            only: join(&self.only, &other.only, |one, two| ScopeSet::new(one.and(two))),
            removed: join(&self.removed, &other.removed, |one, two| ScopeSet::new(one.iter().chain(two.iter()))),
        }
    }
}

/// What is kept of a narrowing beside its party.
#[derive(Debug)]
struct Held {
    left: Left,
    /// All that is left, as a caller has set it.
    scopes: Option<ScopeSet>,
    signalled: BTreeMap<String, Vec<String>>,
    made_at_ms: Option<u64>,
    reason: String,
    by: MadeBy,
}

/// All narrowings, at most one for each party.
#[derive(Debug, Default)]
pub(crate) struct Narrowings(HashMap<Party, Held>);

impl Narrowings {
    /// Makes a narrowing, changes it, or lifts it.
    pub(crate) fn set(&mut self, narrowing: Narrowing) {
        let removed = (!narrowing.removed.is_empty()).then(|| ScopeSet::new(&narrowing.removed));
        let scopes = narrowing.scopes.map(ScopeSet::new);
        let both = |one: Option<ScopeSet>, two: ScopeSet| {
            Some(one.map_or_else(|| two.clone(), |one| ScopeSet::new(one.and(&two))))
        };
        let only = narrowing.signalled.values().map(ScopeSet::new).fold(scopes.clone(), both);
        let left = Left { only, removed };
        match left.is_all() {
            true => self.0.remove(&narrowing.party),
            false => {
                let Narrowing { party, made_at_ms, reason, by, signalled, .. } = narrowing;
                self.0.insert(party, Held { left, scopes, signalled, made_at_ms, reason, by })
            }
        };
    }

    /// What is left to a session of a party.
    pub(crate) fn of(&self, party: impl FnOnce() -> Party) -> Left {
        if self.0.is_empty() {
            return Left::default();
        }
        let party = party();
        let left = |party: &Party| self.0.get(party).map(|held| &held.left);
        match (left(&party), left(&Party::of_subject(&party.issuer, &party.subject))) {
            (Some(own), Some(every)) => own.and(every),
            (own, every) => own.or(every).cloned().unwrap_or_default(),
        }
    }

    /// The narrowing of exactly this party; one that takes nothing if there is none.
    pub(crate) fn at(&self, party: &Party) -> Narrowing {
        self.0.get(party).map_or_else(|| Narrowing::none(party.clone()), |held| narrowing(party, held))
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = Narrowing> {
        self.0.iter().map(|(party, held)| narrowing(party, held))
    }
}

fn narrowing(party: &Party, held: &Held) -> Narrowing {
    let Held { left, scopes, signalled, made_at_ms, reason, by } = held;
    let removed = left.removed.as_ref().map(ScopeSet::to_vec).unwrap_or_default();
    Narrowing {
        party: party.clone(),
        scopes: scopes.as_ref().map(ScopeSet::to_vec),
        removed,
        signalled: signalled.clone(),
        made_at_ms: *made_at_ms,
        reason: reason.clone(),
        by: by.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    fn change(remove: &[&str], restore: &[&str]) -> ScopeChange {
        let party = Party::of("i", "alice", "web", "");
        let reason = "new".to_owned();
        ScopeChange {
            party,
            remove: texts(remove),
            restore: texts(restore),
            reason,
            made_at_ms: 2,
            by: MadeBy::default(),
        }
    }

    #[test]
    fn a_change_adds_to_what_others_have_changed() {
        let start = |scopes: Option<&[&str]>, removed: &[&str]| Narrowing {
            party: Party::of("i", "alice", "web", ""),
            scopes: scopes.map(texts),
            removed: texts(removed),
            signalled: BTreeMap::new(),
            made_at_ms: Some(1),
            reason: "old".to_owned(),
            by: MadeBy::default(),
        };
        let made = |narrowing: Narrowing| Narrowing { made_at_ms: Some(2), reason: "new".to_owned(), ..narrowing };
        type Row<'a> = (Narrowing, ScopeChange, Narrowing);
        let rows: [Row<'_>; 7] = [
            (start(None, &[]), change(&["b", "a"], &[]), made(start(None, &["a", "b"]))),
            (start(None, &["b"]), change(&["a", "b"], &[]), made(start(None, &["a", "b"]))),
            (start(None, &["a", "b"]), change(&["a"], &[]), start(None, &["a", "b"])),
            (start(None, &["a", "b"]), change(&[], &["a", "c"]), start(None, &["b"])),
            (start(None, &["a"]), change(&["b"], &["a"]), made(start(None, &["b"]))),
            (start(Some(&["a", "b"]), &[]), change(&["b"], &[]), made(start(Some(&["a"]), &["b"]))),
            (start(Some(&["a"]), &["b"]), change(&[], &["b"]), start(Some(&["a", "b"]), &[])),
        ];
        for (before, change, after) in rows {
            assert_eq!(before.clone().changed(&change), after, "{before:?} {change:?}");
        }
        assert!(start(None, &[]).is_lifted() && !start(None, &["a"]).is_lifted() && !start(Some(&[]), &[]).is_lifted());
    }

    #[test]
    fn what_holds_for_every_client_of_a_subject_is_taken_from_each() {
        let mut all = Narrowings::default();
        let granted = ScopeSet::new(["a", "b", "c"]);
        let taken = |party, removed: &[&str]| Narrowing { removed: texts(removed), ..Narrowing::none(party) };
        all.set(taken(Party::of_subject("i", "alice"), &["a"]));
        all.set(taken(Party::of("i", "alice", "web", ""), &["b"]));
        let left = |subject, client| all.of(|| Party::of("i", subject, client, "k")).of(&granted).to_vec();
        assert_eq!(left("alice", "web"), ["c"]);
        assert_eq!(left("alice", "cli"), ["b", "c"]);
        assert_eq!(left("alice", ""), ["b", "c"]);
        assert_eq!(left("bob", "web"), ["a", "b", "c"]);
        assert!(Party::of_subject("i", "alice").covers(&Party::of("i", "alice", "cli", "")));
        assert!(!Party::of("i", "alice", "", "").covers(&Party::of("i", "alice", "cli", "")));
    }

    #[test]
    fn what_signals_leave_is_theirs_and_never_widens_what_others_have_left() {
        let mut all = Narrowings::default();
        let granted = ScopeSet::new(["a", "b", "c"]);
        let party = Party::of("i", "alice", "web", "");
        let left = |all: &Narrowings| all.of(|| Party::of("i", "alice", "web", "k")).of(&granted).to_vec();
        let signalled = |all: &Narrowings, from: &str, scopes: &[&str]| {
            all.at(&party).signalled(from, texts(scopes), 5, "idp: token-claims-change")
        };
        all.set(Narrowing { scopes: Some(texts(&["a", "b"])), ..Narrowing::none(party.clone()) });
        all.set(signalled(&all, "idp", &["b", "c", "d"]));
        assert_eq!(left(&all), ["b"]);
        all.set(signalled(&all, "idp", &["a", "b"]));
        assert_eq!(left(&all), ["a", "b"], "the later one counts, and gives back no more than the operator has left");
        all.set(signalled(&all, "mdm", &[]));
        assert_eq!(left(&all).len(), 0, "another transmitter is another one");
        let read = all.at(&party);
        assert_eq!((read.signalled.len(), read.scopes.clone()), (2, Some(texts(&["a", "b"]))));
        let text = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Narrowing>(&text).unwrap(), read);
        all.set(read.changed(&change(&[], &["a"])));
        assert_eq!(left(&all), ["a"], "what is given back is given back whoever has taken it");
        all.set(Narrowing::none(party.clone()));
        assert_eq!(left(&all), ["a", "b", "c"]);
    }

    #[test]
    fn a_narrowing_that_an_older_version_has_stored_is_read() {
        let text = r#"{"party":{"issuer":"i","subject":"s","client":"c","key":""},"scopes":["a"]}"#;
        let read: Narrowing = serde_json::from_str(text).unwrap();
        let expected = Narrowing { scopes: Some(texts(&["a"])), ..Narrowing::none(Party::of("i", "s", "c", "")) };
        assert_eq!(read, expected, "nobody knows when it was made");
        assert_eq!(serde_json::to_string(&read).unwrap(), text, "and its party is found under the same key");
    }
}
