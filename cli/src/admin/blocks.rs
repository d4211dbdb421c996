//! `portcullis blocks …`: lists the blocks of parties, and lifts them.

use super::{
    connection::Connection,
    party_rules::{Kind, cell, id_cell, party, party_cell, text},
    plain::plain,
    table::List,
    when,
};
use crate::{error::Error, exit::Outcome, output::Format};
use anstyle::Style;
use clap::{Subcommand, builder::NonEmptyStringValueParser};
use jiff::Timestamp;
use serde_json::Value;

const BLOCKS: Kind = Kind { path: "/v1/blocks", several: "blocks", one: "block" };

/// The member that names the transmitter whose signal has made a block.
const TRANSMITTER: &str = "transmitter";

const LIST_EXAMPLES: &str = "\
SIGNALLED BY is the transmitter whose signal made the block; operators made the other blocks. The
column is only shown if there is such a block.

Examples:
  portcullis blocks list
  portcullis blocks list --output json | jq -r '.blocks[] | select(.subject == \"alice\") | .id'";

const DELETE_EXAMPLES: &str = "\
The sessions of the party continue as before: live ones pass, unless they have reached a limit in
the meantime. Clients must reopen the streams that the block has cut.

Examples:
  portcullis blocks delete 687e64ce5abc";

/// A command on blocks.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the blocks of subjects, clients and session claims, newest first
    List(Listing),
    /// Lift a block
    Delete(Delete),
}

/// List the blocks of subjects, clients and session claims, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct Listing {
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Lift a block
#[derive(Debug, clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub(crate) struct Delete {
    /// Id of the block, as in `blocks list`, or its first digits
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::List(args) => args.run(),
            Self::Delete(args) => args.run(),
        }
    }
}

impl Listing {
    fn run(self) -> Outcome {
        BLOCKS.list(&self.service, self.output, table)
    }
}

impl Delete {
    fn run(self) -> Outcome {
        BLOCKS.take_back(&self.service, &self.id, self.output, summary)
    }
}

fn summary(lifted: &Value) -> String {
    let (party, issuer) = (party(lifted), plain(text(lifted, "issuer")));
    let maker = match text(lifted, TRANSMITTER) {
        "" => String::new(),
        transmitter => format!(" by a signal of `{}`", plain(transmitter)),
    };
    format!("the block of {party} at `{issuer}`{maker} is lifted; its sessions continue as before\n")
}

/// Until when a block stands: "until 2026-11-21 20:38:02Z (in 2h)".
pub(super) fn until(block: &Value, now: Timestamp) -> Result<String, Error> {
    match block.get("until") {
        None => Ok("until it is lifted".to_owned()),
        Some(Value::String(until)) => Ok(format!("until {}", when::both(until, now))),
        Some(_) => Err(Error::failed("unexpected response: `until` of a block is not text")),
    }
}

/// A block as a fact about a session: `subject `anna`, since … (2m ago), until it is lifted, by an administrator: ticket 4711`.
pub(super) fn words(block: &Value, now: Timestamp) -> String {
    let since = match text(block, "made_at") {
        "" => String::new(),
        at => format!(", since {}", when::both(at, now)),
    };
    let end = match text(block, "until") {
        "" => "until it is lifted".to_owned(),
        until => format!("until {}", when::both(until, now)),
    };
    let maker = match (text(block, TRANSMITTER), text(block, "by")) {
        ("", "") => "an administrator".to_owned(),
        ("", admin) => plain(admin).into_owned(),
        (transmitter, _) => format!("a signal of `{}`", plain(transmitter)),
    };
    let why = match text(block, "reason") {
        "" => String::new(),
        why => format!(": {}", plain(why)),
    };
    format!("{}{since}, {end}, by {maker}{why}", party(block))
}

