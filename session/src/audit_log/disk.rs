//! The files that are written, so that a test can let them fail.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// A file that only grows.
pub(super) trait Disk: Send {
    /// Writes at its end. When that fails, a part may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Takes off what is beyond so many bytes.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;

    /// Waits until all of it survives a crash of the machine.
    fn sync(&mut self) -> io::Result<()>;
}

/// Opens a file for appending; creates it if it is not there.
pub(super) type Open = Box<dyn Fn(&Path) -> io::Result<Box<dyn Disk>> + Send>;

/// Opens a real one. Only its owner can read it: it says who did what.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Disk>> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(Box::new(options.open(path)?))
}

impl Disk for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
