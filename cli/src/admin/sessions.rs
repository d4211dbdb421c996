//! `portcullis sessions …`: list, show and revoke sessions.

mod list;
mod view;

use super::{
    client::{Failure, Path},
    connection::Connection,
    plain,
};
use crate::{
    exit::{Exit, Outcome, Trouble},
    output::{self, Format},
};
use clap::{Subcommand, builder::NonEmptyStringValueParser};
use jiff::Timestamp;
use serde_json::{Value, json};
use view::Session;

const SHOW_EXAMPLES: &str = "\
Examples:
  portcullis sessions show 5d41402abc4b2a76b9719d911017c592
  portcullis sessions show 5d41402abc4b2a76b9719d911017c592 --output json | jq -r .expires_at";

const REVOKE_EXAMPLES: &str = "\
Once this command is done, no request that reaches Envoy afterwards is released for the session.

Examples:
  portcullis sessions revoke 5d41402abc4b2a76b9719d911017c592 --reason 'lost laptop, ticket 4711'";

/// A command that works on sessions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List sessions
    List(list::Args),
    /// Show everything that is known of a session
    Show(Show),
    /// End a session at once and for good
    Revoke(Revoke),
}

/// Show everything that is known of a session
#[derive(Debug, clap::Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub struct Show {
    /// The session's id, as `sessions list`, the access log and the audit say it
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// End a session at once and for good
#[derive(Debug, clap::Args)]
#[command(after_help = REVOKE_EXAMPLES)]
pub struct Revoke {
    /// The session's id, as `sessions list`, the access log and the audit say it
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Command {
    /// Does what was asked.
    pub fn run(self) -> Outcome {
        match self {
            Self::List(args) => args.run(),
            Self::Show(args) => args.run(),
            Self::Revoke(args) => args.run(),
        }
    }
}

impl Show {
    fn run(self) -> Outcome {
        let path = Path::new("/v1/sessions").segment(&self.id);
        let session: Value = self.service.client()?.get(&path)?;
        let text = match self.output {
            Format::Json => json_text(&session)?,
            Format::Text => Session::of(session)?.details(Timestamp::now()),
        };
        output::write(&text)?;
        Ok(Exit::Done)
    }
}

impl Revoke {
    fn run(self) -> Outcome {
        let path = Path::new("/v1/sessions").segment(&self.id).segment("revoke");
        let body = self.reason.map_or_else(|| json!({}), |reason| json!({"reason": reason}));
        let session: Value = self.service.client()?.post(&path, &body)?;
        let text = match self.output {
            Format::Json => json_text(&session)?,
            Format::Text => Session::of(session)?.farewell(Timestamp::now()),
        };
        output::write(&text)?;
        Ok(Exit::Done)
    }
}

/// What the service answered, for scripts.
pub(super) fn json_text(value: &Value) -> Result<String, Trouble> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Trouble::failed(format_args!("{error}")))?;
    Ok(plain::json(&text).into_owned() + "\n")
}

/// The answer of a service that is not one of ours.
fn not_a_session(error: &serde_json::Error) -> Failure {
    let why = plain::plain(&error.to_string()).into_owned();
    Failure { message: format!("the answer is not a session: {why}"), may_pass: false }
}
