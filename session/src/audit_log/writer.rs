//! Writes records as lines, and signs what the tree has become. A disk that fails costs records, which are counted; the
//! lines that are there stay whole.

use super::disk::{Disk, Open};
use super::export::Exporter;
use super::handed::hand_over;
use super::otlp::Line;
use super::queue::Entry;
use super::{AuditFile, DROPPED, WRITTEN};
use crate::clock::{rfc3339_ms, wall_ms};
use crate::log::Sampler;
use portcullis_audit::checkpoint::{Checkpoint, entry};
use portcullis_audit::code::{FILE, GAP};
use portcullis_audit::record::{Anew, Draft, Header, Instant};
use portcullis_audit::tree::{Frontier, Hash, Stated, leaf_hash};
use portcullis_audit::verify::LINE_BYTES_MAX;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{self as steady, Duration, SystemTime};
use tracing::{error, info, warn};

/// The most that is written at a time, in bytes.
const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// How often files are searched for those that are past their retention.
const RETAIN_EVERY: Duration = Duration::from_hours(1);

static FAILED: Sampler = Sampler::new();

/// The file that is written now.
pub(super) struct Current {
    pub(super) disk: Box<dyn Disk>,
    pub(super) notes: Box<dyn Disk>,
    /// The bytes that are whole lines.
    pub(super) bytes: u64,
    pub(super) notes_bytes: u64,
    /// Whether there may be more than that.
    pub(super) is_torn: bool,
    pub(super) number: u64,
    pub(super) since_ms: u64,
}

/// What writes.
pub(super) struct Writer {
    pub(super) file: AuditFile,
    pub(super) open: Open,
    /// What sends the lines to a collector, too, once they are in the file.
    pub(super) export: Option<Exporter>,
    /// `None` while the next file could not be begun.
    pub(super) current: Option<Current>,
    /// The number of the next file.
    pub(super) next: u64,
    pub(super) tree: Frontier,
    pub(super) last: Option<Hash>,
    /// The size of the last checkpoint.
    pub(super) signed: u64,
    /// Records that were dropped, and of which no record says so yet.
    pub(super) missing: u64,
    /// When it was last searched for files to delete.
    pub(super) retained: Option<steady::Instant>,
    /// Keeps other processes from the file.
    pub(super) _lock: Option<File>,
}

/// Lines that are to be written together.
struct Chunk {
    lines: Vec<u8>,
    /// The same lines, for a collector; empty where there is none.
    exported: Vec<Line>,
    tree: Frontier,
    last: Option<Hash>,
    /// How many of them are lost if they cannot be written.
    records: u64,
}

impl Writer {
    /// Writes records, after which `dropped` others are missing.
    pub(super) fn write(&mut self, entries: Vec<Entry>, dropped: u64) {
        if self.current.is_none()
            && let Err(error) = self.begin(None)
        {
            self.report(&error, "cannot begin a file of the audit log");
        }
        let mut chunk = self.chunk();
        for entry in entries {
            if self.missing > 0 && chunk.lines.is_empty() {
                self.say_gap(&mut chunk);
            }
            self.add(&mut chunk, entry.ms, &entry.code, &entry.members);
            chunk.records += 1;
            if chunk.lines.len() >= CHUNK_BYTES_MAX || chunk.tree.size() - self.signed >= self.file.records {
                self.flush(chunk);
                chunk = self.chunk();
            }
        }
        self.flush(chunk);
        self.missing += dropped;
        if self.missing > 0 {
            let mut chunk = self.chunk();
            self.say_gap(&mut chunk);
            self.flush(chunk);
        }
    }

    fn chunk(&self) -> Chunk {
        Chunk { lines: Vec::new(), exported: Vec::new(), tree: self.tree.clone(), last: self.last, records: 0 }
    }

