//! `portcullis sessions narrow` and `restore`: takes scopes from a party, and gives them back.

use super::{id, json_text, narrowings, view::Session};
use crate::{
    admin::{client::Path, connection::Connection, plain::plain, seen},
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

const NARROW_EXAMPLES: &str = "\
The scopes are taken from the subject of the session with its client. This holds for all of their
sessions, later ones too, until `sessions restore`. Open streams that require one of the scopes are
cut. With --subject and without --client, the scopes are taken from the subject with every client.
Changes of two operators add up.

Examples:
  portcullis sessions narrow 5d41402abc4b --scope orders:write
  portcullis sessions narrow --issuer https://id.example.com --subject alice --scope admin \\
    --reason 'ticket 4711'";

const RESTORE_EXAMPLES: &str = "\
Examples:
  portcullis sessions restore 5d41402abc4b --scope orders:write
  portcullis sessions restore --issuer https://id.example.com --subject alice --scope admin";

/// Whose scopes to change, and which.
#[derive(Debug, clap::Args)]
struct Party {
    /// Session id, or its first digits: the scopes of its issuer, subject and client are changed
    #[arg(value_parser = NonEmptyStringValueParser::new(), required_unless_present = "subject", conflicts_with_all = ["issuer", "subject", "client"])]
    id: Option<String>,
    /// Scope; can be repeated
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = NonEmptyStringValueParser::new())]
    scopes: Vec<String>,
    /// Issuer (`iss`) of the subject, compared exactly
    #[arg(long, requires = "subject", value_parser = NonEmptyStringValueParser::new())]
    issuer: Option<String>,
    /// Subject (`sub`), even if none of its sessions has been seen
    #[arg(long, requires = "issuer", value_parser = NonEmptyStringValueParser::new())]
    subject: Option<String>,
    /// Only with this client (`client_id`) [default: with every client]
    #[arg(long, requires = "subject", value_parser = NonEmptyStringValueParser::new())]
    client: Option<String>,
    /// Reason to record in the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Take scopes from a session's subject and client
#[derive(Debug, clap::Args)]
#[command(after_help = NARROW_EXAMPLES)]
pub(crate) struct Narrow {
    #[command(flatten)]
    party: Party,
}

/// Give scopes back to a session's subject and client
#[derive(Debug, clap::Args)]
#[command(after_help = RESTORE_EXAMPLES)]
pub(crate) struct Restore {
    #[command(flatten)]
    party: Party,
}

impl Narrow {
    pub(super) fn run(self) -> Outcome {
        self.party.change("remove", "taken from")
    }
}

impl Restore {
    pub(super) fn run(self) -> Outcome {
        self.party.change("restore", "given back to")
    }
}

impl Party {
    fn change(&self, member: &str, done: &str) -> Outcome {
        let client = self.service.client()?;
        let scopes = self.scopes.iter().map(|scope| format!("`{}`", plain(scope))).collect::<Vec<_>>().join(", ");
        let (response, text): (Value, String) = match (&self.id, &self.issuer, &self.subject) {
            (Some(given), ..) => {
                let path = Path::new("/v1/sessions").segment(&id::resolve(&client, given)?);
                let response: Value = client.patch(&path, &self.body(member))?;
                let session = Session::of(response.clone())?;
                (response, format!("{scopes} {done} {}", session.scopes_left(Timestamp::now())))
            }
            (None, Some(issuer), Some(subject)) => {
                let response: Value = client.post(&Path::new("/v1/narrowings"), &self.body(member))?;
                let party = self.words(subject);
                seen::warn(&response, issuer, &party);
                let taken = taken(&response);
                (response, format!("{scopes} {done} {party} at `{}`; {taken}\n", plain(issuer)))
            }
            (None, ..) => return Err(Error::invalid("specify a session id, or --issuer and --subject")),
        };
        output::write(match self.output {
            Format::Json => json_text(&response)?,
            Format::Text => text,
        })?;
        Ok(Exit::Done)
    }

    fn body(&self, member: &str) -> Value {
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let given = [
            ("issuer", text(&self.issuer)),
            ("subject", text(&self.subject)),
            ("client_id", text(&self.client)),
            (member, Some(json!(self.scopes))),
            ("reason", text(&self.reason)),
        ];
        let members = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Value::Object(members.collect::<Map<_, _>>())
    }

    fn words(&self, subject: &str) -> String {
        match &self.client {
            Some(client) => format!("subject `{}` with client `{}`", plain(subject), plain(client)),
            None => format!("subject `{}` with every client", plain(subject)),
        }
    }
}

/// What is taken from a party now.
fn taken(response: &Value) -> String {
    let removed = response.get("removed").and_then(Value::as_array).into_iter().flatten();
    let removed: Vec<_> = removed.filter_map(Value::as_str).map(|scope| format!("`{}`", plain(scope))).collect();
    let signalled = narrowings::signalled(response);
    let taken = match removed.is_empty() {
        true if signalled.is_empty() => "nothing is taken from it any more".to_owned(),
        true => "no operator takes anything from it any more".to_owned(),
        false => format!("taken from it now: {}", removed.join(", ")),
    };
    [vec![taken], signalled].concat().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Narrow,
    }

    fn party(line: &[&str]) -> Option<Party> {
        let line = ["narrow"].iter().chain(line);
        Line::try_parse_from(line).ok().map(|line| line.args.party)
    }

    #[test]
    fn the_body_is_what_was_given() {
        let of_session = party(&["5d41", "--scope", "a", "--scope", "b", "--reason", "r"]).expect("arguments");
        assert_eq!(of_session.body("remove"), json!({"remove": ["a", "b"], "reason": "r"}));
        let line = ["--issuer", "i", "--subject", "s", "--client", "c", "--scope", "a"];
        let of_party = party(&line).expect("arguments").body("restore");
        assert_eq!(of_party, json!({"issuer": "i", "subject": "s", "client_id": "c", "restore": ["a"]}));
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        let lines: [&[&str]; 7] = [
            &[],
            &["5d41"],
            &["--scope", "a"],
            &["--issuer", "i", "--scope", "a"],
            &["--subject", "s", "--scope", "a"],
            &["--issuer", "i", "--client", "c", "--scope", "a"],
            &["5d41", "--issuer", "i", "--subject", "s", "--scope", "a"],
        ];
        for line in lines {
            assert!(party(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn what_is_taken_is_said() {
        assert_eq!(taken(&json!({"removed": ["a", "b"]})), "taken from it now: `a`, `b`");
        assert_eq!(taken(&json!({"removed": []})), "nothing is taken from it any more");
        assert_eq!(
            taken(&json!({"removed": [], "signalled": {"okta": ["c"]}})),
            "no operator takes anything from it any more, only c (signal of okta)"
        );
        assert_eq!(
            taken(&json!({"removed": ["a"], "signalled": {"okta": ["c"]}})),
            "taken from it now: `a`, only c (signal of okta)"
        );
    }
}
