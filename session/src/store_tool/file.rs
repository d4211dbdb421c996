//! A backup as a file, which is checked to its end before anything of it is used.

use super::Failure;
use super::contents::Counts;
use super::lines::{Header, Line};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

/// The longest line. A record has some kilobytes.
const LINE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A backup that can be restored. The file stays open: what was checked is what is read.
pub(super) struct Backup {
    path: PathBuf,
    file: File,
    pub(super) counts: Counts,
}

impl Backup {
    /// Opens a file and reads it to its end.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let cannot = |e: std::io::Error| Failure::Failed(format!("cannot read `{}`: {e}", path.display()));
        let file = File::open(path).map_err(cannot)?;
        if !file.metadata().map_err(cannot)?.is_file() {
            let shown = path.display();
            return Err(Failure::Invalid(format!("--in: `{shown}` is not a file: a backup is read more than once")));
        }
        let mut backup = Self { path: path.to_owned(), file, counts: Counts::default() };
        let mut counts = Counts::default();
        backup.each(&mut |line| {
            counts.add(&line);
            Ok(())
        })?;
        backup.counts = counts;
        Ok(backup)
    }

    /// Calls `each` with every line but the first and the last.
    pub(super) fn each(&self, each: &mut dyn FnMut(Line) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut file = &self.file;
        file.rewind().map_err(|e| Failure::Failed(format!("cannot read `{}`: {e}", self.path.display())))?;
        let mut reader = BufReader::new(file);
        let (mut number, mut text) = (1, String::new());
        self.next(&mut reader, number, &mut text)?;
        Header::read(&text).map_err(|fault| self.fault(number, &fault))?;
        loop {
            number += 1;
            self.next(&mut reader, number, &mut text)?;
            if text.is_empty() {
                return Err(self.fault(number, "is missing: the file was cut off"));
            }
            match Line::read(&text).map_err(|fault| self.fault(number, &fault))? {
                Line::End(lines) if lines.checked_add(2) == Some(number) => break,
                Line::End(_) => return Err(self.fault(number, "states a different number of lines: some are missing")),
                line => each(line)?,
            }
        }
        self.next(&mut reader, number + 1, &mut text)?;
        match text.is_empty() {
            true => Ok(()),
            false => Err(self.fault(number + 1, "comes after the end of the backup")),
        }
    }

    /// Reads a line; the text stays empty at the end of the file.
    fn next(&self, reader: &mut impl BufRead, number: u64, text: &mut String) -> Result<(), Failure> {
        text.clear();
        let read = reader.take(LINE_BYTES_MAX).read_line(text);
        let read = read.map_err(|e| self.fault(number, &format!("cannot be read: {e}")))?;
        match u64::try_from(read).is_ok_and(|read| read < LINE_BYTES_MAX) {
            true => Ok(()),
            false => Err(self.fault(number, "is longer than 8 MiB")),
        }
    }

    fn fault(&self, number: u64, fault: &str) -> Failure {
        Failure::Failed(format!("{}: line {number} {fault}", self.path.display()))
    }
}
