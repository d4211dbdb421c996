//! What every store must do. A new store joins with a [`Home`] of its own and the line `claims!`.

use super::embedded::Embedded;
use super::*;
use crate::judge::Reason;

/// Where a store is: opened again there, it has what was written.
pub(crate) trait Home {
    fn open(&self) -> Box<dyn Store>;

    /// Lets go of the store and opens it again, as after a crash.
    fn reopen(&self, store: Box<dyn Store>) -> Box<dyn Store> {
        drop(store);
        self.open()
    }

    /// Spoils one byte of an entry.
    fn damage(&self, table: &str, id: SessionId);

    /// Spoils every revocation.
    fn damage_revocations(&self);
}

/// Makes a test of each claim, for one kind of store.
macro_rules! claims {
    ($(#[$attribute:meta])+, $home:expr) => {
        claims! { @sessions [$(#[$attribute])+] $home;
            what_was_applied_is_there_after_reopening
            a_tombstone_takes_the_records_place_and_no_record_takes_it_back
            a_session_that_came_back_from_that_very_end_takes_the_tombstones_place
            the_ends_of_one_session_are_merged_and_those_of_the_next_one_are_its_own
            last_activity_never_gets_older
            tombstones_come_in_the_order_of_their_ids_until_enough
            a_tombstone_is_dropped_only_if_it_is_older_than_that
            what_cannot_be_read_is_never_taken_for_nothing
            a_store_has_an_id_that_stays
        }
        claims! { @proofs [$(#[$attribute])+] $home;
            a_proof_is_used_by_one_question_which_may_ask_again
            a_proof_that_was_used_before_a_restart_is_refused_after_it
        }
        claims! { @rules [$(#[$attribute])+] $home;
            a_party_has_one_revocation_the_latest
            rules_are_made_changed_and_lifted
            attributes_and_held_signals_are_there_until_they_are_removed
            requests_are_there_in_their_last_state_until_they_are_forgotten
            a_receipt_is_there_until_it_is_forgotten
            counts_of_usage_add_up_and_old_days_are_dropped
            a_damaged_revocation_is_mended_by_the_next_one_of_its_party
        }
    };
    // What Redis does not keep.
    (@not_redis [$(#[$attribute:meta])+] $home:expr) => {
        claims! { @families [$(#[$attribute])+] $home;
            a_version_is_written_over_the_one_that_was_read
            families_are_dropped_when_their_time_is_over_and_listed_when_they_are
        }
    };
    (@one $subject:ident [$(#[$attribute:meta])+] $home:expr, $claim:ident) => {
        $(#[$attribute])+
        fn $claim() {
            super::$subject::$claim(&$home);
        }
    };
    (@$subject:ident $attributes:tt $home:expr; $($claim:ident)+) => {
        $(claims! { @one $subject $attributes $home, $claim })+
    };
}

pub(crate) fn sessions(store: &dyn Store) -> Vec<Record> {
    let mut all = Vec::new();
    store.sessions(&mut |record| all.push(record)).unwrap();
    all
}

pub(crate) fn record(key: &str) -> Record {
    Record {
        issuer: "https://id".to_owned(),
        key: key.to_owned(),
        kind: KeyKind::Machine,
        subject: "alice".to_owned(),
        client_id: "web".to_owned(),
        access: "person".to_owned(),
        absolute_ms: Some(1),
        idle_ms: None,
        granted: vec!["a".to_owned(), "b".to_owned()],
        scopes: vec!["a".to_owned()],
        opened_at_ms: 5,
        marks: Marks { last_seen_ms: 6, login_at_ms: 5, authenticated_ms: 0, issued_ms: 5 },
        returned: None,
        returned_from_ms: 0,
        ended: None,
        email: None,
    }
}

pub(crate) fn seen(last_seen_ms: u64) -> Marks {
    Marks { last_seen_ms, ..Marks::default() }
}

pub(crate) fn end(at_ms: u64) -> Option<End> {
    Some(End { reason: Reason::Revoked, at_ms })
}

pub(crate) fn tombstone(key: &str, at_ms: u64) -> Record {
    Record { ended: end(at_ms), ..record(key) }
}

pub(crate) mod embedded;
mod families;
pub(crate) mod postgres;
mod proofs;
pub(crate) mod redis;
mod rules;
mod sessions;
