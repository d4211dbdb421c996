//! One file, line by line.

use super::{Error, Fault, LINE_BYTES_MAX, Source, checkpoints};
use crate::checkpoint::Checkpoint;
use crate::note::VerifierKey;
use crate::record::{Header, Record, short};
use crate::tree::{Frontier, Hash, leaf_hash};
use std::collections::BTreeMap;
use std::io::{BufRead, Read};

/// How a file is read.
#[derive(Debug)]
pub struct Walk<'w> {
    /// The keys of checkpoints.
    pub keys: &'w [VerifierKey],
    /// Checkpoints that were kept elsewhere.
    pub known: &'w [Checkpoint],
    /// What the file before it has led to.
    pub before: Option<&'w Walked>,
    /// Whether no file follows: only the last may end without a checkpoint.
    pub is_last: bool,
}

/// What a file has led to.
#[derive(Debug, Clone)]
pub struct Walked {
    /// The name of the file.
    pub name: String,
    /// The tree after its last line.
    pub tree: Frontier,
    /// The hash of its last line.
    pub last: Option<Hash>,
    /// What its first line states; `None` if it has no whole line.
    pub header: Option<Header>,
    /// The size of its last checkpoint.
    pub proved: Option<u64>,
    /// The hashes of its lines.
    pub leaves: Vec<Hash>,
    /// Its whole lines.
    pub lines: u64,
    /// Their bytes.
    pub whole_bytes: u64,
    /// The bytes after them.
    pub torn_bytes: u64,
}

/// A whole line, and what is known of it.
struct Line {
    record: Option<Record>,
    hash: Hash,
}

/// The lines of a file. The next one is there to be looked at, because it tells which of two does not fit.
struct Lines<'s> {
    name: String,
    reader: Box<dyn BufRead + 's>,
    next: Option<Line>,
    whole_bytes: u64,
    torn_bytes: u64,
}

impl Lines<'_> {
    fn take(&mut self) -> Result<Option<Line>, Error> {
        let next = self.read()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn read(&mut self) -> Result<Option<Line>, Error> {
        let mut bytes = Vec::new();
        let mut limited = self.reader.by_ref().take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut bytes).map_err(|error| Error::Read(self.name.clone(), error))?;
        let Some(line) = bytes.strip_suffix(b"\n") else {
            self.torn_bytes += read as u64;
            // A line that is too long is no record: what follows it belongs to it.
            return Ok((read as u64 == LINE_BYTES_MAX).then(|| Line { record: None, hash: leaf_hash(&bytes) }));
        };
        self.whole_bytes += read as u64;
        Ok(Some(Line { record: Record::read(line), hash: leaf_hash(line) }))
    }

    /// Whether the next line names this one; `None` if there is none.
    fn is_confirmed(&self, hash: &Hash) -> Option<bool> {
        let next = self.next.as_ref()?;
        Some(next.record.as_ref().is_some_and(|record| record.prev.as_deref() == Some(&short(hash))))
    }
}

