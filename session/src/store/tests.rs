//! What every store must do. A new store joins `stores`.

use super::embedded::Embedded;
use super::*;
use crate::blocks::{Block, BlockedParty};
use crate::judge::Reason;
use crate::narrowings::Party;
use crate::revocations::RevokedParty;
use std::path::Path;

type Open = fn(&Path) -> Box<dyn Store>;

fn stores() -> Vec<(&'static str, Open)> {
    vec![("embedded", |folder| Box::new(Embedded::open(folder).unwrap()))]
}

/// Runs a test over each store; `reopen` lets go of it and opens it again, as after a crash.
fn each(test: impl Fn(Box<dyn Store>, &dyn Fn(Box<dyn Store>) -> Box<dyn Store>)) {
    for (_, open) in stores() {
        let folder = tempfile::tempdir().unwrap();
        test(open(folder.path()), &|store| {
            drop(store);
            open(folder.path())
        });
    }
}

fn sessions(store: &dyn Store) -> Vec<Record> {
    let mut all = Vec::new();
    store.sessions(&mut |record| all.push(record)).unwrap();
    all
}

fn record(key: &str) -> Record {
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
    }
}

fn seen(last_seen_ms: u64) -> Marks {
    Marks { last_seen_ms, ..Marks::default() }
}

fn end(at_ms: u64) -> Option<End> {
    Some(End { reason: Reason::Revoked, at_ms })
}

fn tombstone(key: &str, at_ms: u64) -> Record {
    Record { ended: end(at_ms), ..record(key) }
}

#[test]
fn what_was_applied_is_there_after_reopening() {
    each(|store, reopen| {
        let revocation = Revocation {
            issuer: "i".to_owned(),
            party: RevokedParty::Everyone,
            before_ms: 9,
            made_at_ms: 9,
            ends_at_ms: 9,
            reason: String::new(),
        };
        store
            .apply(&[
                Change::Write(record("live")),
                Change::Seen(record("live").id(), seen(8)),
                Change::Tombstone(tombstone("dead", 7)),
                Change::Revocation(revocation.clone()),
            ])
            .unwrap();
        let store = reopen(store);
        assert_eq!(sessions(&*store), [Record { marks: record("live").marks.merged(seen(8)), ..record("live") }]);
        assert_eq!(store.rules().unwrap().revocations, [revocation]);
        assert_eq!(store.tombstone(record("dead").id()), Ok(Some(tombstone("dead", 7))));
        assert_eq!(store.tombstone(record("live").id()), Ok(None));
    });
}

#[test]
fn a_tombstone_takes_the_records_place_and_no_record_takes_it_back() {
    each(|store, reopen| {
        store.apply(&[Change::Write(record("s"))]).unwrap();
        store.apply(&[Change::Tombstone(tombstone("s", 7))]).unwrap();
        let late = [Change::Write(record("s")), Change::Seen(record("s").id(), seen(99))];
        store.apply(&late).unwrap();
        let older_return = Record { returned: end(6), ..record("s") };
        store.apply(&[Change::Write(older_return)]).unwrap();
        let store = reopen(store);
        assert_eq!(sessions(&*store), []);
        assert_eq!(store.tombstone(record("s").id()), Ok(Some(tombstone("s", 7))));
    });
}

#[test]
fn a_session_that_came_back_from_that_very_end_takes_the_tombstones_place() {
    each(|store, reopen| {
        store.apply(&[Change::Tombstone(tombstone("s", 7))]).unwrap();
        let returned = Record { returned: end(7), ..record("s") };
        store.apply(&[Change::Write(returned.clone())]).unwrap();
        let store = reopen(store);
        assert_eq!(sessions(&*store), [returned]);
        assert_eq!(store.tombstone(record("s").id()), Ok(None));
    });
}

#[test]
fn the_ends_of_one_session_are_merged_and_those_of_the_next_one_are_its_own() {
    each(|store, reopen| {
        let idle = |at_ms| Some(End { reason: Reason::IdleTimeout, at_ms });
        store.apply(&[Change::Tombstone(Record { ended: idle(9), ..record("s") })]).unwrap();
        store.apply(&[Change::Tombstone(tombstone("s", 7)), Change::Tombstone(tombstone("s", 5))]).unwrap();
        let store = reopen(store);
        assert_eq!(store.tombstone(record("s").id()), Ok(Some(tombstone("s", 9))));
        let next = Record { returned: end(9), ended: idle(12), ..record("s") };
        store.apply(&[Change::Tombstone(next.clone())]).unwrap();
        assert_eq!(store.tombstone(record("s").id()), Ok(Some(next)));
    });
}

