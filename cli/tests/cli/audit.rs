//! `portcullis audit …` on the files of a small log.

use crate::tool::{self, run, stderr};
use portcullis_audit::{
    checkpoint::{Checkpoint, entry},
    note::SignerKey,
    record::{Draft, Format, Header, Instant},
    tree::{Frontier, Stated, leaf_hash},
};
use serde_json::Value;
use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

const NAME: &str = "audit.example/1";

/// A log in a folder: eight records, of which a checkpoint has seven.
struct Log {
    folder: TempDir,
    key: SignerKey,
}

impl Log {
    fn new() -> Self {
        let log =
            Self { folder: tempfile::tempdir().expect("a folder"), key: SignerKey::generate(NAME).expect("a key") };
        let (mut tree, mut last, mut lines) = (Frontier::default(), None, String::new());
        let mut checkpoints = entry(&Checkpoint::sign(&tree, &log.key));
        let header = Header { origin: NAME.to_owned(), file: 1, tree: Stated::from(&tree), anew: None };
        let header = serde_json::to_string(&header).expect("JSON");
        let header = header.trim_start_matches('{').strip_suffix('}').expect("an object").to_owned();
        for number in 0..8_u64 {
            let time =
                Instant { text: format!("2026-11-27T02:00:0{number}.000Z"), ms: 1_795_744_800_000 + number * 1000 };
            let subject = if number % 2 == 0 { "alice" } else { "bob" };
            let (code, members) = match number {
                0 => ("audit_file", format!(",{header}")),
                1 => ("revocation_made", r#","party":"{\"subject\":\"alice\"}","by":"anna""#.to_owned()),
                _ => ("login", format!(r#","session":"s-{number}","subject":"{subject}""#)),
            };
            let draft = Draft { seq: number, time: &time, prev: last.as_ref(), code, members: &members };
            let line = draft.line(Format::Portcullis);
            let hash = leaf_hash(line.as_bytes());
            tree.push(hash);
            last = Some(hash);
            lines += &format!("{line}\n");
            if number == 6 {
                checkpoints += &entry(&Checkpoint::sign(&tree, &log.key));
            }
        }
        fs::write(log.path("audit.jsonl"), lines).expect("it is written");
        fs::write(log.path("audit.jsonl.checkpoints"), checkpoints).expect("it is written");
        fs::write(log.path("key"), format!("{}\n", log.key.verifier())).expect("it is written");
        log
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs a command on the file.
    fn audit(&self, command: &str, args: &[&str]) -> Output {
        let mut tool = tool::portcullis();
        tool.args(["audit", command, &self.path("audit.jsonl")]).args(args).output().expect("the program runs")
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_key_is_generated_that_signs_and_verifies() {
    let shown = run(tool::portcullis().args(["audit", "keygen", NAME, "--output", "json"]));
    let keys: Value = serde_json::from_str(&shown).expect("JSON");
    let key = SignerKey::read(keys["private_key"].as_str().expect("a key")).expect("a private key");
    assert_eq!(key.verifier().to_string(), keys["verifier_key"]);
    let text = run(tool::portcullis().args(["audit", "keygen", NAME]));
    assert!(text.starts_with("private key:  PRIVATE+KEY+audit.example/1+") && text.contains("\nverifier key: audit."));
    let bad = tool::portcullis().args(["audit", "keygen", "a b"]).output().expect("the program runs");
    assert_eq!(bad.status.code(), Some(2), "{}", stderr(&bad));
}

#[test]
fn a_log_is_verified_and_the_first_line_that_does_not_fit_is_named() {
    let log = Log::new();
    let (file, key) = (log.path("audit.jsonl"), log.key.verifier().to_string());
    let good = log.audit("verify", &[&log.path("audit.jsonl.checkpoints"), "--key", &key]);
    let expected =
        "audit.example/1: 7 records are proved (0 to 6); 1 record after the last checkpoint is not proved yet\n";
    assert_eq!((good.status.code(), stdout(&good)), (Some(0), format!("{file}: {expected}")), "{}", stderr(&good));
    let json = log.audit("verify", &["--key", &log.path("key"), "--output", "json"]);
    let json: Value = serde_json::from_str(&stdout(&json)).expect("JSON");
    assert_eq!((&json["logs"][0]["proved"], &json["logs"][0]["unproved"]), (&7.into(), &1.into()));

    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, text.replacen("\"s-3\"", "\"s-9\"", 1)).expect("it is written");
    let bad = log.audit("verify", &["--key", &log.path("key")]);
    assert_eq!(bad.status.code(), Some(5));
    assert!(stderr(&bad).starts_with(&format!("error: {file}:4: ")), "{}", stderr(&bad));
    let json = log.audit("verify", &["--key", &key, "--output", "json"]);
    assert_eq!(json.status.code(), Some(5));
    let json: Value = serde_json::from_str(&stdout(&json)).expect("JSON");
    assert_eq!(json["logs"][0]["fault"]["line"], 4);
}

#[test]
fn a_checkpoint_from_elsewhere_shows_that_the_end_was_cut() {
    let log = Log::new();
    let (file, notes) = (log.path("audit.jsonl"), log.path("audit.jsonl.checkpoints"));
    let (lines, checkpoints) =
        (fs::read_to_string(&file).expect("a file"), fs::read_to_string(&notes).expect("a file"));
    let last = checkpoints.split_inclusive("\n\n").skip(2).collect::<String>();
    let logged = serde_json::json!({"level": "INFO", "checkpoint": last.strip_suffix('\n')});
    let (kept, logged_at) = (log.path("kept"), log.path("stdout.log"));
    fs::write(&kept, &checkpoints).expect("it is written");
    fs::write(&logged_at, format!("not JSON \"checkpoint\"\n{logged}\n")).expect("it is written");
    fs::write(&file, lines.split_inclusive('\n').take(5).collect::<String>()).expect("it is written");
    fs::write(&notes, checkpoints.split_inclusive("\n\n").take(2).collect::<String>()).expect("it is written");
    let key = log.key.verifier().to_string();
    assert_eq!(log.audit("verify", &["--key", &key]).status.code(), Some(0));
    for elsewhere in [&kept, &logged_at] {
        let output = log.audit("verify", &["--key", &key, "--checkpoints", elsewhere]);
        assert_eq!(output.status.code(), Some(5), "{elsewhere}: {}", stdout(&output));
        assert!(stderr(&output).contains("the end is missing: a checkpoint of 7 records"), "{}", stderr(&output));
    }
    fs::write(&kept, "nothing").expect("it is written");
    assert_eq!(log.audit("verify", &["--key", &key, "--checkpoints", &kept]).status.code(), Some(2));
}

#[test]
fn a_key_that_is_not_one_is_refused() {
    let log = Log::new();
    let private = log.key.secret();
    for (key, wanted) in [
        (private.as_str(), "this is a private key"),
        ("audit.example/1+00000000+AAAA", "is not an Ed25519 key"),
        (&log.path("audit.jsonl"), "a line of"),
    ] {
        let output = log.audit("verify", &["--key", key]);
        assert_eq!(output.status.code(), Some(2), "{key}");
        assert!(stderr(&output).contains(wanted) && !stderr(&output).contains(&private), "{}", stderr(&output));
    }
    let missing = tool::portcullis().args(["audit", "verify", "nothing.jsonl", "--key", &log.path("key")]).output();
    assert_eq!(missing.expect("the program runs").status.code(), Some(1));
}

#[test]
fn a_record_is_proved_once_a_checkpoint_has_it() {
    let (log, key) = (Log::new(), Log::path);
    let key = key(&log, "key");
    let proof = log.audit("prove", &["--seq", "3", "--key", &key]);
    let text = stdout(&proof);
    assert!(
        text.starts_with("c2sp.org/tlog-proof@v1\nindex 3\n") && text.contains("\n\naudit.example/1\n7\n"),
        "{text}"
    );
    let json = log.audit("prove", &["--seq", "3", "--key", &key, "--output", "json"]);
    let json: Value = serde_json::from_str(&stdout(&json)).expect("JSON");
    assert!(json["record"].as_str().is_some_and(|record| record.contains("s-3")), "{json}");
    for (seq, code) in [("7", 5), ("8", 2)] {
        let output = log.audit("prove", &["--seq", seq, "--key", &key]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    }
}

#[test]
fn records_are_found_and_those_of_several_replicas_are_in_the_order_of_time() {
    let (log, other) = (Log::new(), Log::new());
    let found = |args: &[&str]| stdout(&log.audit("search", args)).lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(found(&["--session", "s-3"]), ["2026-11-27T02:00:03.000Z  login  session=s-3  subject=bob"]);
    assert_eq!(found(&["--subject", "alice"]).len(), 4);
    assert_eq!(found(&["--admin", "anna"]).len(), 1);
    assert_eq!(found(&["--code", "login", "--code", "audit_file"]).len(), 7);
    assert_eq!(found(&["--since", "2026-11-27T02:00:06Z", "--code", "login"]).len(), 2);
    assert_eq!(found(&["--subject", "mallory"]).len(), 0);
    let both = found(&[&other.path("audit.jsonl"), "--code", "login", "--output", "json"]);
    let times: Vec<String> =
        both.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["time"].to_string()).collect();
    assert!(times.len() == 12 && times.is_sorted(), "{times:?}");
}

#[test]
fn the_last_records_are_printed() {
    let log = Log::new();
    let tail = stdout(&log.audit("tail", &["--lines", "2"]));
    assert_eq!(tail.lines().count(), 2);
    assert!(tail.ends_with("session=s-7  subject=bob\n"), "{tail}");
    assert_eq!(
        stdout(&log.audit("tail", &["--output", "json"])),
        fs::read_to_string(Path::new(&log.path("audit.jsonl"))).expect("a file")
    );
}

/// Records of the large log, and after how many there is a checkpoint.
const MANY: u64 = 1_000_000;
const SIGNED: u64 = 1_000;
/// What verifying it may take of memory. The hashes of the leaves are kept: 32 bytes each.
const DATA_KIB_MAX: u64 = 128 * 1024;

/// Writes a large log, without ever holding it.
fn write_large(log: &Log) {
    let create = |name: &str| BufWriter::new(fs::File::create(log.path(name)).expect("a file"));
    let (mut lines, mut checkpoints) = (create("audit.jsonl"), create("audit.jsonl.checkpoints"));
    let (mut tree, mut last) = (Frontier::default(), None);
    let sign = |tree: &Frontier| entry(&Checkpoint::sign(tree, &log.key));
    checkpoints.write_all(sign(&tree).as_bytes()).expect("it is written");
    let header = Header { origin: NAME.to_owned(), file: 1, tree: Stated::from(&tree), anew: None };
    let header = serde_json::to_string(&header).expect("JSON");
    let header = header.trim_start_matches('{').strip_suffix('}').expect("an object").to_owned();
    let time = Instant { text: "2026-11-27T02:00:00.000Z".to_owned(), ms: 1_795_744_800_000 };
    for number in 0..MANY {
        let (code, members) = match number {
            0 => ("audit_file", format!(",{header}")),
            _ => ("login", format!(r#","session":"s-{number}","subject":"user {}"#, number % 1_000) + "\""),
        };
        let draft = Draft { seq: number, time: &time, prev: last.as_ref(), code, members: &members };
        let line = draft.line(Format::Portcullis);
        let hash = leaf_hash(line.as_bytes());
        tree.push(hash);
        last = Some(hash);
        lines.write_all(line.as_bytes()).and_then(|()| lines.write_all(b"\n")).expect("it is written");
        if (number + 1) % SIGNED == 0 {
            checkpoints.write_all(sign(&tree).as_bytes()).expect("it is written");
        }
    }
}

#[test]
#[ignore = "slow: part of `make test-faults`"]
fn a_million_records_are_verified_in_bounded_memory() {
    let log = Log::new();
    write_large(&log);
    let (file, key) = (log.path("audit.jsonl"), log.key.verifier().to_string());
    // A shell bounds its own memory, and becomes the tool.
    let mut tool = Command::new("sh");
    tool.args(["-c", &format!("ulimit -d {DATA_KIB_MAX} && exec \"$0\" \"$@\"")]);
    tool.arg(tool::portcullis().get_program());
    tool.args(["audit", "verify", &file, "--key", &key]);
    let output = tool.output().expect("the program runs");
    assert!(stdout(&output).contains("1000000 records are proved (0 to 999999)"), "{}", stderr(&output));
}
