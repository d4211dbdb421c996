//! What a backup, a restore and a migration promise, between both kinds of stores.

use super::file::Backup;
use super::lines::{FORMAT, Line};
use super::*;
use crate::attributes::{Attribute, Fact, Holder, Value};
use crate::blocks::{Block, BlockedParty};
use crate::held::HeldSignal;
use crate::issuers::KnownIssuer;
use crate::judge::{End, Reason};
use crate::made_by::MadeBy;
use crate::narrowings::{Narrowing, Party};
use crate::revocations::{Revocation, RevokedParty};
use crate::signals::Order;
use crate::store::tests::embedded::Folder;
use crate::store::tests::postgres::Schema;
use crate::store::tests::{Home, end, record, sessions, tombstone};
use crate::store::{Change, Lead, Record};
use crate::usage::{Count, Kind, Used};

mod merging;

const MERGE: Options = Options { merge: true, skip_unreadable: false };

fn revocation(name: &str, before_ms: u64) -> Revocation {
    Revocation {
        issuer: "i".to_owned(),
        party: RevokedParty::Sid(name.to_owned()),
        before_ms,
        made_at_ms: 9,
        ends_at_ms: before_ms,
        reason: "ticket".to_owned(),
        by: MadeBy::default(),
    }
}

fn block(until_ms: Option<u64>) -> Block {
    Block {
        issuer: "i".to_owned(),
        party: BlockedParty::Subject("alice".to_owned()),
        until_ms,
        made_at_ms: 9,
        reason: String::new(),
        transmitter: String::new(),
        email: None,
        by: MadeBy::default(),
    }
}

fn narrowing(scopes: Option<&[&str]>, removed: &[&str]) -> Narrowing {
    let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    Narrowing {
        scopes: scopes.map(texts),
        removed: texts(removed),
        ..Narrowing::none(Party::of("i", "alice", "web", ""))
    }
}

fn attribute() -> Attribute {
    let holder = Holder::Subject { issuer: "i".to_owned(), subject: "alice".to_owned() };
    let value = Value::Text("high".to_owned());
    let fact = Fact { value, set_at_ms: 9, expires_at_ms: None, login_until_ms: None };
    Attribute { holder, name: "risk".to_owned(), source: "idp".to_owned(), fact: Some(fact) }
}

fn issuer() -> KnownIssuer {
    KnownIssuer {
        name: "i".to_owned(),
        scope_claims: vec!["scp".to_owned()],
        session_claims: vec!["sid".to_owned()],
        client_claims: vec![],
        machine: vec![("idtyp".to_owned(), vec!["\"app\"".to_owned()])],
    }
}

fn used(kind: Kind, asked: u64) -> Used {
    let count = Count { asked, granted: 2, refused: 1, last_ms: 9 };
    Used { day: 20_000, kind, name: "orders:read".to_owned(), client: "web".to_owned(), count }
}

/// One of everything, and more sessions than one commit takes.
fn everything() -> Vec<Change> {
    let mut changes: Vec<Change> = (0..1_200).map(|n| Change::Write(record(&format!("live{n}")))).collect();
    changes.extend([
        Change::Write(Record { returned: end(3), returned_from_ms: 3, ..record("returned") }),
        Change::Tombstone(tombstone("dead", 7)),
        Change::Tombstone(Record { ended: Some(End { reason: Reason::IdleTimeout, at_ms: 8 }), ..record("idle") }),
        Change::Revocation(revocation("s", 9)),
        Change::Block(block(None)),
        Change::Narrowing(narrowing(Some(&["a"]), &["b"]).signalled("idp", vec!["a".to_owned()], 1, "r")),
        Change::Attribute(attribute()),
        Change::Hold(HeldSignal::new("idp", Some("1"), Order::default(), 9)),
        Change::Request(Box::new(crate::fixtures::request())),
        Change::Issuers(vec![issuer()]),
        Change::Leads(vec![Lead { issuer: "i".into(), lead_ms: 40 }]),
        Change::Used(vec![used(Kind::Scope, 7), used(Kind::Route, 5)]),
    ]);
    changes
}

