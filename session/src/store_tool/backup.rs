//! `store backup`: everything in a store as JSON lines.

use super::contents::{self, Counts};
use super::lines::{Header, Line};
use super::{Failure, Opened};
use crate::store::{Store, StoreError};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub(super) fn run(opened: &Opened, out: &Path) -> Result<(), Failure> {
    let counts = match out.as_os_str() == "-" {
        true => write(opened.store(), opened.is_shared(), &mut std::io::stdout().lock())?,
        false => to_file(opened, out)?,
    };
    // Standard output may be the backup.
    eprintln!("{counts}");
    if counts.unreadable > 0 {
        eprintln!(
            "warning: {} ended sessions cannot be read: the backup has only their ids, and a restore needs `--skip-unreadable`",
            counts.unreadable
        );
    }
    Ok(())
}

/// Writes a file beside `out` and puts it in its place once it is complete: the last good backup is not lost to one that
/// fails.
fn to_file(opened: &Opened, out: &Path) -> Result<Counts, Failure> {
    let part = PathBuf::from(format!("{}.part", out.display()));
    let in_file = |e: std::io::Error| Failure::Failed(format!("cannot write `{}`: {e}", out.display()));
    let mut file = BufWriter::new(private(&part).map_err(in_file)?);
    let written = write(opened.store(), opened.is_shared(), &mut file).map_err(Failure::from).and_then(|counts| {
        file.get_ref().sync_all().map_err(in_file)?;
        fs::rename(&part, out).map_err(in_file)?;
        Ok(counts)
    });
    if written.is_err() {
        drop(fs::remove_file(&part));
    }
    written
}

/// Creates a file for its owner only: a backup has the keys and the subjects of sessions.
fn private(file: &Path) -> std::io::Result<File> {
    // A former one may be readable by others.
    match fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// Writes a store. The rules come last, so that they are not older than the sessions.
pub(super) fn write(store: &dyn Store, is_shared: bool, out: &mut dyn Write) -> Result<Counts, StoreError> {
    let (mut counts, mut lines) = (Counts::default(), 0);
    put(out, &Header::of(&store.id()))?;
    let mut each = |line: Line| {
        counts.add(&line);
        lines += 1;
        put(out, &line)
    };
    contents::sessions(store, is_shared, &mut each)?;
    contents::rules(store, &mut each)?;
    put(out, &Line::End(lines))?;
    out.flush().map_err(|e| StoreError(format!("cannot write the backup: {e}")))?;
    Ok(counts)
}

fn put(out: &mut dyn Write, line: &impl serde::Serialize) -> Result<(), StoreError> {
    let text = serde_json::to_string(line).map_err(|e| StoreError(e.to_string()))?;
    writeln!(out, "{text}").map_err(|e| StoreError(format!("cannot write the backup: {e}")))
}
