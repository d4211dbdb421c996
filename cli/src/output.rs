//! Standard output and standard error, whose readers may leave at any time.

use crate::exit::Trouble;
use anstream::AutoStream;
use clap::ValueEnum;
use serde::Serialize;
use std::io::{self, Write};

/// For whom is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Whether somebody still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The text was written.
    Listens,
    /// Nobody reads any more, as when `| head` has seen enough: that is no trouble.
    Left,
}

/// Writes a text as it is, all of it at once.
pub fn write(text: impl AsRef<[u8]>) -> Result<Reader, Trouble> {
    written(&mut io::stdout().lock(), text.as_ref())
}

/// Writes a text that has colours, and leaves them out where nobody would see them.
pub fn write_styled(text: &str) -> Result<Reader, Trouble> {
    written(&mut AutoStream::auto(io::stdout().lock()), text.as_bytes())
}

/// Writes a value as JSON on lines of its own.
pub fn write_json(value: &impl Serialize) -> Result<Reader, Trouble> {
    let text = serde_json::to_string_pretty(value);
    write(text.map_err(|error| Trouble::failed(format_args!("the answer can't be written as JSON: {error}")))? + "\n")
}

fn written(out: &mut impl Write, bytes: &[u8]) -> Result<Reader, Trouble> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Listens),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Left),
        Err(error) => Err(Trouble::failed(format_args!("standard output can't be written: {error}"))),
    }
}

/// Says something on standard error, in lines of its own. Where that can't be done, nobody is left to be told.
pub fn tell(text: &str) {
    drop(writeln!(AutoStream::auto(io::stderr().lock()), "{text}"));
}
