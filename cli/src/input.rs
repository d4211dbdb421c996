//! Reads the files that arguments name; `-` is standard input.

use crate::{document::Document, error::Error};
use std::{fs, io::Read, path::Path};

/// The largest file that is read, in bytes. The filter accepts no larger policy.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Reads a file: its name for messages, and its text.
pub(crate) fn text(path: &Path) -> Result<(String, String), Error> {
    text_within(path, FILE_BYTES_MAX)
}

/// Reads a file of at most `bytes_max` bytes.
pub(crate) fn text_within(path: &Path, bytes_max: u64) -> Result<(String, String), Error> {
    let name = path.display().to_string();
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().take(bytes_max + 1).read_to_string(&mut text),
        _ => fs::File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text)),
    };
    match read {
        Err(error) => Err(Error::failed(format_args!("cannot read `{name}`: {error}"))),
        Ok(_) if text.len() as u64 > bytes_max => {
            Err(Error::failed(format_args!("`{name}` is larger than {bytes_max} bytes")))
        }
        Ok(_) => Ok((name, text)),
    }
}

/// Reads the bytes of a file of at most `bytes_max`; `-` is a file like any other.
pub(crate) fn bytes_within(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(Error::failed(format_args!("cannot read `{}`: {error}", path.display()))),
        Ok(_) if bytes.len() as u64 > bytes_max => {
            Err(Error::failed(format_args!("`{}` is larger than {bytes_max} bytes", path.display())))
        }
        Ok(_) => Ok(bytes),
    }
}

/// Reads a file that is one YAML or JSON document.
pub(crate) fn document(path: &Path) -> Result<Document, Error> {
    let (name, text) = text(path)?;
    Ok(Document::parse(name, text)?)
}
