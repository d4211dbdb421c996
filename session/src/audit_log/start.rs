//! Continues the log that is on disk. What does not fit its checkpoints is put aside, said loudly and never deleted, and
//! the tree begins anew: the service does not sign what somebody else has written.

use super::AuditFile;
use super::disk::Open;
use super::export::Exporter;
use super::writer::{Current, Writer, checkpoints, closed_files, with_end};
use crate::clock::wall_ms;
use portcullis_audit::checkpoint::notes;
use portcullis_audit::record::Anew;
use portcullis_audit::tree::Frontier;
use portcullis_audit::verify::{self, Fault, Source, Walk, Walked};
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, ErrorKind};
use std::path::Path;
use tracing::{error, info};

/// Why a tree begins anew whose file somebody took.
const LOST: &str = "the file is missing, and its checkpoints are there";

/// What a file that was there turned out to be.
enum Found {
    /// It fits.
    Whole(Box<Walked>),
    /// It has no whole line.
    Empty,
    /// It does not fit.
    Unfit(String),
}

impl Writer {
    /// Reads back what is there and goes on with it.
    pub(super) fn start(file: AuditFile, open: Open, export: Option<Exporter>) -> io::Result<Self> {
        let lock = lock(&with_end(&file.path, "lock"))?;
        let mut writer = Self {
            next: closed_files(&file.path)?.last().map_or(1, |(number, _)| number + 1),
            file,
            open,
            export,
            current: None,
            tree: Frontier::default(),
            last: None,
            signed: 0,
            missing: 0,
            retained: None,
            _lock: Some(lock),
        };
        match writer.look(&writer.file.path)? {
            Found::Whole(walked) => writer.go_on(*walked)?,
            Found::Empty => writer.follow()?,
            Found::Unfit(why) => writer.begin_anew(why)?,
        }
        writer.retain();
        Ok(writer)
    }

    /// Reads a file. What a crash has left of a last line or a last checkpoint is passed over.
    fn look(&self, path: &Path) -> io::Result<Found> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Empty),
            Err(error) => return Err(error),
        };
        let text = whole_notes(path)?;
        let source =
            Source { name: path.display().to_string(), lines: Box::new(BufReader::new(file)), checkpoints: text };
        let keys = [self.file.key.verifier().clone()];
        let walked = Walk { keys: &keys, known: &[], before: None, is_last: true }.file(source);
        Ok(match walked {
            Ok(walked) if walked.lines == 0 && walked.proved.is_none_or(|proved| proved == 0) => Found::Empty,
            Ok(walked) if walked.proved.is_none() => Found::Unfit("its checkpoints are missing".to_owned()),
            Ok(walked) => Found::Whole(Box::new(walked)),
            Err(verify::Error::Read(_, error)) => return Err(error),
            // A first checkpoint without a first line is what a crash leaves between the two.
            Err(verify::Error::Fault(Fault { line: 1, .. })) if is_begun(path)? => Found::Empty,
            Err(verify::Error::Fault(fault)) => Found::Unfit(fault.to_string()),
        })
    }

    /// Goes on with a file.
    fn go_on(&mut self, walked: Walked) -> io::Result<()> {
        let header = walked.header.as_ref();
        let mut current = Current {
            disk: (self.open)(&self.file.path)?,
            notes: (self.open)(&checkpoints(&self.file.path))?,
            bytes: walked.whole_bytes,
            notes_bytes: whole_notes(&self.file.path)?.len() as u64,
            is_torn: false,
            number: header.map_or(self.next, |header| header.file),
            since_ms: created_ms(&self.file.path),
        };
        current.disk.cut(current.bytes)?;
        current.notes.cut(current.notes_bytes)?;
        self.next = self.next.max(current.number + 1);
        self.signed = walked.proved.unwrap_or_default();
        let (records, unsigned, torn_bytes) = (walked.tree.size(), walked.tree.size() - self.signed, walked.torn_bytes);
        (self.tree, self.last, self.current) = (walked.tree, walked.last, Some(current));
        info!(records, unsigned, torn_bytes, "continues the audit log");
        Ok(())
    }

    /// Begins a file after the last one that was closed, if there is one.
    fn follow(&mut self) -> io::Result<()> {
        let notes = checkpoints(&self.file.path);
        let Some((number, path)) = closed_files(&self.file.path)?.pop() else {
            return if is_begun(&self.file.path)? { self.begin(None) } else { self.begin_anew(LOST.to_owned()) };
        };
        if notes.exists() && !checkpoints(&path).exists() {
            fs::rename(&notes, checkpoints(&path))?;
        }
        self.next = number + 1;
        match self.look(&path)? {
            Found::Whole(walked) if walked.proved == Some(walked.tree.size()) && walked.torn_bytes == 0 => {
                if !is_begun(&self.file.path)? {
                    return self.begin_anew(LOST.to_owned());
                }
                (self.tree, self.last) = (walked.tree, walked.last);
                self.begin(None)
            }
            Found::Whole(_) | Found::Empty => {
                self.begin_anew(format!("{}: does not end with its last checkpoint", path.display()))
            }
            Found::Unfit(why) => self.begin_anew(why),
        }
    }

    /// Puts the file aside and begins a tree.
    fn begin_anew(&mut self, reason: String) -> io::Result<()> {
        let path = &self.file.path;
        let aside = with_end(path, &format!("aside-{}", wall_ms()));
        let text = fs::read_to_string(checkpoints(path)).unwrap_or_default();
        let checkpoint = notes(&text).0.last().map(|(_, note)| (*note).to_owned());
        for (from, to) in [(path.clone(), aside.clone()), (checkpoints(path), checkpoints(&aside))] {
            match fs::rename(from, to) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let aside = aside.display().to_string();
        error!(reason, aside, "the audit log does not fit its checkpoints: it was put aside, and its tree begins anew");
        self.begin(Some(Anew { reason, aside, checkpoint }))
    }
}

/// The checkpoints beside a file, without what a crash has left of the last.
fn whole_notes(path: &Path) -> io::Result<String> {
    let text = match fs::read(checkpoints(path)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let rest = notes(&text).1.len();
    Ok(text.get(..text.len() - rest).unwrap_or_default().to_owned())
}

/// Whether a file has no whole line, and one checkpoint at most: it was begun, and that was interrupted.
fn is_begun(path: &Path) -> io::Result<bool> {
    let has_line = match fs::read(path) {
        Ok(bytes) => bytes.contains(&b'\n'),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    Ok(!has_line && notes(&whole_notes(path)?).0.len() <= 1)
}

fn created_ms(path: &Path) -> u64 {
    let created = fs::metadata(path).and_then(|data| data.created().or_else(|_| data.modified()));
    let since = created.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or_else(wall_ms, |since| u64::try_from(since.as_millis()).unwrap_or_default())
}

/// Two processes that write one file would spoil it.
fn lock(path: &Path) -> io::Result<File> {
    let file = File::create(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(ErrorKind::WouldBlock, "another process writes it")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
