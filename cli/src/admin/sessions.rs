//! `portcullis sessions …`: list, show, narrow and revoke sessions.

pub(super) mod id;
mod list;
mod narrow;
mod narrowings;
mod view;

use super::{
    client::{Client, Failure, Path},
    connection::Connection,
    history::History,
    plain,
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use clap::{Subcommand, builder::NonEmptyStringValueParser};
use jiff::Timestamp;
use serde_json::{Value, json};
use view::Session;

const SHOW_EXAMPLES: &str = "\
A session whose subject, client or `sid` is blocked is shown as `blocked`, with its state behind it:
a block ends no session. `blocks delete` lifts a block, and the session then continues as before.

Examples:
  portcullis sessions show 5d41402abc4b
  portcullis sessions show 5d41402abc4b2a76b9719d911017c592 --output json | jq -r .expires_at";

const REVOKE_EXAMPLES: &str = "\
Once this command succeeds, no request that reaches Envoy afterwards is released for the session on
routes with `on_outage: deny`. A later login, or a newer token of a machine client, can open the
session again.
A complete id that the service has not seen yet is revoked as well: its first token will be refused.

Examples:
  portcullis sessions revoke 5d41402abc4b2a76b9719d911017c592 --reason 'lost laptop, ticket 4711'";

/// A command on sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List sessions, newest first
    List(list::Args),
    /// Show everything known about a session, and what has happened to it
    Show(Show),
    /// Revoke a session
    Revoke(Revoke),
    /// Take scopes from a session's subject and client
    Narrow(narrow::Narrow),
    /// Give scopes back to a session's subject and client
    Restore(narrow::Restore),
    /// List the scopes that have been taken from subjects, newest first
    Narrowings(narrowings::Args),
}

/// Show everything known about a session, and what has happened to it
#[derive(Debug, clap::Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct Show {
    /// Session id, as in `sessions list`, the access log and the audit log, or its first digits
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Revoke a session
#[derive(Debug, clap::Args)]
#[command(after_help = REVOKE_EXAMPLES)]
pub(crate) struct Revoke {
    /// Session id, as in `sessions list`, the access log and the audit log, or its first digits
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// Reason to record in the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
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
            Self::Show(args) => args.run(),
            Self::Revoke(args) => args.run(),
            Self::Narrow(args) => args.run(),
            Self::Restore(args) => args.run(),
            Self::Narrowings(args) => args.run(),
        }
    }
}

impl Show {
    fn run(self) -> Outcome {
        let client = self.service.client()?;
        let id = id::resolve(&client, &self.id)?;
        let mut session: Value = client.get(&Path::new("/v1/sessions").segment(&id))?;
        let mut history = History::read(&client, &id)?;
        let text = match self.output {
            Format::Json => {
                if let Some(members) = session.as_object_mut() {
                    members.insert("events".to_owned(), history.events.into());
                    members.insert("held_since".to_owned(), history.held_since.into());
                }
                json_text(&session)?
            }
            Format::Text => {
                let (session, now) = (Session::of(session)?, Timestamp::now());
                history.add_blocks(&session.blocks);
                session.details(now) + "history\n" + &history.text(now)
            }
        };
        output::write(&text)?;
        Ok(Exit::Done)
    }
}

impl Revoke {
    fn run(self) -> Outcome {
        let client = self.service.client()?;
        let path = Path::new("/v1/sessions").segment(&id::resolve(&client, &self.id)?).segment("revoke");
        let body = self.reason.map_or_else(|| json!({}), |reason| json!({"reason": reason}));
        let session: Value = client.post(&path, &body)?;
        let text = match self.output {
            Format::Json => json_text(&session)?,
            Format::Text if session.get("known") == Some(&json!(false)) => unseen(&session) + &waited(&client),
            Format::Text => Session::of(session)?.revoked(Timestamp::now()) + &waited(&client),
        };
        output::write(&text)?;
        Ok(Exit::Done)
    }
}

/// That the service has waited for filters, if it has.
fn waited(client: &Client) -> String {
    match client.waited_ms() {
        0 => String::new(),
        ms => format!("waited {ms} ms until no filter could decide by a lease any more\n"),
    }
}

/// The result of revoking an id that no session has had so far.
fn unseen(answer: &Value) -> String {
    let id = plain::plain(answer.get("id").and_then(Value::as_str).unwrap_or("-"));
    format!(
        "session {id}: not seen yet; its first token will be refused\nto take it back, see: portcullis revocations list\n"
    )
}

/// The service's response, for scripts.
pub(super) fn json_text(value: &Value) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::failed(format_args!("{error}")))?;
    Ok(plain::json(&text).into_owned() + "\n")
}

/// The response is not from a Portcullis session service.
pub(super) fn not_a_session(error: &serde_json::Error) -> Failure {
    let why = plain::plain(&error.to_string()).into_owned();
    Failure::lasting(format!("unexpected response: not a session: {why}"))
}
