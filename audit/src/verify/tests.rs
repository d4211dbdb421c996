//! Every change of a log is found, and the first line that does not fit is named.

use super::*;
use crate::checkpoint::entry;
use crate::code::FILE;
use crate::note::SignerKey;
use crate::prove::prove;
use crate::record::{Anew, Draft, Format, Header, Instant};
use crate::tree::{Frontier, Hash, Stated, leaf_hash};

/// A file of a log, and its checkpoints.
#[derive(Debug, Clone, Default)]
struct File {
    log: Vec<u8>,
    checkpoints: String,
}

/// A log as the service writes it.
struct Log {
    key: SignerKey,
    format: Format,
    tree: Frontier,
    last: Option<Hash>,
    files: Vec<File>,
}

impl Log {
    fn new(format: Format) -> Self {
        let key = SignerKey::generate("audit.example/1").unwrap();
        let mut log = Self { key, format, tree: Frontier::default(), last: None, files: Vec::new() };
        log.begin(None);
        log
    }

    fn begin(&mut self, anew: Option<Anew>) {
        self.files.push(File::default());
        self.sign();
        let tree = Stated::from(&self.tree);
        let header = Header { origin: "audit.example/1".to_owned(), file: 1, tree, anew };
        let members = serde_json::to_string(&header).unwrap();
        self.add(FILE, &format!(",{}", members.trim_start_matches('{').strip_suffix('}').unwrap()));
    }

    fn add(&mut self, code: &str, members: &str) {
        let time = Instant { text: "2026-11-27T02:00:00.000Z".to_owned(), ms: 1_795_744_800_000 };
        let draft = Draft { seq: self.tree.size(), time: &time, prev: self.last.as_ref(), code, members };
        let line = draft.line(self.format);
        let hash = leaf_hash(line.as_bytes());
        self.tree.push(hash);
        self.last = Some(hash);
        let file = self.files.last_mut().unwrap();
        file.log.extend_from_slice(line.as_bytes());
        file.log.push(b'\n');
    }

    fn sign(&mut self) {
        let note = Checkpoint::sign(&self.tree, &self.key);
        self.files.last_mut().unwrap().checkpoints.push_str(&entry(&note));
    }