fn backup(store: &dyn Store, is_shared: bool) -> String {
    let mut out = Vec::new();
    backup::write(store, is_shared, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What a store has, to compare: its backup without the header.
fn contents_of(store: &dyn Store) -> Vec<String> {
    let mut lines: Vec<String> = backup(store, false).lines().skip(1).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Restores a text.
fn restore(text: &str, store: &dyn Store, options: Options) -> Result<(), Failure> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.jsonl");
    std::fs::write(&file, text).unwrap();
    restore::from_file(&Backup::open(&file)?, store, options)
}

fn restored_is_the_same(from: &dyn Home, to: &dyn Home) {
    let (source, target) = (from.open(), to.open());
    source.apply(&everything()).unwrap();
    restore(&backup(&*source, true), &*target, Options::default()).unwrap();
    let target = to.reopen(target);
    assert_eq!(contents_of(&*target), contents_of(&*source));
    assert_eq!(sessions(&*target).len(), 1_201);
    restore(&backup(&*source, false), &*target, MERGE).unwrap();
    assert_eq!(contents_of(&*target), contents_of(&*source), "once more changes nothing");
}

fn migrated_is_the_same(to: &dyn Home) {
    let from = Folder::new();
    let (source, target) = (from.open(), to.open());
    source.apply(&everything()).unwrap();
    restore::from_store(&*source, &*target, Options::default()).unwrap();
    assert_eq!(contents_of(&*target), contents_of(&*source));
}

mod postgres {
    use super::*;

    #[test]
    #[ignore = "needs PostgreSQL: run by `make test-faults`"]
    fn a_backup_restored_elsewhere_has_everything() {
        restored_is_the_same(&Folder::new(), &Schema::new());
        restored_is_the_same(&Schema::new(), &Folder::new());
        restored_is_the_same(&Schema::new(), &Schema::new());
    }

    #[test]
    #[ignore = "needs PostgreSQL: run by `make test-faults`"]
    fn an_embedded_store_is_migrated_without_losing_anything() {
        migrated_is_the_same(&Schema::new());
    }

    #[test]
    #[ignore = "needs PostgreSQL: run by `make test-faults`"]
    fn a_merge_never_weakens_what_either_has() {
        merging::a_merge_weakens_no_end(&|| Box::new(Schema::new()));
        merging::a_merge_weakens_no_rule(&|| Box::new(Schema::new()));
    }

    #[test]
    #[ignore = "needs PostgreSQL: run by `make test-faults`"]
    fn a_check_lists_the_replicas_and_where_the_log_ends() {
        let schema = Schema::new();
        let store = std::sync::Arc::new(Postgres::open(&schema.target()).unwrap());
        store.apply(&[Change::Tombstone(tombstone("dead", 7))]).unwrap();
        crate::replica::Engine::join(&*store, 0, 3_000).unwrap();
        let condition = Postgres::open_existing(&schema.target()).unwrap().condition().unwrap();
        assert_eq!((condition.head, condition.replicas.len()), (1, 1));
        assert_eq!(condition.replicas[0].settled, 0);
        assert_eq!(condition.warnings, Vec::<String>::new());
    }
}

#[test]
fn the_arguments_of_every_subcommand_fit_together() {
    <Command as clap::Subcommand>::augment_subcommands(clap::Command::new("store")).debug_assert();
}

#[test]
fn a_backup_restored_elsewhere_has_everything() {
    restored_is_the_same(&Folder::new(), &Folder::new());
}

#[test]
fn an_embedded_store_is_migrated_without_losing_anything() {
    migrated_is_the_same(&Folder::new());
}

#[test]
fn a_merge_never_weakens_what_either_has() {
    merging::a_merge_weakens_no_end(&|| Box::new(Folder::new()));
    merging::a_merge_weakens_no_rule(&|| Box::new(Folder::new()));
}

#[test]
fn a_store_that_has_anything_is_refused_without_merge() {
    for change in everything().into_iter().skip(1_199) {
        let (store, empty) = (Folder::new().open(), Folder::new().open());
        store.apply(std::slice::from_ref(&change)).unwrap();
        let refused = restore(&backup(&*empty, false), &*store, Options::default()).unwrap_err();
        assert!(matches!(&refused, Failure::Failed(text) if text.contains("`--merge`")), "{change:?}: {refused:?}");
    }
}

#[test]
fn a_backup_that_is_not_whole_changes_nothing() {
    let (from, to) = (Folder::new().open(), Folder::new().open());
    from.apply(&everything()[1_195..]).unwrap();
    let whole = backup(&*from, false);
    let lines: Vec<&str> = whole.lines().collect();
    let mut broken: Vec<String> = (0..lines.len()).map(|count| lines[..count].join("\n")).collect();
    broken.extend((0..lines.len()).map(|left_out| {
        let kept = lines.iter().enumerate().filter(|(index, _)| *index != left_out);
        kept.map(|(_, line)| format!("{line}\n")).collect()
    }));
    broken.push(format!("{whole}{}", lines[1]));
    broken.push(whole.replace("\"tombstone\"", "\"later\""));
    broken.push(
        whole.replace(&format!("\"portcullis_backup\":{FORMAT}"), &format!("\"portcullis_backup\":{}", FORMAT + 1)),
    );
    broken.push(whole.replace(&format!("\"portcullis_backup\":{FORMAT}"), "\"portcullis_backup\":0"));
    for text in broken {
        assert!(restore(&text, &*to, Options::default()).is_err(), "{text}");
        assert_eq!(contents_of(&*to).len(), 1, "nothing but the end");
    }
    restore(&whole, &*to, Options::default()).unwrap();
}

#[test]
fn a_line_says_only_what_its_kind_can() {
    let of = |line: &Line| Line::read(&serde_json::to_string(line).unwrap());
    assert!(of(&Line::Session(record("s"))).is_ok() && of(&Line::Tombstone(tombstone("s", 7))).is_ok());
    assert!(of(&Line::Session(tombstone("s", 7))).is_err());
    assert!(of(&Line::Tombstone(record("s"))).is_err());
    assert!(of(&Line::UnreadableTombstone("x".to_owned())).is_err());
    assert!(of(&Line::Attribute(attribute())).is_ok());
    assert!(of(&Line::Attribute(Attribute { fact: None, ..attribute() })).is_err());
    for change in [
        Change::Forget(record("s").id(), 9),
        Change::Lift(revocation("s", 9)),
        Change::Unblock(block(None)),
        Change::Unhold("x".to_owned()),
    ] {
        let text = serde_json::to_string(&change).unwrap();
        assert!(Line::read(&text).is_err(), "{text} would take something back");
    }
}

#[test]
fn an_end_that_cannot_be_read_is_not_left_out_without_being_asked_for() {
    let from = Folder::new();
    from.open().apply(&[Change::Tombstone(tombstone("dead", 7)), Change::Write(record("live"))]).unwrap();
    from.damage("tombstones", record("dead").id());
    from.damage("sessions", record("live").id());
    let source = from.open();
    let first = backup(&*source, false);
    assert_eq!(first.matches("unreadable_tombstone").count(), 2, "{first}");
    let report = check::of(&*source, false);
    assert_eq!((report.counts.unreadable, report.damage.len()), (2, 2), "{report:?}");
    let asked = Options { skip_unreadable: true, ..Options::default() };
    for (options, is_done) in [(Options::default(), false), (MERGE, false), (asked, true)] {
        let to = Folder::new().open();
        assert_eq!(restore(&first, &*to, options).is_ok(), is_done, "{options:?}");
        assert_eq!(restore::from_store(&*source, &*to, options).is_ok(), is_done, "{options:?}");
    }
}

#[test]
fn a_backup_mends_an_end_that_cannot_be_read() {
    let home = Folder::new();
    home.open().apply(&[Change::Tombstone(tombstone("dead", 7))]).unwrap();
    let whole = backup(&*home.open(), false);
    home.damage("tombstones", record("dead").id());
    restore(&whole, &*home.open(), MERGE).unwrap();
    assert_eq!(home.open().tombstone(record("dead").id()), Ok(Some(tombstone("dead", 7))));
}

#[test]
fn a_session_that_changes_while_it_is_read_is_not_restored_as_better_than_it_is() {
    let home = Folder::new();
    let store = home.open();
    store.apply(&[Change::Write(record("ends")), Change::Tombstone(tombstone("returns", 7))]).unwrap();
    let mut lines = Vec::new();
    contents::sessions(&*store, true, &mut |line| {
        if matches!(line, Line::Session(_)) {
            let returned = Record { returned: end(7), ..record("returns") };
            store.apply(&[Change::Tombstone(tombstone("ends", 9)), Change::Write(returned)])?;
        }
        lines.push(line);
        Ok(())
    })
    .unwrap();
    let ended = |key, at_ms| Line::Tombstone(tombstone(key, at_ms));
    assert_eq!(lines, [ended("returns", 7), Line::Session(record("ends")), ended("ends", 9)]);
}

#[test]
fn a_backup_is_for_its_owner_and_takes_the_place_of_a_former_one_only_when_it_is_whole() {
    let (folder, home) = (tempfile::tempdir().unwrap(), Folder::new());
    let out = folder.path().join("backup.jsonl");
    std::fs::write(&out, "former").unwrap();
    home.open().apply(&everything()).unwrap();
    home.damage_revocations();
    let opened = Opened::Embedded(Embedded::open(home.path()).unwrap());
    assert!(backup::run(&opened, &out).is_err(), "nobody knows what is revoked");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "former");
    opened.store().apply(&[Change::Revocation(revocation("s", 9))]).unwrap();
    backup::run(&opened, &out).unwrap();
    assert!(Backup::open(&out).is_ok());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&out).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_store_is_not_migrated_into_itself() {
    let home = Folder::new();
    drop(home.open());
    let same = home.path().join("..").join(home.path().file_name().unwrap());
    let refused = migrate(&StoreSettings::Embedded(same), home.path(), Options::default()).unwrap_err();
    assert!(
        matches!(&refused, Failure::Invalid(text) if text.contains("is the configured store itself")),
        "{refused:?}"
    );
}
