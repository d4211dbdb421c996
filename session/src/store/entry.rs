//! The entries of the log that replicas share: the changes of one commit, as the store has taken them.

use crate::store::{Change, StoreError};
use std::borrow::Cow;

/// The format of the entries of the log. A replica that reads a later one stops judging.
const FORMAT: i32 = 5;

/// The format of entries with requests for access whose grants are not for one request.
const FORMAT_REQUESTS: i32 = 4;

/// The format of entries with attributes, held signals and scopes that signals have taken.
const FORMAT_SIGNALS: i32 = 3;

/// The format of entries with blocks of transmitters.
const FORMAT_BLOCKS: i32 = 2;

/// The format of entries without these, attributes, held signals and scopes that signals have taken.
const FORMAT_MIN: i32 = 1;

/// What one commit has changed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) tag: i64,
    pub(super) format: i32,
    /// The wall clock of the replica that wrote it, less the store's, in milliseconds.
    pub(super) clock_lead_ms: i64,
    pub(super) changes: Vec<u8>,
}

impl Entry {
    /// Its changes, by this replica's clock. What this version does not know is an error: a guess could release somebody.
    pub(super) fn read(&self, own_lead_ms: i64) -> Result<Vec<Change>, StoreError> {
        let mut changes = self.changes()?;
        // A clock that is ahead must not keep a session alive for longer here.
        let ahead_ms = u64::try_from(self.clock_lead_ms.saturating_sub(own_lead_ms)).unwrap_or_default();
        changes.iter_mut().filter_map(Change::marks_mut).for_each(|marks| marks.set_back(ahead_ms));
        Ok(changes)
    }

    /// Its changes as they were written, the same for every replica.
    pub(super) fn changes(&self) -> Result<Vec<Change>, StoreError> {
        let Self { number, format, .. } = self;
        let unknown = |what: &dyn std::fmt::Display| {
            StoreError(format!(
                "entry {number} of the log cannot be read by this version, and must not be ignored: {what}"
            ))
        };
        if *format > FORMAT {
            return Err(unknown(&format_args!("its format is {format}, and this version knows up to {FORMAT}")));
        }
        serde_json::from_slice(&self.changes).map_err(|e| unknown(&e))
    }
}

/// The format of an entry with these changes: the oldest that says them. A replica of an earlier version would take the block of
/// a transmitter for an operator's, give back scopes that a signal has taken, and take a grant for one request for one of many.
pub(super) fn format_of(changes: &[Change]) -> i32 {
    let format = |change: &Change| match change {
        Change::Block(block) | Change::Unblock(block) if !block.transmitter.is_empty() => FORMAT_BLOCKS,
        Change::Narrowing(narrowing) if !narrowing.signalled.is_empty() => FORMAT_SIGNALS,
        Change::Attribute(_) | Change::Hold(_) | Change::Unhold(_) => FORMAT_SIGNALS,
        Change::Request(request) if request.is_once() => FORMAT,
        Change::Request(_) | Change::ForgetRequest(_) => FORMAT_REQUESTS,
        _ => FORMAT_MIN,
    };
    changes.iter().map(format).max().unwrap_or(FORMAT_MIN)
}

/// Changes as a clock that is not ahead of the store's would have stamped them: activity must not keep a session alive for
/// longer elsewhere, or after a restart.
pub(super) fn by_the_stores_clock(changes: &[Change], ahead_ms: u64) -> Cow<'_, [Change]> {
    if ahead_ms == 0 {
        return Cow::Borrowed(changes);
    }
    let mut changes = changes.to_vec();
    changes.iter_mut().filter_map(Change::marks_mut).for_each(|marks| marks.set_back(ahead_ms));
    Cow::Owned(changes)
}

/// The changes of a commit as an entry holds them.
pub(super) fn write(changes: &[Change]) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(changes).map_err(|e| StoreError(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approvals::{Decision, For};
    use crate::made_by::MadeBy;
    use crate::store::Marks;
    use portcullis_contract::SessionId;

    fn entry(format: i32, clock_lead_ms: i64, changes: &str) -> Entry {
        Entry { number: 7, tag: 0, format, clock_lead_ms, changes: changes.as_bytes().to_vec() }
    }

    #[test]
    fn what_this_version_does_not_know_is_an_error() {
        assert!(entry(FORMAT, 0, "[]").read(0).is_ok_and(|changes| changes.is_empty()));
        for (format, changes) in [(FORMAT + 1, "[]"), (FORMAT, r#"[{"later":1}]"#), (FORMAT, "")] {
            let error = entry(format, 0, changes).read(0).unwrap_err();
            assert!(error.0.starts_with("entry 7 of the log"), "{error}");
        }
    }

    #[test]
    fn only_what_an_earlier_version_would_misread_has_the_new_format() {
        let block = |transmitter: &str| crate::blocks::Block {
            issuer: "i".to_owned(),
            party: crate::blocks::BlockedParty::Subject("s".to_owned()),
            until_ms: None,
            made_at_ms: 1,
            reason: String::new(),
            transmitter: transmitter.to_owned(),
            email: None,
            by: MadeBy::default(),
        };
        assert_eq!(format_of(&[Change::Block(block(""))]), FORMAT_MIN);
        for change in [Change::Block(block("idp")), Change::Unblock(block("idp"))] {
            assert_eq!(format_of(&[Change::Block(block("")), change]), FORMAT_BLOCKS);
        }
        let lifted = crate::narrowings::Narrowing::none(crate::narrowings::Party::of_subject("i", "s"));
        let taken = lifted.clone().signalled("idp", Vec::new(), 1, "");
        assert_eq!(format_of(&[Change::Narrowing(lifted)]), FORMAT_MIN);
        assert_eq!(format_of(&[Change::Block(block("idp")), Change::Narrowing(taken)]), FORMAT_SIGNALS);
        assert_eq!(format_of(&[Change::ForgetRequest(String::new())]), FORMAT_REQUESTS);
        let (rule, ben) = (crate::fixtures::approval_rule(), crate::fixtures::approver("ben"));
        for (how, format) in [(For::Asked, FORMAT_REQUESTS), (For::Once(None), FORMAT)] {
            let pending = crate::fixtures::request();
            let (decision, life) = (Decision::Approve(how), pending.asked_in);
            let now_ms = crate::fixtures::T0 + 1;
            let approved = pending.decided(&decision, &ben, "", Some(&rule), Some(life), now_ms).unwrap();
            assert_eq!(format_of(&[Change::Request(Box::new(approved))]), format, "{how:?}");
        }
    }

    #[test]
    fn activity_that_a_clock_ahead_has_stamped_is_taken_as_that_much_older() {
        let marks = Marks { last_seen_ms: 10_000, ..Marks::default() };
        let bytes = String::from_utf8(write(&[Change::Seen(SessionId([1; 16]), marks)]).unwrap()).unwrap();
        for (theirs, ours, seen_ms) in
            [(0, 0, 10_000), (300, 0, 9_700), (300, 300, 10_000), (-300, 0, 10_000), (0, -50, 9_950)]
        {
            match entry(FORMAT, theirs, &bytes).read(ours).unwrap().as_slice() {
                [Change::Seen(_, marks)] => assert_eq!(marks.last_seen_ms, seen_ms, "{theirs} {ours}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
