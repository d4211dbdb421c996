//! `portcullis filters …`: the filters that are connected to the session service.

use super::{client::Path, connection::Connection, pages, plain::clipped, sessions::json_text, table::List, when};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use anstyle::Style;
use clap::Subcommand;
use jiff::Timestamp;
use serde_json::Value;

/// The longest cell, in characters.
const CELL_CHARS_MAX: usize = 64;
/// The digits of a digest in a list.
const DIGEST_DIGITS: usize = 12;

const EXAMPLES: &str = "\
Each Envoy worker has a check stream, and so does Envoy's main thread. The digest is the one that
`portcullis policy digest` prints, and that Envoy's log has in the line `policy … is in force`.

Examples:
  portcullis filters list
  portcullis filters list --output json | jq -r '.filters[].policy_digest' | sort | uniq -c";

/// A command on filters.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the filters that are connected, with their version and policy, the newest first
    List(Args),
}

/// List the filters that are connected, with their version and policy, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        let Self::List(args) = self;
        args.run()
    }
}

impl Args {
    fn run(self) -> Outcome {
        let mut answer: Value = self.service.client()?.get(&Path::new("/v1/filters"))?;
        let Some(Value::Array(filters)) = answer.get_mut("filters") else {
            return Err(Error::failed("unexpected response: it has no `filters`"));
        };
        pages::newest_first(filters, "connected_at");
        match self.output {
            Format::Json => output::write(json_text(&answer)?)?,
            Format::Text if filters.is_empty() => {
                output::message("no filter is connected");
                return Ok(Exit::Done);
            }
            Format::Text => output::write_styled(&table(filters, Timestamp::now()).text(true))?,
        };
        Ok(Exit::Done)
    }
}

fn table(filters: &[Value], now: Timestamp) -> List {
    let mut list = List::new(&["ADDRESS", "VERSION", "POLICY", "STREAMS", "CONNECTED"], &[0, 1]);
    for filter in filters {
        let text = |key: &str| filter.get(key).and_then(Value::as_str).unwrap_or("-");
        let digest: String = text("policy_digest").chars().take(DIGEST_DIGITS).collect();
        list.row(
            Style::new(),
            vec![
                clipped(text("address"), CELL_CHARS_MAX),
                clipped(text("version"), CELL_CHARS_MAX),
                clipped(&digest, CELL_CHARS_MAX),
                filter.get("streams").and_then(Value::as_u64).unwrap_or_default().to_string(),
                when::short(text("connected_at"), now),
            ],
        );
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_filter_is_a_row_whatever_it_states() {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().expect("an instant");
        let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let filters = [
            json!({"address": "10.0.0.2", "version": "0.1.0", "policy_digest": digest, "streams": 3, "connected_at": "2026-11-26T10:30:00Z"}),
            json!({"address": "10.0.0.3", "version": "\u{1b}[31m", "policy_digest": "", "streams": 1, "connected_at": "soon"}),
        ];
        let text = anstream::adapter::strip_str(&table(&filters, now).text(true)).to_string();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["ADDRESS", "VERSION", "POLICY", "STREAMS", "CONNECTED"]);
        assert_eq!(lines[1], ["10.0.0.2", "0.1.0", "9f86d081884c", "3", "1h", "ago"]);
        assert!(!text.contains('\u{1b}') && lines[2].contains(&"soon"), "{text}");
    }
}
