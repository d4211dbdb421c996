//! `portcullis audit prove`: the proof that one record is in the log, for somebody who has nothing else of it.

use super::{files, key::Keys};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use portcullis_audit::{prove::prove, verify::Walk};
use serde_json::json;
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
The proof is a text in the form of C2SP tlog-proof: the number of the record, its audit path
(RFC 6962) and a signed checkpoint. With `--output json`, the record is in it as well. The file
is verified first.

Exit code 5: a line does not fit, or no checkpoint has the record yet.

Examples:
  portcullis audit prove audit.jsonl --seq 42 --key audit.pub";

/// Print the proof that one record is in the log
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file that has the record
    file: PathBuf,
    /// The number of the record (`seq`)
    #[arg(long, value_name = "NUMBER")]
    seq: u64,
    #[command(flatten)]
    keys: Keys,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let keys = self.keys.read()?;
        let walked = files::walk(&Walk { keys: &keys, known: &[], before: None, is_last: true }, &self.file)?;
        let first = walked.header.as_ref().map_or(0, |header| header.tree.size);
        if self.seq < first || self.seq >= walked.tree.size() {
            let last = walked.tree.size().saturating_sub(1);
            let file = self.file.display();
            return Err(Error::invalid(format_args!("--seq: `{file}` has the records {first} to {last}")));
        }
        let unproved = || Error::Unproved(format!("no checkpoint has the record {} yet", self.seq));
        let proof = prove(&walked, &files::checkpoints(&self.file)?, &keys, self.seq).ok_or_else(unproved)?;
        let record = line(&self.file, self.seq - first)?;
        // The file can have grown since, and nothing else.
        if !proof.holds(record.as_bytes(), &keys) {
            return Err(Error::Unproved(format!("`{}` was changed while it was read", self.file.display())));
        }
        match self.output {
            Format::Text => output::write(proof.to_string())?,
            Format::Json => output::write_json(&json!({
                "record": record, "seq": proof.seq, "path": proof.hashes(), "checkpoint": proof.checkpoint,
            }))?,
        };
        Ok(Exit::Done)
    }
}

/// The line of a file, counted from 0.
fn line(path: &Path, number: u64) -> Result<String, Error> {
    let mut lines = BufReader::new(files::open(path)?).lines();
    let line = usize::try_from(number).ok().and_then(|number| lines.nth(number)).and_then(Result::ok);
    line.ok_or_else(|| Error::failed(format_args!("cannot read `{}`", path.display())))
}