    fn say_gap(&self, chunk: &mut Chunk) {
        let members = format!(r#","dropped":{}"#, self.missing);
        self.add(chunk, wall_ms(), GAP, &members);
    }

    fn add(&self, chunk: &mut Chunk, ms: u64, code: &str, members: &str) {
        let time = Instant { text: rfc3339_ms(ms), ms };
        let draft = |members| Draft { seq: chunk.tree.size(), time: &time, prev: chunk.last.as_ref(), code, members };
        let mut line = draft(members).line(self.file.format);
        if line.len() as u64 >= LINE_BYTES_MAX {
            // Nobody would verify it. Only members that consist of control characters become as long as that.
            line = draft(r#","cut":true"#).line(self.file.format);
        }
        let hash = leaf_hash(line.as_bytes());
        if self.export.is_some() {
            let (seq, code) = (chunk.tree.size(), code.to_owned());
            chunk.exported.push(Line { ms, seq, code, text: line.clone() });
        }
        chunk.tree.push(hash);
        chunk.last = Some(hash);
        chunk.lines.extend_from_slice(line.as_bytes());
        chunk.lines.push(b'\n');
    }

    /// Writes the lines, all or none of them, and does what is due then.
    fn flush(&mut self, chunk: Chunk) {
        if chunk.lines.is_empty() {
            return;
        }
        if let Err(error) = self.append(&chunk.lines) {
            self.missing += chunk.records;
            DROPPED.fetch_add(chunk.records, Ordering::Relaxed);
            self.report(&error, "cannot write the audit log: records are lost");
            return;
        }
        if chunk.records < chunk.tree.size() - self.tree.size() {
            // The first of the lines says so.
            self.missing = 0;
        }
        WRITTEN.fetch_add(chunk.tree.size() - self.tree.size(), Ordering::Relaxed);
        if let Some(export) = &self.export {
            export.put(chunk.exported);
        }
        (self.tree, self.last) = (chunk.tree, chunk.last);
        if self.tree.size() - self.signed >= self.file.records {
            self.sign();
        }
        if self.is_full() {
            self.rotate();
        }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(current) = &mut self.current else { return Err(io::Error::other("there is no file")) };
        if current.is_torn {
            current.disk.cut(current.bytes)?;
        }
        current.is_torn = true;
        current.disk.append(lines)?;
        current.is_torn = false;
        current.bytes += lines.len() as u64;
        Ok(())
    }

    fn is_full(&self) -> bool {
        let old = |current: &Current| wall_ms().saturating_sub(current.since_ms) >= self.file.age_ms;
        self.current.as_ref().is_some_and(|current| current.bytes >= self.file.size_bytes || old(current))
    }

    /// Whether there is something without a checkpoint, or something missing that no record says.
    pub(super) fn is_due(&self) -> bool {
        self.tree.size() > self.signed || self.missing > 0
    }

    /// Signs what is due, and says what is missing.
    pub(super) fn settle(&mut self) {
        self.write(Vec::new(), 0);
        if self.tree.size() > self.signed {
            self.sign();
        }
    }

    /// Signs the tree as it is. One that could not be signed is signed the next time.
    fn sign(&mut self) -> bool {
        let Some(current) = &mut self.current else { return false };
        let note = Checkpoint::sign(&self.tree, &self.file.key);
        let text = entry(&note);
        // What is signed has to be there after a crash: else it would look as if somebody had taken it.
        let signed = current.disk.sync().and_then(|()| {
            current.notes.cut(current.notes_bytes)?;
            current.notes.append(text.as_bytes())?;
            current.notes.sync()
        });
        if let Err(error) = signed {
            self.report(&error, "cannot write a checkpoint of the audit log");
            return false;
        }
        current.notes_bytes += text.len() as u64;
        self.signed = self.tree.size();
        hand_over(self.file.key.verifier().name(), self.signed, &note);
        info!(size = self.signed, checkpoint = note, "a checkpoint of the audit log");
        true
    }

    /// Closes the file, and begins the next.
    fn rotate(&mut self) {
        if self.tree.size() > self.signed && !self.sign() {
            return;
        }
        let Some(current) = self.current.take() else { return };
        let closed = self.close(current.number);
        if let Err(error) = closed {
            // It is written on, and closed the next time.
            self.current = Some(current);
            self.report(&error, "cannot close a file of the audit log");
            return;
        }
        if let Err(error) = self.begin(None) {
            self.report(&error, "cannot begin a file of the audit log");
        }
        self.retained = None;
    }

    fn report(&self, error: &io::Error, what: &str) {
        if let Some(not_logged) = FAILED.admit() {
            error!(%error, file = %self.file.path.display(), missing = self.missing, not_logged, "{what}");
        }
    }

    /// Gives the file the name of a closed one.
    fn close(&mut self, number: u64) -> io::Result<()> {
        let mut number = number.max(1);
        while closed(&self.file.path, number).exists() {
            number += 1;
        }
        self.next = self.next.max(number + 1);
        let to = closed(&self.file.path, number);
        // In this order: a start that finds the second part undone finishes it.
        fs::rename(&self.file.path, &to)?;
        let second = fs::rename(checkpoints(&self.file.path), checkpoints(&to));
        if second.is_err() {
            fs::rename(&to, &self.file.path)?;
        }
        second
    }

    /// Begins a file with a checkpoint of the tree and a record that states it.
    pub(super) fn begin(&mut self, anew: Option<Anew>) -> io::Result<()> {
        let (disk, notes) = ((self.open)(&self.file.path)?, (self.open)(&checkpoints(&self.file.path))?);
        let now_ms = wall_ms();
        let mut current =
            Current { disk, notes, bytes: 0, notes_bytes: 0, is_torn: true, number: self.next, since_ms: now_ms };
        let note = entry(&Checkpoint::sign(&self.tree, &self.file.key));
        current.notes.cut(0)?;
        current.notes.append(note.as_bytes())?;
        current.notes.sync()?;
        current.notes_bytes = note.len() as u64;
        let origin = self.file.key.verifier().name().to_owned();
        let header = Header { origin, file: self.next, tree: Stated::from(&self.tree), anew };
        let members = serde_json::to_string(&header).map_err(io::Error::other)?;
        let members = members.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default();
        let mut chunk = self.chunk();
        self.add(&mut chunk, now_ms, FILE, &format!(",{members}"));
        current.disk.cut(0)?;
        current.disk.append(&chunk.lines)?;
        (current.bytes, current.is_torn) = (chunk.lines.len() as u64, false);
        self.signed = self.tree.size();
        (self.tree, self.last) = (chunk.tree, chunk.last);
        self.current = Some(current);
        WRITTEN.fetch_add(1, Ordering::Relaxed);
        if let Some(export) = &self.export {
            export.put(chunk.exported);
        }
        Ok(())
    }

    /// Deletes closed files that were written last so long ago that nobody has to keep them.
    pub(super) fn retain(&mut self) {
        if self.retained.is_some_and(|last| last.elapsed() < RETAIN_EVERY) {
            return;
        }
        self.retained = Some(steady::Instant::now());
        let oldest = SystemTime::now().checked_sub(Duration::from_millis(self.file.retain_ms));
        for (_, path) in closed_files(&self.file.path).unwrap_or_default() {
            let written = fs::metadata(&path).and_then(|data| data.modified());
            if written.ok().zip(oldest).is_some_and(|(written, oldest)| written < oldest) {
                let deleted = fs::remove_file(&path).and_then(|()| fs::remove_file(checkpoints(&path)));
                let file = path.display();
                match deleted {
                    Ok(()) => info!(%file, "deleted a file of the audit log that is past its retention"),
                    Err(error) => warn!(%error, %file, "cannot delete a file of the audit log"),
                }
            }
        }
    }
}

/// The file of checkpoints beside a file.
pub(super) fn checkpoints(path: &Path) -> PathBuf {
    with_end(path, "checkpoints")
}

/// The name of a closed file.
pub(super) fn closed(path: &Path, number: u64) -> PathBuf {
    with_end(path, &format!("{number:06}"))
}

pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}

/// The closed files, in order.
pub(super) fn closed_files(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for file in fs::read_dir(folder)? {
        let of = file?.file_name().to_string_lossy().into_owned();
        let end = of.strip_prefix(&*name).and_then(|rest| rest.strip_prefix('.'));
        let is_number = |end: &&str| end.len() >= 6 && end.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(number) = end.filter(is_number).and_then(|end| end.parse().ok()) {
            found.push((number, with_end(path, end.unwrap_or_default())));
        }
    }
    found.sort();
    Ok(found)
}
