//! `portcullis audit tail`: the last records of a file, and those that follow.

use super::{files, shown::Read};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format, Reader},
};
use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// How often a followed file is looked at.
const PAUSE: Duration = Duration::from_millis(250);

/// The most records that are printed before the file is followed.
const LINES_MAX: i64 = 100_000;

const EXAMPLES: &str = "\
With `--follow` it runs until Ctrl-C, also beyond the end of the file: when the service closes
the file and begins the next, that is followed.

Examples:
  portcullis audit tail audit.jsonl
  portcullis audit tail audit.jsonl --follow --output json";

/// Print the last records of a file, and follow it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file that the service writes
    file: PathBuf,
    /// How many records to print
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=LINES_MAX))]
    lines: u32,
    /// Print new records as they are written
    #[arg(long)]
    follow: bool,
    /// Output format; `json` prints the lines as they are
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

/// The lines of a file that grows.
struct Growing {
    lines: BufReader<File>,
    /// The beginning of a line whose end is not there yet.
    begun: Vec<u8>,
}

impl Growing {
    fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { lines: BufReader::new(files::open(path)?), begun: Vec::new() })
    }

    /// The next whole line.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let read = self.lines.read_until(b'\n', &mut self.begun);
        read.map_err(|error| Error::failed(format_args!("cannot read the audit log: {error}")))?;
        Ok(if self.begun.ends_with(b"\n") { Some(std::mem::take(&mut self.begun)) } else { None })
    }

    /// Whether another file has taken its name.
    fn is_closed(&self, path: &Path) -> bool {
        let (Ok(own), Ok(named)) = (self.lines.get_ref().metadata(), fs::metadata(path)) else { return false };
        !is_same(&own, &named)
    }
}

#[cfg(unix)]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    one.created().ok() == other.created().ok()
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let mut file = Growing::open(&self.file)?;
        let mut last = VecDeque::new();
        while let Some(line) = file.next()? {
            last.push_back(line);
            if last.len() > self.lines as usize {
                last.pop_front();
            }
        }
        for line in last {
            if self.print(&line)? == Reader::Gone {
                return Ok(Exit::Done);
            }
        }
        if !self.follow {
            return Ok(Exit::Done);
        }
        loop {
            // In this order: what was written before the file was closed is read to its end.
            let is_closed = file.is_closed(&self.file);
            while let Some(line) = file.next()? {
                if self.print(&line)? == Reader::Gone {
                    return Ok(Exit::Done);
                }
            }
            if is_closed {
                file = Growing::open(&self.file)?;
            } else {
                thread::sleep(PAUSE);
            }
        }
    }

    fn print(&self, line: &[u8]) -> Result<Reader, Error> {
        match Read::line(line.trim_ascii_end()) {
            Some(read) => output::write(read.text(self.output)),
            None => Ok(Reader::Present),
        }
    }
}