#[test]
fn last_activity_never_gets_older() {
    each(|store, _| {
        let id = record("s").id();
        store.apply(&[Change::Write(record("s")), Change::Seen(id, seen(50)), Change::Seen(id, seen(40))]).unwrap();
        store.apply(&[Change::Write(record("s"))]).unwrap();
        assert_eq!(sessions(&*store)[0].marks.last_seen_ms, 50);
    });
}

#[test]
fn a_party_has_one_revocation_the_latest() {
    each(|store, reopen| {
        let revocation = |party: &RevokedParty, before_ms| Revocation {
            issuer: "i".to_owned(),
            party: party.clone(),
            before_ms,
            made_at_ms: before_ms,
            ends_at_ms: before_ms,
            reason: String::new(),
        };
        let parties =
            [RevokedParty::Everyone, RevokedParty::Subject("a".to_owned()), RevokedParty::Client("a".to_owned())];
        for party in &parties {
            for before_ms in [5, 9, 2] {
                store.apply(&[Change::Revocation(revocation(party, before_ms))]).unwrap();
            }
        }
        let revocations = reopen(store).rules().unwrap().revocations;
        assert_eq!(revocations.len(), parties.len());
        assert!(revocations.iter().all(|revocation| revocation.before_ms == 9));
    });
}

#[test]
fn tombstones_come_in_the_order_of_their_ids_until_enough() {
    each(|store, _| {
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
    });
}

#[test]
fn one_process_at_a_time_holds_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    let first = Embedded::open(folder.path()).unwrap();
    let second = Embedded::open(folder.path()).map(drop).unwrap_err();
    assert!(second.to_string().starts_with("cannot open store `"), "{second}");
    drop(first);
}

#[test]
fn a_tombstone_is_dropped_only_if_it_is_older_than_that() {
    each(|store, reopen| {
        store.apply(&[Change::Tombstone(tombstone("s", 7)), Change::Write(record("live"))]).unwrap();
        let forget = |store: &dyn Store, before_ms| {
            let ids = ["s", "live", "never"].map(|key| Change::Forget(record(key).id(), before_ms));
            store.apply(&ids).unwrap();
        };
        forget(&*store, 7);
        assert_eq!(store.tombstone(record("s").id()), Ok(Some(tombstone("s", 7))));
        forget(&*store, 8);
        let store = reopen(store);
        assert_eq!(store.tombstone(record("s").id()), Ok(None));
        assert_eq!(sessions(&*store), [record("live")]);
    });
}

#[test]
fn rules_are_lifted_and_replaced() {
    each(|store, reopen| {
        let revocation = |name: &str| Revocation {
            issuer: "i".to_owned(),
            party: RevokedParty::Sid(name.to_owned()),
            before_ms: 9,
            made_at_ms: 9,
            ends_at_ms: 9,
            reason: "r".to_owned(),
        };
        let narrowing = |subject: &str, left: Option<&str>| Narrowing {
            scopes: left.map(|scope| vec![scope.to_owned()]),
            ..Narrowing::none(Party::of("i", subject, "c", "k"))
        };
        let block = |name: &str, until_ms| Block {
            issuer: "i".to_owned(),
            party: BlockedParty::Sid(name.to_owned()),
            until_ms,
            made_at_ms: 9,
            reason: "r".to_owned(),
        };
        let removed = |subject: &str, scopes: &[&str]| Narrowing {
            removed: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            made_at_ms: Some(7),
            reason: "ticket".to_owned(),
            ..narrowing(subject, None)
        };
        store
            .apply(&[
                Change::Revocation(revocation("a")),
                Change::Revocation(revocation("b")),
                Change::Lift(revocation("a")),
                Change::Block(block("a", None)),
                Change::Block(block("b", Some(10))),
                Change::Unblock(block("a", None)),
                // The latest block of a party stands, and another one cannot be taken back in its place.
                Change::Block(block("b", Some(5))),
                Change::Unblock(block("b", Some(10))),
                Change::Narrowing(narrowing("x", Some("1"))),
                Change::Narrowing(narrowing("y", Some("1"))),
                Change::Narrowing(narrowing("x", None)),
                Change::Narrowing(narrowing("y", Some("2"))),
                Change::Narrowing(removed("z", &["1", "2"])),
                Change::Narrowing(removed("w", &["1"])),
                Change::Narrowing(removed("w", &[])),
            ])
            .unwrap();
        let store = reopen(store);
        let rules = store.rules().unwrap();
        let kept = vec![narrowing("y", Some("2")), removed("z", &["1", "2"])];
        assert_eq!((rules.revocations, rules.narrowings), (vec![revocation("b")], kept));
        assert_eq!(rules.blocks, [block("b", Some(5))]);
        let blocks = vec![block("c", None)];
        let rules = Rules {
            revocations: vec![revocation("c")],
            blocks: blocks.clone(),
            narrowings: vec![narrowing("z", Some("3"))],
        };
        store.apply(&[Change::Rules(rules)]).unwrap();
        let rules = reopen(store).rules().unwrap();
        assert_eq!((rules.revocations, rules.narrowings), (vec![revocation("c")], vec![narrowing("z", Some("3"))]));
        assert_eq!(rules.blocks, blocks);
    });
}

