//! The files of audit logs: which of them belong together, and in which order.

use crate::error::Error;
use portcullis_audit::verify::{Source, Walk, Walked};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufReader, ErrorKind},
    path::{Path, PathBuf},
};

/// The files of each log, in order: `audit.jsonl` comes after `audit.jsonl.000001`. What a pattern such as `audit.jsonl*`
/// finds besides is left out.
pub(super) fn logs(paths: &[PathBuf]) -> Result<Vec<Vec<PathBuf>>, Error> {
    let mut logs: BTreeMap<String, BTreeMap<u64, PathBuf>> = BTreeMap::new();
    for path in paths {
        let name = path.display().to_string();
        if name.ends_with(".checkpoints") || name.ends_with(".lock") {
            continue;
        }
        let closed = name.rsplit_once('.').filter(|(_, end)| end.len() >= 6);
        let closed = closed.and_then(|(log, end)| Some((log.to_owned(), end.parse::<u64>().ok()?)));
        let (log, number) = closed.unwrap_or((name, u64::MAX));
        logs.entry(log).or_default().insert(number, path.clone());
    }
    if logs.is_empty() {
        return Err(Error::invalid("none of the arguments is a file of an audit log"));
    }
    Ok(logs.into_values().map(|files| files.into_values().collect()).collect())
}

/// Opens a file, with its checkpoints.
pub(super) fn source(path: &Path) -> Result<Source<'static>, Error> {
    let lines = Box::new(BufReader::new(open(path)?));
    Ok(Source { name: path.display().to_string(), lines, checkpoints: checkpoints(path)? })
}

/// Opens a file.
pub(super) fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|error| Error::failed(format_args!("cannot read `{}`: {error}", path.display())))
}

/// The text of the checkpoints beside a file; empty if there are none.
pub(super) fn checkpoints(path: &Path) -> Result<String, Error> {
    let name = format!("{}.checkpoints", path.display());
    match fs::read(&name) {
        // What is not text is not a checkpoint either.
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::failed(format_args!("cannot read `{name}`: {error}"))),
    }
}

/// Reads a file on its own.
pub(super) fn walk(walk: &Walk<'_>, path: &Path) -> Result<Walked, Error> {
    walk.file(source(path)?).map_err(error)
}

/// What is wrong with the files, as this tool reports it.
pub(super) fn error(error: portcullis_audit::verify::Error) -> Error {
    match error {
        portcullis_audit::verify::Error::Fault(fault) => Error::Unproved(fault.to_string()),
        unread => Error::failed(unread),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_log_are_put_in_order_and_others_are_left_out() {
        let paths = ["b/a.jsonl", "a.jsonl", "a.jsonl.000010", "a.jsonl.000009", "a.jsonl.checkpoints", "a.jsonl.lock"];
        let found = logs(&paths.map(PathBuf::from)).expect("logs");
        let expected: [&[&str]; 2] = [&["a.jsonl.000009", "a.jsonl.000010", "a.jsonl"], &["b/a.jsonl"]];
        assert_eq!(found, expected.map(|log| log.iter().map(PathBuf::from).collect::<Vec<_>>()));
        assert!(logs(&["a.checkpoints".into()]).is_err());
    }
}
