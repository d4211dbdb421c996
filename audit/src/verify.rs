//! Verifies the files of a log: every line is the leaf that the checkpoints say, and none is missing.

mod file;
#[cfg(test)]
mod tests;

pub use file::{Walk, Walked};

use crate::checkpoint::{Checkpoint, notes};
use crate::note::VerifierKey;
use std::fmt;
use std::io::{self, BufRead};

/// The longest line, in bytes. The service writes no longer ones.
pub const LINE_BYTES_MAX: u64 = 1 << 20;

/// A file, with its file of checkpoints.
pub struct Source<'s> {
    /// Its name, for messages.
    pub name: String,
    /// Its lines.
    pub lines: Box<dyn BufRead + 's>,
    /// The text of its file of checkpoints.
    pub checkpoints: String,
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

/// The first line that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Why files could not be verified.
#[derive(Debug)]
pub enum Error {
    /// A line does not fit.
    Fault(Fault),
    /// A file cannot be read.
    Read(String, io::Error),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Read(file, error) => write!(f, "cannot read `{file}`: {error}"),
        }
    }
}

/// What was found in the files of one log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// The name of the log.
    pub origin: String,
    /// The first record that is there.
    pub first: u64,
    /// One more than the last.
    pub size: u64,
    /// Records before this one are proved.
    pub proved: u64,
    /// The bytes of a last line without an end.
    pub torn_bytes: u64,
    /// That the tree began anew, and why: once for each time.
    pub anew: Vec<String>,
}

impl Proof {
    /// The records that no checkpoint has yet.
    pub fn unproved(&self) -> u64 {
        self.size - self.proved.max(self.first)
    }
}

/// Verifies the files of one log, which are in order. `known` are checkpoints that were kept elsewhere.
pub fn verify(sources: Vec<Source<'_>>, keys: &[VerifierKey], known: &[Checkpoint]) -> Result<Proof, Error> {
    let mut proof = Proof::default();
    let mut before: Option<Walked> = None;
    let last = sources.len().saturating_sub(1);
    for (number, source) in sources.into_iter().enumerate() {
        let (name, is_last) = (source.name.clone(), number == last);
        let walked = Walk { keys, known, before: before.as_ref(), is_last }.file(source)?;
        let fault = |line, what: String| Error::Fault(Fault { file: name.clone(), line, what });
        let Some(header) = &walked.header else {
            if is_last && number > 0 {
                proof.torn_bytes = walked.torn_bytes;
                continue;
            }
            return Err(fault(1, "the file has no record".to_owned()));
        };
        if number == 0 {
            proof.first = header.tree.size;
        }
        if let Some(anew) = &header.anew {
            let how = format!("{name}: the tree begins anew: {} (put aside: {})", anew.reason, anew.aside);
            proof.anew.push(how);
            (proof.first, proof.proved) = (0, 0);
        }
        proof.origin.clone_from(&header.origin);
        proof.size = walked.tree.size();
        proof.proved = walked.proved.unwrap_or(0).max(proof.proved);
        proof.torn_bytes = walked.torn_bytes;
        before = Some(walked);
    }
    if let Some(walked) = &before {
        let lost = known.iter().find(|known| known.origin == proof.origin && known.size > proof.size);
        if let Some(known) = lost {
            let what = format!("the end is missing: a checkpoint of {} records is known", known.size);
            return Err(Fault { file: walked.name.clone(), line: walked.lines + 1, what }.into());
        }
    }
    Ok(proof)
}

/// The checkpoints of a file, in order; each must be signed by one of the keys.
pub fn checkpoints<'t>(file: &str, text: &'t str, keys: &[VerifierKey]) -> Result<Vec<(Checkpoint, &'t str)>, Fault> {
    let name = format!("{file}.checkpoints");
    let (notes, rest) = notes(text);
    let mut found: Vec<(Checkpoint, &str)> = Vec::with_capacity(notes.len());
    let fault = |line: usize, what: &str| Fault { file: name.clone(), line: line as u64, what: what.to_owned() };
    for (line, note) in &notes {
        let Some(checkpoint) = Checkpoint::open(note, keys) else {
            return Err(fault(*line, "is not a checkpoint that the key has signed"));
        };
        if found.last().is_some_and(|(before, _)| before.size >= checkpoint.size) {
            return Err(fault(*line, "the checkpoints are out of order"));
        }
        found.push((checkpoint, *note));
    }
    if rest.is_empty() { Ok(found) } else { Err(fault(notes.len() * 6 + 1, "is not a whole checkpoint")) }
}
