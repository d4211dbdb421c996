//! `portcullis audit search`: records of one or several replicas, in the order of time.

use super::{files, shown::Read};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format, Reader},
    since,
};
use jiff::Timestamp;
use portcullis_audit::record::Record;
use serde_json::Value;
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
};

const EXAMPLES: &str = "\
A record is printed if it meets all conditions. Files of several replicas are merged by time.
Nothing is verified here: see `portcullis audit verify`.

Examples:
  portcullis audit search audit.jsonl* --subject alice --since 7d
  portcullis audit search a/audit.jsonl* b/audit.jsonl* --code session_revoked --output json";

/// Find records in the files of one or several replicas
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Files of audit logs
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only records about this subject
    #[arg(long)]
    subject: Option<String>,
    /// Only records about this session (its id)
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only records about what this admin did
    #[arg(long, value_name = "NAME")]
    admin: Option<String>,
    /// Only records with this code; can be repeated
    #[arg(long)]
    code: Vec<String>,
    /// Only records since how long ago (`15m`, `2h 30m`, `1d`) or since which instant (RFC 3339)
    #[arg(long, value_name = "DURATION|INSTANT", value_parser = since::instant)]
    since: Option<Timestamp>,
    /// Output format; `json` prints the lines as they are
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

/// The records of the files of one log that are wanted, one after the other.
struct Stream<'s> {
    args: &'s Args,
    files: std::vec::IntoIter<PathBuf>,
    lines: Option<BufReader<File>>,
    next: Option<(Option<Timestamp>, Read)>,
}

impl Stream<'_> {
    /// Finds the next record.
    fn advance(&mut self) -> Result<(), Error> {
        self.next = None;
        loop {
            let Some(lines) = &mut self.lines else {
                let Some(path) = self.files.next() else { return Ok(()) };
                self.lines = Some(BufReader::new(files::open(&path)?));
                continue;
            };
            let mut line = Vec::new();
            let read = lines.read_until(b'\n', &mut line);
            read.map_err(|error| Error::failed(format_args!("cannot read the audit log: {error}")))?;
            if line.is_empty() {
                self.lines = None;
                continue;
            }
            let read = Read::line(line.trim_ascii_end()).filter(|read| self.args.wants(&read.record));
            if let Some(read) = read {
                self.next = Some((read.record.time.parse().ok(), read));
                return Ok(());
            }
        }
    }
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let mut streams = Vec::new();
        for log in files::logs(&self.files)? {
            let mut stream = Stream { args: &self, files: log.into_iter(), lines: None, next: None };
            stream.advance()?;
            streams.push(stream);
        }
        loop {
            let waiting = streams.iter_mut().filter(|stream| stream.next.is_some());
            let Some(first) = waiting.min_by_key(|stream| stream.next.as_ref().and_then(|(time, _)| *time)) else {
                return Ok(Exit::Done);
            };
            let text = first.next.as_ref().map(|(_, read)| read.text(self.output)).unwrap_or_default();
            if output::write(text)? == Reader::Gone {
                return Ok(Exit::Done);
            }
            first.advance()?;
        }
    }

    fn wants(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, found: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(found);
        let has = |names: &'static [&str]| move |text: &str| names.iter().any(|name| record.text(name) == Some(text));
        let since = self.since.is_none_or(|since| record.time.parse::<Timestamp>().is_ok_and(|time| time >= since));
        since
            && (self.code.is_empty() || self.code.contains(&record.code))
            && is(&self.session, &has(&["session"]))
            && is(&self.admin, &has(&["admin", "by", "requester", "decided_by"]))
            && is(&self.subject, &|subject| is_about(record, subject))
    }
}

/// Whether a record is about a subject. Where parties differ in their shape, it is a member of a JSON text.
fn is_about(record: &Record, subject: &str) -> bool {
    let parties = ["party", "holder"].iter().filter_map(|name| serde_json::from_str::<Value>(record.text(name)?).ok());
    record.text("subject") == Some(subject) || parties.into_iter().any(|party| names(&party, subject))
}

fn names(party: &Value, subject: &str) -> bool {
    let Some(members) = party.as_object() else { return false };
    members.iter().any(|(name, value)| match value {
        Value::String(text) => (name == "subject" || name == "sub") && text == subject,
        other => names(other, subject),
    })
}