#[test]
fn what_cannot_be_read_is_never_taken_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let others = ["dead", "live"].map(record);
    store.apply(&others.each_ref().map(|record| Change::Write(record.clone()))).unwrap();
    store.apply(&[Change::Tombstone(tombstone("dead", 7)), Change::Write(record("other"))]).unwrap();
    drop(store);
    damage(folder.path(), "tombstones", &record("dead"));
    damage(folder.path(), "sessions", &record("live"));

    let store = Embedded::open(folder.path()).unwrap();
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

#[test]
fn a_damaged_revocation_is_mended_by_the_next_one_of_its_party() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let revocation = Revocation {
        issuer: "i".to_owned(),
        party: RevokedParty::Everyone,
        before_ms: 7,
        made_at_ms: 7,
        ends_at_ms: 7,
        reason: String::new(),
    };
    store.apply(&[Change::Revocation(revocation.clone())]).unwrap();
    drop(store);
    damage_all(folder.path(), "revocations");

    let store = Embedded::open(folder.path()).unwrap();
    assert!(store.rules().is_err(), "nobody knows what it has revoked");
    let later = Revocation { before_ms: 9, ..revocation };
    store.apply(&[Change::Revocation(later.clone())]).unwrap();
    assert_eq!(store.rules().unwrap().revocations, [later]);
}

/// Spoils one byte of an entry.
fn damage(folder: &std::path::Path, table: &str, record: &Record) {
    use redb::ReadableTable as _;
    let table: redb::TableDefinition<'_, [u8; 16], &[u8]> = redb::TableDefinition::new(table);
    let database = redb::Database::open(folder.join("sessions.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    {
        let mut entries = txn.open_table(table).unwrap();
        let mut bytes = entries.get(record.id().0).unwrap().unwrap().value().to_vec();
        bytes[0] = b'!';
        entries.insert(record.id().0, bytes.as_slice()).unwrap();
    }
    txn.commit().unwrap();
}

/// Spoils every entry of a table whose keys are texts.
fn damage_all(folder: &std::path::Path, table: &str) {
    use redb::ReadableTable as _;
    let table: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new(table);
    let database = redb::Database::open(folder.join("sessions.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    {
        let mut entries = txn.open_table(table).unwrap();
        let keys: Vec<_> = entries.iter().unwrap().map(|entry| entry.unwrap().0.value().to_vec()).collect();
        assert!(!keys.is_empty());
        for key in keys {
            entries.insert(key.as_slice(), b"!".as_slice()).unwrap();
        }
    }
    txn.commit().unwrap();
}

#[test]
fn a_store_has_an_id_of_its_own_that_stays() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let id = |folder: &tempfile::TempDir| Embedded::open(folder.path()).unwrap().id();
    let ids = folders.each_ref().map(id);
    assert_eq!(folders.each_ref().map(id), ids);
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 16), "{ids:?}");
}

/// Makes the file one of another layout, as an older version has written it.
fn set_layout(folder: &std::path::Path, layout: u64) {
    let database = redb::Database::open(folder.join("sessions.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    let meta: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    txn.open_table(meta).unwrap().insert("layout", layout).unwrap();
    if layout < 5 {
        let blocks: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("blocks");
        assert!(txn.delete_table(blocks).unwrap());
    }
    txn.commit().unwrap();
}

fn layout(folder: &std::path::Path) -> u64 {
    use redb::ReadableDatabase as _;
    let database = redb::Database::open(folder.join("sessions.redb")).unwrap();
    let meta: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    let txn = database.begin_read().unwrap();
    txn.open_table(meta).unwrap().get("layout").unwrap().unwrap().value()
}

#[test]
fn a_file_of_a_former_layout_is_taken_over_and_no_version_without_blocks_reads_it_again() {
    for former in [3, 4] {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(folder.path()).unwrap();
        store.apply(&[Change::Write(record("live"))]).unwrap();
        drop(store);
        set_layout(folder.path(), former);
        let store = Embedded::open(folder.path()).unwrap();
        assert_eq!((sessions(&store), store.rules().unwrap().blocks), (vec![record("live")], vec![]), "{former}");
        drop(store);
        assert_eq!(layout(folder.path()), 5, "{former}");
    }
    for unknown in [2, 6] {
        let folder = tempfile::tempdir().unwrap();
        drop(Embedded::open(folder.path()).unwrap());
        set_layout(folder.path(), unknown);
        let refused = Embedded::open(folder.path()).unwrap_err();
        assert!(refused.to_string().contains("reads layouts 3 to 5 only"), "{refused}");
    }
}
