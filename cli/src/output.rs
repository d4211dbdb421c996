//! What is meant for other programs, on standard output.

use crate::exit::Trouble;
use std::io::{ErrorKind, Write, stdout};

/// Writes to standard output. That nobody reads on, as behind `head`, is no trouble.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Trouble> {
    let mut out = stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Trouble::failed(format_args!("standard output can't be written: {error}")))
        }
        _ => Ok(()),
    }
}
