//! Writes what was asked for to standard output, whose reader may leave at any time.

use crate::exit::Trouble;
use std::io::{self, Write};

/// Whether somebody still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The text was written.
    Listens,
    /// Nobody reads any more, as when `| head` has seen enough: that is no trouble.
    Left,
}

/// Writes a text, all of it at once.
pub fn write(text: &str) -> Result<Reader, Trouble> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Listens),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Left),
        Err(error) => Err(Trouble::failed(format_args!("standard output can't be written: {error}"))),
    }
}