    /// So many records, with a checkpoint after every third.
    fn filled(format: Format, records: u64) -> Self {
        let mut log = Self::new(format);
        for number in 1..=records {
            log.add("login", &format!(r#","subject":"user {number}","session":"s-{number}""#));
            if number % 3 == 0 {
                log.sign();
            }
        }
        log
    }

    fn keys(&self) -> [VerifierKey; 1] {
        [self.key.verifier().clone()]
    }

    fn verify(&self) -> Result<Proof, Fault> {
        verified(&self.files, &self.keys(), &[])
    }
}

fn source(number: usize, file: &File) -> Source<'_> {
    Source { name: format!("f{number}"), lines: Box::new(&*file.log), checkpoints: file.checkpoints.clone() }
}

fn verified(files: &[File], keys: &[VerifierKey], known: &[Checkpoint]) -> Result<Proof, Fault> {
    let sources = files.iter().enumerate().map(|(number, file)| source(number, file)).collect();
    verify(sources, keys, known).map_err(|error| match error {
        Error::Fault(fault) => fault,
        Error::Read(..) => panic!("it is in memory"),
    })
}

/// The bytes of its lines, each with its newline.
fn lines(log: &[u8]) -> Vec<Vec<u8>> {
    log.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// The same log with other lines.
fn with(log: &Log, lines: &[Vec<u8>]) -> Result<Proof, Fault> {
    verified(&[File { log: lines.concat(), ..log.files[0].clone() }], &log.keys(), &[])
}

#[test]
fn a_log_is_proved_up_to_its_last_checkpoint() {
    for format in [Format::Portcullis, Format::Ocsf] {
        let proof = Log::filled(format, 8).verify().unwrap();
        assert_eq!((proof.first, proof.size, proof.proved, proof.unproved()), (0, 9, 7, 2));
        assert_eq!(proof.origin, "audit.example/1");
    }
}

#[test]
fn every_changed_byte_is_found_in_its_line_and_in_the_checkpoints() {
    for format in [Format::Portcullis, Format::Ocsf] {
        let log = Log::filled(format, 6);
        let file = &log.files[0];
        let mut line = 1;
        for place in 0..file.log.len() {
            for flip in [1, 0x20, 0x80] {
                let mut changed = file.clone();
                changed.log[place] ^= flip;
                let fault = verified(&[changed], &log.keys(), &[]).expect_err(&format!("{place} {flip}"));
                let is_break = file.log[place] == b'\n' && fault.line == line + 1;
                // Whether the last line or the one before it was changed, nothing after them tells.
                let is_last = line == 7 && fault.line == 6 && fault.what.starts_with("this line or line 7 ");
                let is_named = fault.line == line || is_break || is_last;
                assert!(is_named, "{place} {flip} {line}: {fault}");
            }
            line += u64::from(file.log[place] == b'\n');
        }
        for place in 0..file.checkpoints.len() {
            let mut changed = file.checkpoints.clone().into_bytes();
            changed[place] ^= 1;
            let checkpoints = String::from_utf8_lossy(&changed).into_owned();
            let fault = verified(&[File { checkpoints, ..file.clone() }], &log.keys(), &[]).expect_err("changed");
            assert_eq!(fault.file, "f0.checkpoints", "{place}: {fault}");
        }
    }
}

#[test]
fn every_lost_repeated_and_exchanged_line_is_found() {
    let log = Log::filled(Format::Portcullis, 9);
    let whole = lines(&log.files[0].log);
    assert!(with(&log, &whole).is_ok());
    for first in 0..whole.len() {
        for after in first + 1..=whole.len() {
            let mut cut = whole.clone();
            cut.drain(first..after);
            with(&log, &cut).expect_err("lines are missing");
        }
        let mut twice = whole.clone();
        twice.insert(first, whole[first].clone());
        let fault = with(&log, &twice).expect_err("a line is there twice");
        assert_eq!(fault.line, first as u64 + 2, "{fault}");
        for other in 0..first {
            let mut exchanged = whole.clone();
            exchanged.swap(first, other);
            assert_eq!(with(&log, &exchanged).expect_err("exchanged").line, other as u64 + 1);
        }
    }
}

#[test]
fn every_cut_is_found_unless_no_checkpoint_has_what_it_took() {
    let log = Log::filled(Format::Portcullis, 8);
    let file = &log.files[0];
    let proved: usize = lines(&file.log)[..7].iter().map(Vec::len).sum();
    for end in 0..file.log.len() {
        let cut = File { log: file.log[..end].to_vec(), ..file.clone() };
        assert_eq!(verified(&[cut], &log.keys(), &[]).is_err(), end < proved, "{end}");
        let cut = File { log: file.log[end + 1..].to_vec(), ..file.clone() };
        assert!(verified(&[cut], &log.keys(), &[]).is_err(), "{end}");
    }
    for end in 1..file.checkpoints.len() {
        let cut = File { checkpoints: file.checkpoints.get(..end).unwrap_or_default().to_owned(), ..file.clone() };
        // What is cut between two checkpoints proves less, and the proof says so.
        assert!(!verified(&[cut], &log.keys(), &[]).is_ok_and(|proof| proof.proved == 7), "{end}");
    }
}

#[test]
fn one_who_names_all_lines_anew_is_found_by_the_next_checkpoint() {
    let log = Log::filled(Format::Portcullis, 8);
    let mut forged = Log::new(Format::Portcullis);
    forged.key = log.key.clone();
    for number in 1..=8 {
        let subject = if number == 5 { "mallory" } else { "user" };
        forged.add("login", &format!(r#","subject":"{subject} {number}","session":"s-{number}""#));
    }
    let file = File { log: forged.files[0].log.clone(), checkpoints: log.files[0].checkpoints.clone() };
    let fault = verified(&[file], &log.keys(), &[]).expect_err("forged");
    assert_eq!((fault.line, fault.what.as_str()), (5, "the lines 5 to 7 do not fit the checkpoint of 7 records"));
}

/// Three files.
fn rotated() -> Log {
    let mut log = Log::filled(Format::Portcullis, 4);
    for _ in 0..2 {
        log.sign();
        log.begin(None);
        log.add("login", "");
    }
    log
}

#[test]
fn the_remaining_files_are_proved_and_a_missing_one_is_found() {
    let log = rotated();
    let verified = |files: &[&File]| {
        let files: Vec<File> = files.iter().map(|file| (*file).clone()).collect();
        verified(&files, &log.keys(), &[])
    };
    let [a, b, c] = [0, 1, 2].map(|number| &log.files[number]);
    assert_eq!(verified(&[a, b, c]).unwrap().first, 0);
    let proof = verified(&[b, c]).unwrap();
    assert_eq!((proof.first, proof.size, proof.proved, proof.unproved()), (5, 9, 7, 2));
    assert_eq!(verified(&[c]).unwrap().unproved(), 2);
    let fault = verified(&[a, c]).expect_err("the second is missing");
    assert_eq!((fault.file.as_str(), fault.line), ("f1", 1));
    assert!(verified(&[b, a]).is_err() && verified(&[a, a]).is_err() && verified(&[a, c, b]).is_err());
    let open = File { log: [&*a.log, b"{\"seq\""].concat(), ..a.clone() };
    assert!(verified(&[&open, b]).is_err() && verified(&[&open]).is_ok_and(|proof| proof.torn_bytes == 6));
}

#[test]
fn a_checkpoint_that_was_kept_elsewhere_shows_what_was_cut_and_what_was_forged() {
    let mut log = Log::filled(Format::Portcullis, 6);
    let known = |tree: &Frontier, size| Checkpoint { origin: "audit.example/1".to_owned(), size, root: tree.root() };
    let (short, tree) = (log.files[0].clone(), log.tree.clone());
    log.add("login", "");
    log.sign();
    let after = known(&log.tree, 8);
    assert!(verified(&log.files, &log.keys(), &[after.clone(), known(&tree, 7)]).is_ok());
    let fault = verified(std::slice::from_ref(&short), &log.keys(), &[after]).expect_err("it is short");
    assert!(fault.what.contains("a checkpoint of 8 records is known"), "{fault}");
    assert!(verified(&[short], &log.keys(), &[known(&Frontier::default(), 7)]).is_err());
}

#[test]
fn a_tree_that_began_anew_is_said() {
    let mut log = Log::filled(Format::Portcullis, 3);
    (log.tree, log.last) = (Frontier::default(), None);
    log.begin(Some(Anew { reason: "f:3: changed".to_owned(), aside: "f.aside".to_owned(), checkpoint: None }));
    let proof = log.verify().unwrap();
    assert_eq!((proof.size, proof.anew.len()), (1, 1));
    assert!(proof.anew[0].contains("f:3: changed"), "{proof:?}");
}

#[test]
fn another_key_proves_nothing() {
    let (log, other) = (Log::filled(Format::Portcullis, 3), Log::new(Format::Portcullis));
    assert_eq!(verified(&log.files, &other.keys(), &[]).expect_err("another key").file, "f0.checkpoints");
}

#[test]
fn every_record_that_a_checkpoint_has_can_be_shown_to_be_in_the_tree() {
    let log = rotated();
    let keys = log.keys();
    for (number, file) in log.files.iter().enumerate() {
        let walked = Walk { keys: &keys, known: &[], before: None, is_last: true }.file(source(number, file)).unwrap();
        let first = walked.header.as_ref().unwrap().tree.size;
        for (seq, line) in (first..).zip(lines(&file.log)) {
            let proof = prove(&walked, &file.checkpoints, &keys, seq);
            assert_eq!(proof.is_some(), seq < walked.proved.unwrap(), "{seq}");
            let Some(proof) = proof else { continue };
            assert!(proof.holds(&line[..line.len() - 1], &keys));
            assert!(!proof.holds(&line, &keys) && !proof.holds(&line[..line.len() - 1], &[]));
            assert!(proof.to_string().starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {seq}\n")));
        }
        assert_eq!(prove(&walked, &file.checkpoints, &keys, first + 100), None);
    }
}

/// A random number, the same each time.
fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 11).unwrap()
}

fn damaged(log: &Log, state: &mut u64) -> (String, File) {
    let (mut file, proved) = (log.files[0].clone(), log.files[0].log.len());
    let (place, other) = (random(state) % proved, random(state) % proved);
    let what = match random(state) % 4 {
        0 => {
            file.log[place] ^= 1 << (random(state) % 8);
            "edit"
        }
        1 => {
            file.log.drain(place..(place + 1 + other % 200).min(proved));
            "cut"
        }
        2 => {
            let mut all = lines(&file.log);
            let (one, two) = (place % all.len(), other % all.len());
            all.swap(one, if one == two { (two + 1) % lines(&file.log).len() } else { two });
            file.log = all.concat();
            "swap"
        }
        _ => {
            file.log.truncate(place);
            "truncation"
        }
    };
    (format!("{what} at {place}, {other}"), file)
}

fn every_damage_is_found(records: u64, samples: usize) {
    let mut log = Log::filled(Format::Portcullis, records);
    log.sign_if_needed(records);
    log.verify().unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..samples {
        let (what, file) = damaged(&log, &mut state);
        assert!(verified(&[file], &log.keys(), &[]).is_err(), "{what}");
    }
}

impl Log {
    fn sign_if_needed(&mut self, records: u64) {
        if !records.is_multiple_of(3) {
            self.sign();
        }
    }
}

#[test]
fn damage_of_a_larger_log_is_found_ten_thousand_times() {
    every_damage_is_found(200, 10_000);
}

#[test]
#[ignore = "takes minutes: run by `make test-long`"]
fn damage_of_a_million_records_is_found() {
    every_damage_is_found(1_000_000, 5);
}
