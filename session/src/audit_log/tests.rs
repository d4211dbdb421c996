//! Restarts, rotation, a disk that fails, and files that somebody has changed.

use super::disk::{self, Disk, Open};
use super::queue::{self, Entry};
use super::writer::{checkpoints, closed, closed_files, with_end};
use super::*;
use crate::clock::wall_ms;
use portcullis_audit::record::Record;
use portcullis_audit::verify::{self, Fault, Proof, Source, verify};
use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;
use tempfile::TempDir;
use tracing_subscriber::layer::SubscriberExt;

/// A folder with the settings of a log in it.
struct Fixture {
    _folder: TempDir,
    file: AuditFile,
    fails: Arc<AtomicBool>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = AuditFile {
            path: folder.path().join("audit.jsonl"),
            format: Format::Portcullis,
            key: SignerKey::generate("audit.example/1").unwrap(),
            records: 5,
            every: Duration::from_secs(3_600),
            size_bytes: 1 << 30,
            age_ms: u64::MAX,
            retain_ms: 1_000 * 86_400_000,
            sample: Vec::new(),
            webhook: None,
            otlp: None,
        };
        Self { _folder: folder, file, fails: Arc::default() }
    }

    fn start(&self) -> Writer {
        Writer::start(self.file.clone(), self.disk(), None).unwrap()
    }

    /// A disk that writes half and fails while it is told to.
    fn disk(&self) -> Open {
        let fails = Arc::clone(&self.fails);
        Box::new(move |path| {
            let failing: Box<dyn Disk> = Box::new(Failing(disk::open(path)?, Arc::clone(&fails)));
            Ok(failing)
        })
    }

    /// Verifies all files, the closed ones first.
    fn verify(&self) -> Result<Proof, Fault> {
        let closed = closed_files(&self.file.path).unwrap().into_iter().map(|(_, path)| path);
        let sources = closed.chain([self.file.path.clone()]).map(|path| Source {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            lines: Box::new(BufReader::new(fs::File::open(&path).unwrap())),
            checkpoints: fs::read_to_string(checkpoints(&path)).unwrap(),
        });
        verify(sources.collect(), &[self.file.key.verifier().clone()], &[]).map_err(|error| match error {
            verify::Error::Fault(fault) => fault,
            verify::Error::Read(..) => panic!("{error}"),
        })
    }

    fn records(&self) -> Vec<Record> {
        let text = fs::read_to_string(&self.file.path).unwrap();
        text.lines().map(|line| Record::read(line.as_bytes()).unwrap()).collect()
    }

    fn codes(&self) -> Vec<String> {
        self.records().into_iter().map(|record| record.code).collect()
    }

    /// Changes the bytes of a file.
    fn change(path: &Path, change: impl Fn(&mut Vec<u8>)) {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }
}

struct Failing(Box<dyn Disk>, Arc<AtomicBool>);

