//! `portcullis revocations …`: lists the revocations of parties, and takes them back.

use super::{
    connection::Connection,
    party_rules::{Kind, cell, id_cell, party, party_cell, text},
    plain::plain,
    table::List,
    when,
};
use crate::{exit::Outcome, output::Format};
use anstyle::Style;
use clap::{Subcommand, builder::NonEmptyStringValueParser};
use jiff::Timestamp;
use serde_json::Value;

const REVOCATIONS: Kind = Kind { path: "/v1/revocations", several: "revocations", one: "revocation" };

const LIST_EXAMPLES: &str = "\
Examples:
  portcullis revocations list
  portcullis revocations list --output json \\
    | jq -r '.revocations[] | select(.subject == \"alice\") | .id'";

const DELETE_EXAMPLES: &str = "\
Tokens are no longer compared with the revocation. The sessions that it ended stay ended; a login
opens new ones.

Examples:
  portcullis revocations delete 687e64ce5abc";

/// A command on revocations.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the revocations of subjects, clients, session claims and issuers, newest first
    List(Listing),
    /// Take a revocation back
    Delete(Delete),
}

/// List the revocations of subjects, clients, session claims and issuers, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct Listing {
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Take a revocation back
#[derive(Debug, clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub(crate) struct Delete {
    /// Id of the revocation, as in `revocations list`, or its first digits
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
        REVOCATIONS.list(&self.service, self.output, table)
    }
}

impl Delete {
    fn run(self) -> Outcome {
        REVOCATIONS.take_back(&self.service, &self.id, self.output, summary)
    }
}

fn summary(lifted: &Value) -> String {
    let before = when::both(text(lifted, "before"), Timestamp::now());
    let whose = match text(lifted, "issuer") {
        // A session that was not seen.
        "" => party(lifted),
        issuer => format!("{} at `{}`", party(lifted), plain(issuer)),
    };
    format!("the revocation of {whose} before {before} is taken back; the sessions that it ended stay ended\n")
}

fn table(revocations: &[Value], now: Timestamp) -> List {
    // Older versions of the service do not note it.
    let has_admins = revocations.iter().any(|of| !text(of, "by").is_empty());
    let mut list = match has_admins {
        true => List::new(&["ID", "PARTY", "ISSUER", "BEFORE", "BY", "REASON"], &[1, 2, 4, 5]),
        false => List::new(&["ID", "PARTY", "ISSUER", "BEFORE", "REASON"], &[1, 2, 4]),
    };
    for of in revocations {
        let before = when::short(text(of, "before"), now);
        let mut cells = vec![id_cell(of), party_cell(of), cell(of, "issuer"), before];
        cells.extend(has_admins.then(|| match text(of, "by") {
            "" => "-".to_owned(),
            _ => cell(of, "by"),
        }));
        cells.push(cell(of, "reason"));
        list.row(Style::new(), cells);
    }
    list
}