impl Walk<'_> {
    /// Reads a file to its end.
    pub fn file(&self, source: Source<'_>) -> Result<Walked, Error> {
        let Source { name, lines, checkpoints: text } = source;
        let signed = checkpoints(&name, &text, self.keys)?;
        let mut lines = Lines { name: name.clone(), reader: lines, next: None, whole_bytes: 0, torn_bytes: 0 };
        lines.take()?;
        let mut walked = Walked {
            name: name.clone(),
            tree: Frontier::default(),
            last: None,
            header: None,
            proved: signed.last().map(|(last, _)| last.size),
            leaves: Vec::new(),
            lines: 0,
            whole_bytes: 0,
            torn_bytes: 0,
        };
        let fault = |(line, what): (u64, String)| Fault { file: name.clone(), line, what };
        let mut due = BTreeMap::new();
        // The first line that no checkpoint has proved so far.
        let mut unproved = 1;
        while let Some(line) = lines.take()? {
            walked.lines += 1;
            let (at, is_confirmed) = (walked.lines, lines.is_confirmed(&line.hash));
            let Some(record) = &line.record else { return Err(fault((at, "is not a record".to_owned())).into()) };
            if at == 1 {
                let header = self.header(record, &mut walked).map_err(|what| fault((1, what)))?;
                due = self.due(&signed, &header);
                let first = signed.first().map(|(first, _)| first.size);
                if first.is_some_and(|first| first != header.tree.size) {
                    let what = "the file's first checkpoint is not of the tree before its first line";
                    return Err(fault((1, what.to_owned())).into());
                }
                walked.header = Some(header);
                check(&mut due, &walked.tree, is_confirmed, (1, 1)).map_err(fault)?;
            }
            follows(record, &walked, is_confirmed, unproved == at).map_err(fault)?;
            walked.tree.push(line.hash);
            walked.leaves.push(line.hash);
            walked.last = Some(line.hash);
            if check(&mut due, &walked.tree, is_confirmed, (unproved, at)).map_err(fault)? {
                unproved = at + 1;
            }
        }
        (walked.whole_bytes, walked.torn_bytes) = (lines.whole_bytes, lines.torn_bytes);
        self.ended(&walked, unproved).map_err(fault)?;
        Ok(walked)
    }

    /// What has to hold at the end.
    fn ended(&self, walked: &Walked, unproved: u64) -> Result<(), (u64, String)> {
        let next = walked.lines + 1;
        match walked.proved {
            Some(proved) if proved > walked.tree.size() => {
                Err((next, format!("the end is missing: the last checkpoint is of {proved} records")))
            }
            _ if self.is_last => Ok(()),
            _ if walked.torn_bytes > 0 => Err((next, "the line has no end".to_owned())),
            Some(proved) if proved == walked.tree.size() => Ok(()),
            _ => Err((unproved, "a file follows, and no checkpoint has the lines from here on".to_owned())),
        }
    }

    /// What the first line states, and the tree that it begins with.
    fn header(&self, record: &Record, walked: &mut Walked) -> Result<Header, String> {
        let header = record.header().ok_or("is not the first record of a file: the beginning is missing")?;
        let tree = header.tree.frontier().ok_or("states a tree that cannot be")?;
        if header.anew.is_some() && tree.size() > 0 {
            return Err("states that the tree begins anew, but continues one".to_owned());
        }
        if let Some(before) = self.before.filter(|_| header.anew.is_none()) {
            if tree.size() != before.tree.size() {
                return Err(format!(
                    "continues a tree of {} records, but `{}` ends with {}: a file or lines are missing",
                    tree.size(),
                    before.name,
                    before.tree.size(),
                ));
            }
            if tree != before.tree {
                return Err(format!("continues another tree than that of `{}`", before.name));
            }
            walked.last = before.last;
        }
        walked.tree = tree;
        Ok(header)
    }

    /// The checkpoints that the lines of a file have to meet, by size.
    fn due(&self, signed: &[(Checkpoint, &str)], header: &Header) -> BTreeMap<u64, Vec<Hash>> {
        let known = self.known.iter().filter(|known| known.origin == header.origin);
        let mut due: BTreeMap<u64, Vec<Hash>> = BTreeMap::new();
        for checkpoint in signed.iter().map(|(checkpoint, _)| checkpoint).chain(known) {
            if checkpoint.size >= header.tree.size {
                due.entry(checkpoint.size).or_default().push(checkpoint.root);
            }
        }
        due
    }
}

/// Whether a record is the one after those before. `is_confirmed`: whether the line after it names it as it is;
/// `is_before_proved`: whether a checkpoint has proved the line before it.
fn follows(
    record: &Record,
    walked: &Walked,
    is_confirmed: Option<bool>,
    is_before_proved: bool,
) -> Result<(), (u64, String)> {
    let (line, due) = (walked.lines, walked.tree.size());
    if record.seq != due {
        let what = if record.seq > due { "records are missing before it" } else { "it is out of order" };
        return Err((line, format!("record {} where {due} is due: {what}", record.seq)));
    }
    let Some(last) = &walked.last else { return Ok(()) };
    if record.prev.as_deref() == Some(&short(last)) {
        return Ok(());
    }
    // Either the line before was changed, or this one: then the line after does not know it either.
    match is_confirmed {
        Some(false) => Err((line, "the line was changed: neither it nor the line after it fits".to_owned())),
        _ if line == 1 => Err((line, "does not follow the last line of the file before".to_owned())),
        _ if is_before_proved => Err((line, "the line was changed: it does not name the line before it".to_owned())),
        Some(true) => Err((line - 1, format!("the line was changed: line {line} names another"))),
        // Nothing comes after it that could tell.
        None => Err((line - 1, format!("this line or line {line} was changed: that one names another"))),
    }
}

/// Compares the tree with the checkpoints of its size; returns whether there are some. They decide on the lines from the
/// first to the last of `lines`.
fn check(
    due: &mut BTreeMap<u64, Vec<Hash>>,
    tree: &Frontier,
    is_confirmed: Option<bool>,
    lines: (u64, u64),
) -> Result<bool, (u64, String)> {
    let Some(roots) = due.remove(&tree.size()) else { return Ok(false) };
    let root = tree.root();
    if roots.iter().all(|due| *due == root) {
        return Ok(true);
    }
    let ((first, last), size) = (lines, tree.size());
    Err(match is_confirmed {
        // All lines name each other: somebody has seen to that.
        Some(true) => (first, format!("the lines {first} to {last} do not fit the checkpoint of {size} records")),
        Some(false) => (last, format!("the line was changed: it does not fit the checkpoint of {size} records")),
        None => {
            (last, format!("this line, or one from line {first} on, does not fit the checkpoint of {size} records"))
        }
    })
}
