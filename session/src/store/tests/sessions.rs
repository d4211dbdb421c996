//! What a store must do with sessions.

use super::*;
use crate::made_by::MadeBy;
use crate::revocations::RevokedParty;

pub(super) fn what_was_applied_is_there_after_reopening(home: &dyn Home) {
    let store = home.open();
    let revocation = Revocation {
        issuer: "i".to_owned(),
        party: RevokedParty::Everyone,
        before_ms: 9,
        made_at_ms: 9,
        ends_at_ms: 9,
        reason: String::new(),
        by: MadeBy::default(),
    };
    store
        .apply(&[
            Change::Write(record("live")),
            Change::Seen(record("live").id(), seen(8)),
            Change::Tombstone(tombstone("dead", 7)),
            Change::Revocation(revocation.clone()),
        ])
        .unwrap();
    let store = home.reopen(store);
    assert_eq!(sessions(&*store), [Record { marks: record("live").marks.merged(seen(8)), ..record("live") }]);
    assert_eq!(store.rules().unwrap().revocations, [revocation]);
    assert_eq!(store.tombstone(record("dead").id()), Ok(Some(tombstone("dead", 7))));
    assert_eq!(store.tombstone(record("live").id()), Ok(None));
}

pub(super) fn a_tombstone_takes_the_records_place_and_no_record_takes_it_back(home: &dyn Home) {
    let store = home.open();
    store.apply(&[Change::Write(record("s"))]).unwrap();
    store.apply(&[Change::Tombstone(tombstone("s", 7))]).unwrap();
    let late = [Change::Write(record("s")), Change::Seen(record("s").id(), seen(99))];
    store.apply(&late).unwrap();
    let older_return = Record { returned: end(6), ..record("s") };
    store.apply(&[Change::Write(older_return)]).unwrap();
    let store = home.reopen(store);
    assert_eq!(sessions(&*store), []);
    assert_eq!(store.tombstone(record("s").id()), Ok(Some(tombstone("s", 7))));
}

pub(super) fn a_session_that_came_back_from_that_very_end_takes_the_tombstones_place(home: &dyn Home) {
    let store = home.open();
    store.apply(&[Change::Tombstone(tombstone("s", 7))]).unwrap();
    let returned = Record { returned: end(7), ..record("s") };
    store.apply(&[Change::Write(returned.clone())]).unwrap();
    let store = home.reopen(store);
    assert_eq!(sessions(&*store), [returned]);
    assert_eq!(store.tombstone(record("s").id()), Ok(None));
}

pub(super) fn the_ends_of_one_session_are_merged_and_those_of_the_next_one_are_its_own(home: &dyn Home) {
    let store = home.open();
    let idle = |at_ms| Some(End { reason: Reason::IdleTimeout, at_ms });
    store.apply(&[Change::Tombstone(Record { ended: idle(9), ..record("s") })]).unwrap();
    store.apply(&[Change::Tombstone(tombstone("s", 7)), Change::Tombstone(tombstone("s", 5))]).unwrap();
    let store = home.reopen(store);
    assert_eq!(store.tombstone(record("s").id()), Ok(Some(tombstone("s", 9))));
    let next = Record { returned: end(9), ended: idle(12), ..record("s") };
    store.apply(&[Change::Tombstone(next.clone())]).unwrap();
    assert_eq!(store.tombstone(record("s").id()), Ok(Some(next)));
}

pub(super) fn last_activity_never_gets_older(home: &dyn Home) {
    let store = home.open();
    let id = record("s").id();
    store.apply(&[Change::Write(record("s")), Change::Seen(id, seen(50)), Change::Seen(id, seen(40))]).unwrap();
    store.apply(&[Change::Write(record("s"))]).unwrap();
    assert_eq!(sessions(&*store)[0].marks.last_seen_ms, 50);
}

pub(super) fn tombstones_come_in_the_order_of_their_ids_until_enough(home: &dyn Home) {
    let store = home.open();
    let all: Vec<Change> = (0..20).map(|n| Change::Tombstone(tombstone(&n.to_string(), 7))).collect();
    store.apply(&all).unwrap();
    let take = |after, count: usize| {
        let mut ids = Vec::new();
        store
            .tombstones(after, &mut |id, record| {
                assert_eq!(record.unwrap().id(), id);
                ids.push(id);
                ids.len() < count
            })
            .unwrap();
        ids
    };
    let ids = take(None, 100);
    assert_eq!(ids.len(), 20);
    assert!(ids.is_sorted());
    assert_eq!(take(Some(ids[4]), 3), ids[5..8]);
}

pub(super) fn a_tombstone_is_dropped_only_if_it_is_older_than_that(home: &dyn Home) {
    let store = home.open();
    store.apply(&[Change::Tombstone(tombstone("s", 7)), Change::Write(record("live"))]).unwrap();
    let forget = |store: &dyn Store, before_ms| {
        let ids = ["s", "live", "never"].map(|key| Change::Forget(record(key).id(), before_ms));
        store.apply(&ids).unwrap();
    };
    forget(&*store, 7);
    assert_eq!(store.tombstone(record("s").id()), Ok(Some(tombstone("s", 7))));
    forget(&*store, 8);
    let store = home.reopen(store);
    assert_eq!(store.tombstone(record("s").id()), Ok(None));
    assert_eq!(sessions(&*store), [record("live")]);
}

pub(super) fn what_cannot_be_read_is_never_taken_for_nothing(home: &dyn Home) {
    let store = home.open();
    let others = ["dead", "live"].map(record);
    store.apply(&others.each_ref().map(|record| Change::Write(record.clone()))).unwrap();
    store.apply(&[Change::Tombstone(tombstone("dead", 7)), Change::Write(record("other"))]).unwrap();
    drop(store);
    home.damage("tombstones", record("dead").id());
    home.damage("sessions", record("live").id());

    let store = home.open();
    let mut read = Vec::new();
    assert_eq!(store.sessions(&mut |record| read.push(record)), Ok(1), "one is damaged, the others are read");
    assert_eq!(read, [record("other")]);
    for key in ["dead", "live"] {
        assert!(store.tombstone(record(key).id()).is_err(), "{key}: neither live nor gone");
        store.apply(&[Change::Write(record(key))]).unwrap();
        assert!(store.tombstone(record(key).id()).is_err(), "{key}: no live record takes its place");
    }
    let mut listed = Vec::new();
    store
        .tombstones(None, &mut |_, record| {
            listed.push(record.is_some());
            true
        })
        .unwrap();
    assert_eq!(listed, [false, false], "a list goes on");
    store.apply(&[Change::Tombstone(tombstone("dead", 9))]).unwrap();
    assert_eq!(store.tombstone(record("dead").id()), Ok(Some(tombstone("dead", 9))), "a new end mends it");
}

pub(super) fn a_store_has_an_id_that_stays(home: &dyn Home) {
    let store = home.open();
    let id = store.id();
    assert_eq!(home.reopen(store).id(), id);
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
}
