//! `portcullis revocations …`: lists the revocations of parties, and takes them back.

use super::{
    client::{Client, Path},
    connection::Connection,
    pages,
    plain::{clipped, plain},
    sessions::{id::PREFIX_MIN, json_text},
    table::List,
    when,
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use anstyle::Style;
use clap::{Subcommand, builder::NonEmptyStringValueParser};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The longest cell, in characters.
const CELL_CHARS_MAX: usize = 200;
/// The digits of an id in a list.
const ID_DIGITS: usize = 12;

const LIST_EXAMPLES: &str = "\
Examples:
  portcullis revocations list
  portcullis revocations list --output json | jq -r '.revocations[] | select(.subject == \"alice\") | .id'";

const DELETE_EXAMPLES: &str = "\
Tokens are no longer compared with the revocation. The sessions that it ended stay ended; a login opens
new ones.

Examples:
  portcullis revocations delete 687e64ce5abc";

/// A command on revocations.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the revocations of subjects, clients, session claims and issuers, the newest first
    List(Listing),
    /// Take a revocation back
    Delete(Delete),
}

/// List the revocations of subjects, clients, session claims and issuers, the newest first
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
        let revocations = newest_first(&self.service.client()?)?;
        match self.output {
            Format::Json => output::write(json_text(&json!({"revocations": revocations}))?)?,
            Format::Text if revocations.is_empty() => {
                output::message("there are no revocations");
                return Ok(Exit::Done);
            }
            Format::Text => output::write_styled(&table(&revocations, Timestamp::now()).text(true))?,
        };
        Ok(Exit::Done)
    }
}

impl Delete {
    fn run(self) -> Outcome {
        if self.id.len() < PREFIX_MIN {
            let given = plain(&self.id);
            return Err(Error::invalid(format_args!(
                "`{given}` is too short: write at least {PREFIX_MIN} digits of the id"
            )));
        }
        let client = self.service.client()?;
        let found: Vec<Value> =
            newest_first(&client)?.into_iter().filter(|of| text(of, "id").starts_with(&self.id)).collect();
        let id = match found.as_slice() {
            [only] => text(only, "id").to_owned(),
            [] => {
                return Err(Error::failed(format_args!(
                    "there is no revocation whose id begins with `{}`",
                    plain(&self.id)
                )));
            }
            several => {
                let lines: String =
                    several.iter().map(|of| format!("\n  {}  {}", plain(text(of, "id")), party(of))).collect();
                let given = plain(&self.id);
                return Err(Error::invalid(format_args!(
                    "several revocations have an id that begins with `{given}`; write more digits{lines}"
                )));
            }
        };
        let lifted: Value = client.delete(&Path::new("/v1/revocations").segment(&id))?;
        output::write(match self.output {
            Format::Json => json_text(&lifted)?,
            Format::Text => {
                let before = when::both(text(&lifted, "before"), Timestamp::now());
                let (party, issuer) = (party(&lifted), plain(text(&lifted, "issuer")).into_owned());
                format!(
                    "the revocation of {party} at `{issuer}` before {before} is taken back; what it ended stays ended\n"
                )
            }
        })?;
        Ok(Exit::Done)
    }
}

fn newest_first(client: &Client) -> Result<Vec<Value>, Error> {
    let mut revocations = pages::all(client, "/v1/revocations", "revocations")?;
    let made_at = |of: &Value| text(of, "made_at").parse::<Timestamp>().ok();
    revocations.sort_by_key(|of| std::cmp::Reverse(made_at(of)));
    Ok(revocations)
}

fn table(revocations: &[Value], now: Timestamp) -> List {
    let mut list = List::new(&["ID", "PARTY", "ISSUER", "BEFORE", "REASON"], &[1, 2, 4]);
    for of in revocations {
        let cell = |key: &str| clipped(text(of, key), CELL_CHARS_MAX);
        let id = plain(text(of, "id")).chars().take(ID_DIGITS).collect();
        let before = when::short(text(of, "before"), now);
        list.row(Style::new(), vec![id, clipped_party(of), cell("issuer"), before, cell("reason")]);
    }
    list
}

fn text<'v>(of: &'v Value, key: &str) -> &'v str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whom it revokes: "subject `alice`".
fn party(of: &Value) -> String {
    match named(of) {
        Some((kind, name)) => format!("{kind} `{}`", plain(name)),
        None => "everybody".to_owned(),
    }
}

fn clipped_party(of: &Value) -> String {
    match named(of) {
        Some((kind, name)) => format!("{kind} {}", clipped(name, CELL_CHARS_MAX)),
        None => "everybody".to_owned(),
    }
}

fn named(of: &Value) -> Option<(&'static str, &str)> {
    let kinds = [("subject", "subject"), ("client_id", "client"), ("sid", "sid")];
    kinds.into_iter().find_map(|(key, kind)| Some((kind, of.get(key)?.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_is_named_by_what_it_is() {
        for (of, expected) in [
            (json!({"issuer": "i", "subject": "a\u{1b}"}), "subject `a\\u{1b}`"),
            (json!({"issuer": "i", "client_id": "web"}), "client `web`"),
            (json!({"issuer": "i", "sid": "s"}), "sid `s`"),
            (json!({"issuer": "i"}), "everybody"),
        ] {
            assert_eq!(party(&of), expected);
        }
    }
}
