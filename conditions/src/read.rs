//! Reads the policies' directory: bounded, and in an order that does not depend on the file system.

use crate::Fault;
use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

/// The most files.
const FILES_MAX: usize = 1_000;

/// The most bytes of all files together: 10,000 policies of 800 bytes.
pub(crate) const BYTES_MAX: usize = 8 << 20;

/// A file of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What messages call it.
    pub file: String,
    /// What it contains.
    pub text: String,
}

/// Reads the `.cedar` files of a directory, in the order of their names. Other files, subdirectories and hidden files, as
/// Kubernetes keeps them beside a mounted ConfigMap, are ignored. The error has every fault.
pub fn read(dir: &Path) -> Result<Vec<Source>, Vec<Fault>> {
    let paths = paths(dir).map_err(|error| vec![cannot(dir, &error)])?;
    if paths.len() > FILES_MAX {
        let message = format!("{} files; {FILES_MAX} is the most", paths.len());
        return Err(vec![
            Fault::of_file("too_large", dir.display().to_string(), message).help("put several policies into a file"),
        ]);
    }
    let (mut sources, mut faults, mut left) = (Vec::new(), Vec::new(), BYTES_MAX);
    for path in paths {
        match text(&path, left) {
            Ok(text) => {
                left = left.saturating_sub(text.len());
                sources.push(Source { file: path.display().to_string(), text });
            }
            Err(fault) => faults.push(*fault),
        }
    }
    if faults.is_empty() { Ok(sources) } else { Err(faults) }
}

fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // Follows symbolic links: a mounted ConfigMap consists of them.
        if path.extension().is_some_and(|extension| extension == "cedar") && !is_hidden && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn text(path: &Path, bytes_max: usize) -> Result<String, Box<Fault>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let read = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map_err(|error| cannot(path, &error))?;
    if bytes.len() > bytes_max {
        let message = format!("the policies are larger than {BYTES_MAX} bytes together");
        return Err(Box::new(Fault::of_file("too_large", path.display().to_string(), message)));
    }
    String::from_utf8(bytes)
        .map_err(|_| Box::new(Fault::of_file("not_text", path.display().to_string(), "the file is not UTF-8 text")))
}

fn cannot(path: &Path, error: &io::Error) -> Fault {
    Fault::of_file("unreadable", path.display().to_string(), format!("cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cedar_files_are_read_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["b.cedar", "a.cedar", "notes.md", ".hidden.cedar"] {
            fs::write(dir.path().join(name), name).expect("a file");
        }
        fs::create_dir(dir.path().join("c.cedar")).expect("a directory");
        let sources = read(dir.path()).expect("sources");
        let texts: Vec<_> = sources.iter().map(|source| source.text.as_str()).collect();
        assert_eq!(texts, ["a.cedar", "b.cedar"]);
    }

    #[test]
    fn what_cannot_be_read_is_a_fault_of_its_file() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("a.cedar"), [0xff]).expect("a file");
        fs::write(dir.path().join("b.cedar"), vec![b' '; BYTES_MAX + 1]).expect("a file");
        let faults = read(dir.path()).expect_err("faults");
        let codes: Vec<_> = faults.iter().map(|fault| fault.code).collect();
        assert_eq!(codes, ["not_text", "too_large"]);
        let faults = read(&dir.path().join("none")).expect_err("a fault");
        assert_eq!(faults.first().map(|fault| fault.code), Some("unreadable"));
    }
}
