//! `portcullis audit verify`: whether the files of an audit log fit their checkpoints.

use super::{files, key::Keys};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    input,
    output::{self, Format},
    plain::plain,
    report,
};
use portcullis_audit::{
    checkpoint::{Checkpoint, notes},
    note::VerifierKey,
    verify::{Proof, verify},
};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The largest file of checkpoints that were kept elsewhere, in bytes.
const KNOWN_BYTES_MAX: u64 = 256 << 20;

const EXAMPLES: &str = "\
The checkpoints beside each file (FILE.checkpoints) are read as well. Files of one log are put in
order by their numbers, and a log can begin with any of its files. The first line that does not
fit is named. Records after the last checkpoint are reported as not proved yet.

Whoever can change the files can also cut their end, with its checkpoints. Only checkpoints that
were kept elsewhere show that: pass them with `--checkpoints`, as a file of checkpoints or as
the log of the service's standard output.

Exit code 5: a line does not fit.

Examples:
  portcullis audit verify audit.jsonl* --key audit.pub
  portcullis audit verify audit.jsonl --key audit.pub --checkpoints stdout.log";

/// Check that no record was changed, lost, reordered or inserted
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Files of one or several audit logs
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    keys: Keys,
    /// Also compare with checkpoints that were kept elsewhere
    #[arg(long, value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let keys = self.keys.read()?;
        let mut known = Vec::new();
        for path in &self.checkpoints {
            let (name, text) = input::text_within(path, KNOWN_BYTES_MAX)?;
            let found = kept(&text, &keys);
            if found.is_empty() {
                return Err(Error::invalid(format_args!("`{name}` has no checkpoint that the key has signed")));
            }
            known.extend(found);
        }
        let (mut shown, mut faults) = (Vec::new(), Vec::new());
        for log in files::logs(&self.files)? {
            let sources = log.iter().map(|path| files::source(path)).collect::<Result<Vec<_>, _>>()?;
            let names: Vec<String> = log.iter().map(|path| path.display().to_string()).collect();
            match verify(sources, &keys, &known) {
                Ok(proof) => shown.push((names, Ok(proof))),
                Err(portcullis_audit::verify::Error::Fault(fault)) => {
                    faults.push(Error::Unproved(plain(&fault.to_string()).into_owned()));
                    shown.push((names, Err(fault)));
                }
                Err(unread) => return Err(Error::failed(unread)),
            }
        }
        match self.output {
            Format::Json => {
                let logs: Vec<Value> = shown.iter().map(|(names, result)| json(names, result)).collect();
                output::write_json(&json!({"logs": logs}))?;
                return Ok(if faults.is_empty() { Exit::Done } else { Exit::Unproved });
            }
            Format::Text => {
                let proved = shown.iter().filter_map(|(names, result)| Some(text(names, result.as_ref().ok()?)));
                output::write(proved.collect::<String>())?;
            }
        }
        for anew in shown.iter().filter_map(|(_, result)| result.as_ref().ok()).flat_map(|proof| &proof.anew) {
            output::message(&report::warning(&plain(anew)));
        }
        if faults.is_empty() { Ok(Exit::Done) } else { Err(Error::Several(faults)) }
    }
}

/// The checkpoints of a text: notes, or lines of JSON with a `checkpoint`.
fn kept(text: &str, keys: &[VerifierKey]) -> Vec<Checkpoint> {
    let (plain, _) = notes(text);
    let plain = plain.into_iter().filter_map(|(_, note)| Checkpoint::open(note, keys));
    let lines = text.lines().filter(|line| line.contains("\"checkpoint\""));
    let logged = lines.filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        Checkpoint::open(line.get("checkpoint")?.as_str()?, keys)
    });
    plain.chain(logged).collect()
}

fn text(names: &[String], proof: &Proof) -> String {
    let name = names.last().map_or("", String::as_str);
    let Proof { origin, first, size, proved, torn_bytes, .. } = proof;
    let found = match proved.checked_sub(*first) {
        Some(count @ 1..) => format!("{count} records are proved ({first} to {})", proved - 1),
        _ => "no record is proved yet".to_owned(),
    };
    let unproved = match size - proved.max(first) {
        0 => String::new(),
        1 => "; 1 record after the last checkpoint is not proved yet".to_owned(),
        more => format!("; {more} records after the last checkpoint are not proved yet"),
    };
    let torn =
        if *torn_bytes == 0 { String::new() } else { format!("; the last line ({torn_bytes} bytes) has no end") };
    format!("{}: {}: {found}{unproved}{torn}\n", plain(name), plain(origin))
}

fn json(names: &[String], result: &Result<Proof, portcullis_audit::verify::Fault>) -> Value {
    match result {
        Ok(proof) => json!({
            "files": names, "origin": proof.origin, "first": proof.first, "size": proof.size, "proved": proof.proved,
            "unproved": proof.unproved(), "torn_bytes": proof.torn_bytes, "anew": proof.anew,
        }),
        Err(fault) => {
            json!({"files": names, "fault": {"file": fault.file, "line": fault.line, "what": fault.what}})
        }
    }
}