fn table(blocks: &[Value], now: Timestamp) -> List {
    // Most services have no transmitters.
    let has_signalled = blocks.iter().any(|of| !text(of, TRANSMITTER).is_empty());
    // Older versions of the service do not note it.
    let has_admins = blocks.iter().any(|of| !text(of, "by").is_empty());
    let head = ["ID", "PARTY", "ISSUER", "UNTIL"].into_iter();
    let head = head.chain(has_signalled.then_some("SIGNALLED BY")).chain(has_admins.then_some("BY"));
    let head: Vec<&str> = head.chain(["REASON"]).collect();
    let flexible: &[usize] = match head.len() {
        5 => &[1, 2, 4],
        6 => &[1, 2, 4, 5],
        _ => &[1, 2, 4, 5, 6],
    };
    let mut list = List::new(&head, flexible);
    for of in blocks {
        let until = match text(of, "until") {
            "" => "no end".to_owned(),
            until => when::short(until, now),
        };
        let maker = has_signalled.then(|| match text(of, TRANSMITTER) {
            "" => "-".to_owned(),
            _ => cell(of, TRANSMITTER),
        });
        let mut cells = vec![id_cell(of), party_cell(of), cell(of, "issuer"), until];
        cells.extend(maker);
        cells.extend(has_admins.then(|| match text(of, "by") {
            "" => "-".to_owned(),
            _ => cell(of, "by"),
        }));
        cells.push(cell(of, "reason"));
        list.row(Style::new(), cells);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().expect("an instant")
    }

    #[test]
    fn a_list_names_party_end_and_reason() {
        let blocks = [
            json!({"id": "687e64ce5abca157", "issuer": "i", "subject": "a\u{1b}", "until": "2026-11-21T14:03:00Z", "reason": "r"}),
            json!({"id": "787e64ce5abca157", "issuer": "i", "client_id": "web"}),
        ];
        let text = table(&blocks, now()).text(true).to_string();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["687e64ce5abc", "subject", "a\\u{1b}", "i", "in", "2h", "r"], "{text}");
        assert_eq!(rows[2], ["787e64ce5abc", "client", "web", "i", "no", "end"], "{text}");
        assert!(!text.contains("SIGNALLED"), "{text}");
    }

    #[test]
    fn a_list_with_a_block_of_a_transmitter_names_it() {
        let blocks = [
            json!({"id": "687e64ce5abca157", "issuer": "i", "subject": "a", "transmitter": "okta\u{1b}", "reason": "r"}),
            json!({"id": "787e64ce5abca157", "issuer": "i", "subject": "a", "reason": "r"}),
        ];
        let text = table(&blocks, now()).text(true).to_string();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["687e64ce5abc", "subject", "a", "i", "no", "end", "okta\\u{1b}", "r"], "{text}");
        assert_eq!(rows[2], ["787e64ce5abc", "subject", "a", "i", "no", "end", "-", "r"], "{text}");
    }

    #[test]
    fn a_block_is_described_with_its_party_time_maker_and_reason() {
        let by_hand =
            json!({"id": "687e", "subject": "a\u{1b}", "made_at": "2026-11-21T11:58:00Z", "reason": "ticket"});
        let expected =
            "subject `a\\u{1b}`, since 2026-11-21 11:58:00Z (2m ago), until it is lifted, by an administrator: ticket";
        assert_eq!(words(&by_hand, now()), expected);
        let signalled = json!({"client_id": "web", "until": "2026-11-21T14:00:00Z", "transmitter": "okta"});
        let expected = "client `web`, until 2026-11-21 14:00:00Z (in 2h), by a signal of `okta`";
        assert_eq!(words(&signalled, now()), expected);
    }

    #[test]
    fn what_is_taken_back_is_said() {
        let text = summary(&json!({"issuer": "i", "sid": "s"}));
        assert_eq!(text, "the block of sid `s` at `i` is lifted; its sessions continue as before\n");
        let text = summary(&json!({"issuer": "i", "sid": "s", "transmitter": "okta"}));
        assert!(text.starts_with("the block of sid `s` at `i` by a signal of `okta` is lifted;"), "{text}");
    }
}
