//! Standard output and standard error. Their readers can disappear at any time.

use crate::error::Error;
use anstream::AutoStream;
use clap::ValueEnum;
use serde::Serialize;
use std::io::{self, Write};

/// The format of a command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Human-readable text
    #[default]
    Text,
    /// JSON
    Json,
}

/// Whether anybody still reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The text was written.
    Present,
    /// The other end is closed, as when `| head` has read enough. This is not an error.
    Gone,
}

/// Writes a text to standard output in one piece.
pub(crate) fn write(text: impl AsRef<[u8]>) -> Result<Reader, Error> {
    write_to(&mut io::stdout().lock(), text.as_ref())
}

/// Writes a coloured text to standard output; the colours are dropped if it is not a terminal.
pub(crate) fn write_styled(text: &str) -> Result<Reader, Error> {
    write_to(&mut AutoStream::auto(io::stdout().lock()), text.as_bytes())
}

/// Writes a value to standard output as JSON, with a final newline.
pub(crate) fn write_json(value: &impl Serialize) -> Result<Reader, Error> {
    let text = serde_json::to_string_pretty(value);
    write(text.map_err(|error| Error::failed(format_args!("cannot write the result as JSON: {error}")))? + "\n")
}

fn write_to(out: &mut impl Write, bytes: &[u8]) -> Result<Reader, Error> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Present),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Error::failed(format_args!("cannot write to standard output: {error}"))),
    }
}

/// Writes a message and a newline to standard error. A failure is ignored: there is nobody left to report it to.
pub(crate) fn message(text: &str) {
    drop(writeln!(AutoStream::auto(io::stderr().lock()), "{text}"));
}
