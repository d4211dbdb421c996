//! `portcullis replicas …`: the replicas of the session service that share one store.

use super::{
    client::Path,
    connection::Connection,
    plain::{clipped, plain},
    sessions::json_text,
    table::List,
    when,
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
    report,
};
use anstyle::Style;
use clap::Subcommand;
use serde_json::Value;
use std::collections::BTreeSet;

/// The longest cell, in characters.
const CELL_CHARS_MAX: usize = 64;
/// The digits of a run in a list.
const RUN_DIGITS: usize = 8;
/// Up to this a duration is shown in milliseconds.
const MS_MAX: u64 = 10_000;

const EXAMPLES: &str = "\
BEHIND is the number of changes in the shared log that a replica has yet to apply, compared with
the furthest one. BEAT is the time since its last sign of life, and LEASE how long it gives
verdicts after one. The list is as of the last beat of the replica that answers.

Examples:
  portcullis replicas list
  portcullis replicas list --output json | jq -r '.not_serving // \"gives verdicts\"'";

/// A command on replicas.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the replicas that share the store, and how far each has applied the changes of the others
    List(Args),
}

/// List the replicas that share the store, and how far each has applied the changes of the others
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
        let answer: Value = self.service.client()?.get(&Path::new("/v1/replicas"))?;
        let Some(Value::Array(replicas)) = answer.get("replicas") else {
            return Err(Error::failed("unexpected response: it has no `replicas`"));
        };
        match self.output {
            Format::Json => drop(output::write(json_text(&answer)?)?),
            Format::Text => {
                // A replica that has not joined lists none.
                if !replicas.is_empty() {
                    output::write_styled(&table(replicas).text(true))?;
                }
                let conditions: BTreeSet<_> =
                    replicas.iter().map(|replica| replica.get("conditions").and_then(Value::as_str)).collect();
                if conditions.len() > 1 {
                    output::message(&report::warning("the replicas judge by different conditions"));
                }
                if let Some(why) = answer.get("not_serving").and_then(Value::as_str) {
                    let why = plain(why);
                    output::message(&report::warning(&format!("the replica that answers gives no verdicts: {why}")));
                }
            }
        }
        Ok(Exit::Done)
    }
}

fn table(replicas: &[Value]) -> List {
    let applied = |of: &Value| number(of, "applied");
    let furthest = replicas.iter().map(applied).max().unwrap_or_default();
    let head = ["NAME", "RUN", "VERSION", "APPLIED", "BEHIND", "BEAT", "LEASE", "ANSWERS"];
    let mut list = List::new(&head, &[0, 2]);
    for replica in replicas {
        let text = |key: &str| replica.get(key).and_then(Value::as_str).unwrap_or("-");
        let run: String = text("run").chars().take(RUN_DIGITS).collect();
        let answers = replica.get("answers").and_then(Value::as_bool).unwrap_or_default();
        list.row(
            Style::new(),
            vec![
                clipped(text("name"), CELL_CHARS_MAX),
                clipped(&run, CELL_CHARS_MAX),
                clipped(text("version"), CELL_CHARS_MAX),
                applied(replica).to_string(),
                furthest.saturating_sub(applied(replica)).to_string(),
                format!("{} ago", duration(number(replica, "beaten_ago_ms"))),
                duration(number(replica, "serve_lease_ms")),
                if answers { "*" } else { "" }.to_owned(),
            ],
        );
    }
    list
}

fn number(of: &Value, key: &str) -> u64 {
    of.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// A duration that is short as a rule: `212ms`, `3s`, `1m 30s`.
fn duration(ms: u64) -> String {
    match ms {
        ..MS_MAX if !ms.is_multiple_of(1_000) => format!("{ms}ms"),
        _ => when::span(ms / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_replica_is_a_row_with_what_it_lacks_of_the_furthest_one() {
        let replica = |name: &str, applied: u64, beaten_ago_ms: u64, answers: bool| {
            json!({
                "run": "0d1f6f0b7c2a4e55", "name": name, "version": "0.1.0", "answers": answers, "applied": applied,
                "serve_lease_ms": 3000, "beaten_ago_ms": beaten_ago_ms,
            })
        };
        let replicas = [
            replica("portcullis-0", 4711, 212, false),
            replica("\u{1b}[31m", 4700, 12_345, true),
            json!({"name": 7, "applied": "many"}),
        ];
        let text = anstream::adapter::strip_str(&table(&replicas).text(true)).to_string();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["portcullis-0", "0d1f6f0b", "0.1.0", "4711", "0", "212ms", "ago", "3s"]);
        assert_eq!(lines[2][1..], ["0d1f6f0b", "0.1.0", "4700", "11", "12s", "ago", "3s", "*"]);
        assert_eq!(lines[3], ["-", "-", "-", "0", "4711", "0s", "ago", "0s"]);
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_duration_has_milliseconds_only_where_they_matter() {
        for (ms, expected) in
            [(0, "0s"), (212, "212ms"), (1_000, "1s"), (1_500, "1500ms"), (10_001, "10s"), (90_000, "1m 30s")]
        {
            assert_eq!(duration(ms), expected);
        }
    }
}