impl Disk for Failing {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) {
            self.0.append(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            return Err(io::Error::other("the disk is full"));
        }
        self.0.append(bytes)
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.0.cut(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

fn some(count: usize) -> Vec<Entry> {
    let entry = |number| Entry { ms: wall_ms(), code: "login".to_owned(), members: format!(r#","number":{number}"#) };
    (0..count).map(entry).collect()
}

#[test]
fn a_log_is_signed_after_so_many_records_and_when_it_is_settled() {
    let fixture = Fixture::new();
    let mut writer = fixture.start();
    writer.write(some(3), 0);
    assert_eq!((fixture.verify().unwrap().proved, writer.is_due()), (0, true));
    writer.write(some(1), 0);
    assert_eq!((fixture.verify().unwrap().proved, writer.is_due()), (5, false));
    writer.write(some(1), 0);
    writer.settle();
    let proof = fixture.verify().unwrap();
    assert_eq!((proof.size, proof.proved, proof.origin.as_str()), (6, 6, "audit.example/1"));
}

#[test]
fn a_restart_continues_the_tree_and_cuts_off_what_a_crash_has_left() {
    let fixture = Fixture::new();
    fixture.start().write(some(6), 0);
    Fixture::change(&fixture.file.path, |bytes| bytes.extend_from_slice(b"{\"seq\":7,\"ti"));
    Fixture::change(&checkpoints(&fixture.file.path), |bytes| bytes.extend_from_slice(b"audit.exam"));
    let mut writer = fixture.start();
    assert!(writer.is_due(), "two records have no checkpoint");
    writer.write(some(1), 0);
    writer.settle();
    let proof = fixture.verify().unwrap();
    assert_eq!((proof.size, proof.proved, proof.torn_bytes, proof.anew), (8, 8, 0, vec![]));
}

#[test]
fn a_restart_in_the_middle_of_beginning_a_file_begins_it() {
    for leave in [b"".as_slice(), b"{\"seq\":0"] {
        let fixture = Fixture::new();
        drop(fixture.start());
        fs::write(&fixture.file.path, leave).unwrap();
        drop(fixture.start());
        let proof = fixture.verify().unwrap();
        assert_eq!((proof.size, proof.anew.len()), (1, 0));
    }
}

#[test]
fn two_processes_do_not_write_one_file() {
    let fixture = Fixture::new();
    let _writer = fixture.start();
    let second = Writer::start(fixture.file.clone(), fixture.disk(), None).map(drop);
    assert!(second.unwrap_err().to_string().contains("another process"));
}

#[test]
fn a_full_file_is_closed_and_the_rest_is_proved_after_the_first_are_deleted() {
    let mut fixture = Fixture::new();
    fixture.file.size_bytes = 1_500;
    for _ in 0..3 {
        let mut writer = fixture.start();
        (0..20).for_each(|_| writer.write(some(1), 0));
        writer.settle();
    }
    let files = closed_files(&fixture.file.path).unwrap();
    assert!(files.len() >= 4, "{files:?}");
    let proof = fixture.verify().unwrap();
    assert_eq!((proof.first, proof.size, proof.unproved()), (0, 61 + files.len() as u64, 0));
    let old = SystemTime::now() - Duration::from_secs(2_000 * 86_400);
    for (_, path) in &files[..2] {
        fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    drop(fixture.start());
    let left: Vec<u64> = closed_files(&fixture.file.path).unwrap().iter().map(|(number, _)| *number).collect();
    assert_eq!(left, files[2..].iter().map(|(number, _)| *number).collect::<Vec<_>>());
    assert!(!checkpoints(&files[0].1).exists());
    let proof = fixture.verify().unwrap();
    assert!(proof.first > 0 && proof.unproved() == 0, "{proof:?}");
    fs::remove_file(&files[2].1).unwrap();
    fixture.verify().expect("a log can begin with any file");
}

#[test]
fn an_interrupted_rotation_is_finished() {
    let mut fixture = Fixture::new();
    fixture.file.records = 1;
    fixture.start().write(some(3), 0);
    let first = closed(&fixture.file.path, 1);
    fs::rename(&fixture.file.path, &first).unwrap();
    drop(fixture.start());
    assert!(checkpoints(&first).exists());
    let proof = fixture.verify().unwrap();
    assert_eq!((proof.first, proof.size, proof.anew.len()), (0, 5, 0));
}

#[test]
fn a_disk_that_fails_costs_records_that_are_counted_and_leaves_no_torn_line() {
    let fixture = Fixture::new();
    let mut writer = fixture.start();
    writer.write(some(1), 0);
    fixture.fails.store(true, Ordering::SeqCst);
    writer.write(some(2), 0);
    writer.write(some(9), 3);
    writer.settle();
    fixture.fails.store(false, Ordering::SeqCst);
    writer.write(some(1), 0);
    writer.settle();
    assert_eq!(fixture.codes(), ["audit_file", "login", "gap", "login"]);
    assert_eq!(fixture.records()[2].fields["dropped"], 14);
    let proof = fixture.verify().unwrap();
    assert_eq!((proof.size, proof.unproved(), proof.torn_bytes), (4, 0, 0));
}

#[test]
fn a_disk_that_fails_while_a_file_is_begun_is_tried_again() {
    let mut fixture = Fixture::new();
    fixture.file.size_bytes = 1;
    let mut writer = fixture.start();
    writer.write(some(1), 0);
    fixture.fails.store(true, Ordering::SeqCst);
    writer.write(some(1), 0);
    fixture.fails.store(false, Ordering::SeqCst);
    writer.write(some(1), 0);
    writer.settle();
    let proof = fixture.verify().unwrap();
    assert_eq!((proof.first, proof.unproved(), proof.anew.len()), (0, 0, 0));
}

/// Starts again after a change, which must be noticed.
fn begins_anew(change: impl Fn(&Fixture), why: &str) {
    let fixture = Fixture::new();
    fixture.start().write(some(7), 0);
    change(&fixture);
    let before = fs::read(&fixture.file.path).ok();
    drop(fixture.start());
    let header = fixture.records()[0].header().unwrap();
    let anew = header.anew.expect(why);
    assert!(anew.reason.contains(why) && header.tree.size == 0, "{why}: {anew:?}");
    assert_eq!(fs::read(&anew.aside).ok(), before, "nothing of it is lost");
    assert_eq!(fixture.verify().unwrap().anew.len(), 1);
}

#[test]
fn what_does_not_fit_is_put_aside_and_the_tree_begins_anew() {
    let at = |fixture: &Fixture| fixture.file.path.clone();
    begins_anew(|fixture| Fixture::change(&at(fixture), |bytes| bytes[200] ^= 1), "audit.jsonl:");
    begins_anew(|fixture| Fixture::change(&at(fixture), |bytes| bytes.truncate(300)), "the end is missing");
    begins_anew(|fixture| fs::remove_file(at(fixture)).unwrap(), "is missing");
    begins_anew(|fixture| fs::remove_file(checkpoints(&at(fixture))).unwrap(), "its checkpoints are missing");
    let key = SignerKey::generate("audit.example/1").unwrap();
    let other = move |fixture: &Fixture| {
        let mut file = fixture.file.clone();
        (file.key, file.path) = (key.clone(), with_end(&at(fixture), "other"));
        drop(Writer::start(file.clone(), Box::new(disk::open), None).unwrap());
        fs::copy(checkpoints(&file.path), checkpoints(&at(fixture))).unwrap();
    };
    begins_anew(other, "is not a checkpoint that the key has signed");
}

#[test]
fn a_full_queue_holds_up_nobody_and_the_gap_is_said_where_it_is() {
    let fixture = Fixture::new();
    let queue = Queue::bounded(400);
    some(10).into_iter().for_each(|entry| queue.put(entry));
    let (entries, dropped) = queue.take(Duration::ZERO).unwrap();
    assert_eq!((entries.len() as u64 + dropped, dropped > 0), (10, true));
    let mut writer = fixture.start();
    let count = entries.len();
    writer.write(entries, dropped);
    let records = fixture.records();
    assert_eq!((records.len(), records[count + 1].code.as_str()), (count + 2, "gap"));
    assert_eq!(records[count + 1].fields["dropped"], dropped);
    queue.close(Duration::ZERO);
    assert!(queue.take(Duration::ZERO).is_none());
    queue::write(&queue, &mut writer, Duration::from_secs(1));
    assert_eq!(fixture.verify().unwrap().unproved(), 0);
}

#[test]
fn lines_of_the_target_become_records_and_no_others() {
    let (fixture, log) = (Fixture::new(), AuditLog::default());
    let subscriber =
        tracing_subscriber::registry().with(log.tap(&[Sample::new("refused", Some("expired".to_owned()), 500_000)]));
    let long = "ü".repeat(10_000);
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(target: "audit", event = "login", session = %"s-1", subject = "a\"b", count = 3, is = true);
        tracing::info!(target: "audit", event = "opened", seq = 7, absent = None::<&str>, long);
        tracing::info!(event = "ended", "another target");
        (0..2).for_each(|_| tracing::info!(target: "audit", event = "refused", outcome = "expired"));
    });
    log.start(fixture.file.clone()).unwrap();
    log.close(Duration::from_secs(60));
    let records = fixture.records();
    assert_eq!(fixture.codes(), ["audit_file", "login", "opened", "refused"]);
    assert_eq!(records[3].fields["sampled"], 0.5);
    let expected = serde_json::json!({"count": 3, "is": true, "session": "s-1", "subject": "a\"b"});
    assert_eq!(serde_json::Value::Object(records[1].fields.clone()), expected);
    assert_eq!(records[2].fields["_seq"], 7);
    assert!(records[2].text("long").unwrap().len() < 8_200 && !records[2].fields.contains_key("absent"));
    assert_eq!(fixture.verify().unwrap().unproved(), 0);
}

#[test]
fn a_record_that_nobody_could_read_is_cut() {
    let mut fixture = Fixture::new();
    fixture.file.records = 1;
    let members = format!(r#","text":"{}""#, "x".repeat(1 << 20));
    fixture.start().write(vec![Entry { ms: wall_ms(), code: "login".to_owned(), members }], 0);
    assert_eq!((fixture.verify().unwrap().size, &fixture.records()[1].fields["cut"]), (2, &true.into()));
}

#[test]
fn a_log_that_was_never_started_does_not_keep_the_process() {
    let log = AuditLog::default();
    log.close(Duration::from_secs(3_600));
}

/// The names that the source gives to events of the target.
fn named(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named(&path, found);
        } else if !path.ends_with("audit_log/tests.rs") {
            let source = fs::read_to_string(&path).unwrap();
            let lines = source.split("target: \"audit\"").skip(1);
            let names = lines.filter_map(|rest| rest.trim_start_matches(',').trim_start().strip_prefix("event = \""));
            found.extend(names.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
}

#[test]
fn every_event_of_the_source_is_a_code() {
    let mut names = Vec::new();
    named(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    assert!(names.len() > 10, "{names:?}");
    names.extend(crate::audit::Kind::ALL.iter().map(|kind| kind.as_str().to_owned()));
    for name in names {
        assert!(portcullis_audit::code::named(&name).is_some(), "`{name}` is not in audit/src/code.rs");
    }
}
