//! The embedded store where it differs: one file, with one user.

use super::*;
use crate::blocks::{Block, BlockedParty};
use crate::made_by::MadeBy;
use crate::revocations::RevokedParty;
use std::path::Path;
use tempfile::TempDir;

/// A folder.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Home for Folder {
    fn open(&self) -> Box<dyn Store> {
        Box::new(Embedded::open(self.path()).unwrap())
    }

    fn damage(&self, table: &str, id: SessionId) {
        damage(self.path(), table, id);
    }

    fn damage_revocations(&self) {
        damage_all(self.path(), "revocations");
    }
}

claims!(#[test], Folder::new());
claims!(@not_redis [#[test]] Folder::new());

#[test]
fn one_process_at_a_time_holds_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    let first = Embedded::open(folder.path()).unwrap();
    let second = Embedded::open(folder.path()).map(drop).unwrap_err();
    assert!(second.to_string().starts_with("cannot open store `"), "{second}");
    assert!(second.to_string().ends_with("such as a running portcullis-session: stop that one first"), "{second}");
    drop(first);
}

#[test]
fn the_longest_lease_is_kept_and_a_store_of_an_earlier_version_does_not_say() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Embedded::open(folder.path()).unwrap();
    assert_eq!(open().longest_lease_ms(), Ok(Some(0)), "nobody was given one by a new store");
    open().note_longest_lease(500).unwrap();
    assert_eq!(open().longest_lease_ms(), Ok(Some(500)));
    let database = redb::Database::open(folder.path().join("sessions.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    let meta: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    txn.open_table(meta).unwrap().remove("longest_lease_ms").unwrap();
    txn.commit().unwrap();
    drop(database);
    assert_eq!(open().longest_lease_ms(), Ok(None));
}

/// Makes the file one of another layout, as an older version has written it.
fn set_layout(folder: &Path, layout: u64) {
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

fn layout(folder: &Path) -> u64 {
    use redb::ReadableDatabase as _;
    let database = redb::Database::open(folder.join("sessions.redb")).unwrap();
    let meta: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    let txn = database.begin_read().unwrap();
    txn.open_table(meta).unwrap().get("layout").unwrap().unwrap().value()
}

#[test]
fn a_file_of_a_former_layout_is_taken_over_and_no_older_version_reads_it_again() {
    for former in 3..10 {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(folder.path()).unwrap();
        store.apply(&[Change::Write(record("live"))]).unwrap();
        drop(store);
        set_layout(folder.path(), former);
        let store = Embedded::open(folder.path()).unwrap();
        assert_eq!((sessions(&store), store.rules().unwrap().blocks), (vec![record("live")], vec![]), "{former}");
        drop(store);
        assert_eq!(layout(folder.path()), 10, "{former}");
    }
    for unknown in [2, 11] {
        let folder = tempfile::tempdir().unwrap();
        drop(Embedded::open(folder.path()).unwrap());
        set_layout(folder.path(), unknown);
        let refused = Embedded::open(folder.path()).unwrap_err();
        assert!(refused.to_string().contains("reads layouts 3 to 10 only"), "{refused}");
    }
}

#[test]
fn what_is_read_only_is_not_made() {
    let folder = Folder::new();
    let missing = Embedded::open_existing(folder.path()).map(drop).unwrap_err();
    assert!(missing.0.starts_with("there is no store in folder `"), "{missing}");
    drop(folder.open());
    assert!(Embedded::open_existing(folder.path()).is_ok());
}

#[test]
fn two_stores_have_two_ids() {
    let id = || Folder::new().open().id();
    assert_ne!(id(), id());
}

#[test]
fn all_rules_replace_what_a_failed_file_may_have_kept() {
    let revocation = |name: &str| Revocation {
        issuer: "i".to_owned(),
        party: RevokedParty::Sid(name.to_owned()),
        before_ms: 9,
        made_at_ms: 9,
        ends_at_ms: 9,
        reason: String::new(),
        by: MadeBy::default(),
    };
    let block = |name: &str| Block {
        issuer: "i".to_owned(),
        party: BlockedParty::Sid(name.to_owned()),
        until_ms: None,
        made_at_ms: 9,
        reason: String::new(),
        transmitter: String::new(),
        email: None,
        by: MadeBy::default(),
    };
    let folder = Folder::new();
    let store = folder.open();
    store.apply(&[Change::Revocation(revocation("b")), Change::Block(block("b"))]).unwrap();
    let rules =
        Rules { revocations: vec![revocation("c")], blocks: vec![block("c")], narrowings: vec![], ..Rules::default() };
    store.apply(&[Change::Rules(rules.clone())]).unwrap();
    assert_eq!(folder.reopen(store).rules(), Ok(rules));
}

/// Spoils one byte of an entry.
pub(crate) fn damage(folder: &Path, table: &str, id: SessionId) {
    use redb::ReadableTable as _;
    let table: redb::TableDefinition<'_, [u8; 16], &[u8]> = redb::TableDefinition::new(table);
    let database = redb::Database::open(folder.join("sessions.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    {
        let mut entries = txn.open_table(table).unwrap();
        let mut bytes = entries.get(id.0).unwrap().unwrap().value().to_vec();
        bytes[0] = b'!';
        entries.insert(id.0, bytes.as_slice()).unwrap();
    }
    txn.commit().unwrap();
}

/// Spoils every entry of a table whose keys are texts.
pub(crate) fn damage_all(folder: &Path, table: &str) {
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
