//! What a replica knows of itself, in its journal.

use super::link::Link;
use crate::replica::{Appended, Place};
use crate::store::entry::Entry;
use crate::store::{Change, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A life of a server, with a number that orders them: replicas move to larger ones only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Epoch {
    pub(super) counter: u64,
    pub(super) lineage: String,
}

/// Who has to report in a new epoch, as far as is known: Redis may forget that as well. Both only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Roster {
    /// Names, and how many replicas each wants there to be.
    pub(super) names: BTreeMap<String, String>,
    /// Names that an operator has given up.
    pub(super) forgotten: BTreeSet<String>,
}

impl Roster {
    /// Adds what Redis knows; returns whether that is news.
    pub(super) fn learn(&mut self, names: Vec<(String, String)>, forgotten: Vec<String>) -> bool {
        let before = self.clone();
        self.names.extend(names);
        self.forgotten.extend(forgotten);
        let Self { names, forgotten } = self;
        names.retain(|name, _| !forgotten.contains(name));
        *self != before
    }

    /// As the scripts read it. Lists, because an empty object and an empty list are one in Lua.
    pub(super) fn text(&self) -> String {
        let names: Vec<_> = self.names.iter().collect();
        serde_json::json!({ "names": names, "forgotten": self.forgotten }).to_string()
    }
}

/// The state of a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Chosen at random when the file was made: whoever has the file is this replica.
    pub(super) name: String,
    /// The store's id and secret.
    pub(super) store: String,
    pub(super) secret: String,
    pub(super) epoch: Epoch,
    /// Everything up to this entry of the log is here.
    pub(super) number: Place,
    /// What tells that entry from another of its number.
    pub(super) tag: i64,
    pub(super) roster: Roster,
}

/// The right to append, which others have after a while.
pub(super) struct Locked {
    pub(super) token: String,
    pub(super) head: Place,
}

/// What only one thread at a time does: commits, reading the log, and moving to another epoch.
pub(super) struct Committing {
    pub(super) link: Link,
    /// As it is on disk.
    pub(super) state: State,
    /// The epoch in which this process has reported.
    pub(super) reported: u64,
    pub(super) locked: Option<Locked>,
    pub(super) appended: Option<Appended>,
    /// What is in the journal and not in memory yet, by entry.
    pub(super) pending: VecDeque<(Place, Vec<Change>)>,
}

impl Committing {
    /// How far memory has all changes.
    pub(super) fn place(&self) -> Place {
        self.pending.front().map_or(self.state.number, |(number, _)| number.saturating_sub(1))
    }
}

/// An entry as the journal keeps it.
pub(super) fn kept(entry: &Entry) -> Vec<u8> {
    let Entry { tag, format, clock_lead_ms, changes, .. } = entry;
    let mut bytes = format!("{tag} {format} {clock_lead_ms}\n").into_bytes();
    bytes.extend_from_slice(changes);
    bytes
}

/// The entry of such bytes.
pub(super) fn entry_of(number: Place, bytes: &[u8]) -> Result<Entry, StoreError> {
    let read = || {
        let at = bytes.iter().position(|byte| *byte == b'\n')?;
        let (head, changes) = bytes.split_at_checked(at)?;
        let mut words = std::str::from_utf8(head).ok()?.split(' ');
        let (tag, format, lead) = (words.next()?, words.next()?, words.next()?);
        let (tag, format, clock_lead_ms) = (tag.parse().ok()?, format.parse().ok()?, lead.parse().ok()?);
        Some(Entry { number, tag, format, clock_lead_ms, changes: changes.get(1..)?.to_vec() })
    };
    read().ok_or_else(StoreError::damage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_kept_as_it_was() {
        let entry = Entry { number: 7, tag: -3, format: 2, clock_lead_ms: -40, changes: b"[1\n2]".to_vec() };
        let read = entry_of(7, &kept(&entry)).unwrap();
        assert_eq!((read.tag, read.format, read.clock_lead_ms, read.changes), (-3, 2, -40, b"[1\n2]".to_vec()));
        for bytes in ["", "1 2\n", "1 2 x\n", "1 2 3"] {
            assert!(entry_of(7, bytes.as_bytes()).is_err(), "{bytes}");
        }
    }

    #[test]
    fn a_name_that_was_given_up_never_comes_back_to_the_roster() {
        let mut roster = Roster::default();
        let both = || vec![("a".to_owned(), "2".to_owned()), ("b".to_owned(), "2".to_owned())];
        assert!(roster.learn(both(), Vec::new()));
        assert!(!roster.learn(both(), Vec::new()));
        assert!(roster.learn(Vec::new(), vec!["b".to_owned()]));
        assert!(!roster.learn(both(), Vec::new()));
        let text: serde_json::Value = serde_json::from_str(&roster.text()).unwrap();
        assert_eq!(text, serde_json::json!({"forgotten": ["b"], "names": [["a", "2"]]}));
    }
}
