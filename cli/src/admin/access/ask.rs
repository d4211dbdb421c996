//! `portcullis access request`: asks for access, and waits for the decision if that is wanted.

use super::request::{REQUESTS, print};
use crate::{
    admin::{
        client::{Client, Path},
        connection::Connection,
        party_rules::text,
        sessions::id,
    },
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Map, Value};
use std::{thread::sleep, time::Duration};

/// How often it is looked whether somebody has decided.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
With --wait, the exit code is 0 if the request is approved, and 1 if it is denied, cancelled or
expires.

Examples:
  portcullis access request 5d41402abc4b --scope prod:admin --for 30m --reason 'incident 4711'
  portcullis access request 5d41402abc4b --scope prod:admin --for 30m --reason 'ticket 4711' --wait";

/// Ask for scopes in a session that somebody has to approve
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Id of the session, or its first digits
    #[arg(value_name = "SESSION", value_parser = NonEmptyStringValueParser::new())]
    session: String,
    /// A scope to ask for; can be repeated
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = NonEmptyStringValueParser::new())]
    scopes: Vec<String>,
    /// How long the access is needed, such as `30m`
    #[arg(long = "for", value_name = "DURATION", value_parser = NonEmptyStringValueParser::new())]
    duration: String,
    /// Why the access is needed
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// The ticket that the access is for
    #[arg(long)]
    ticket: Option<String>,
    /// Take the access at once in an emergency: others are told, and one of them must review it
    #[arg(long)]
    emergency: bool,
    /// Wait until the request is decided
    #[arg(long)]
    wait: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let client = self.service.client()?;
        let session = id::resolve(&client, &self.session)?;
        let mut asked: Value = client.post(&Path::new(REQUESTS), &self.body(session))?;
        if self.wait {
            if self.output == Format::Text && text(&asked, "state") == "pending" {
                output::message("waiting for the decision");
            }
            asked = decided(&client, asked)?;
        }
        print(&asked, self.output)?;
        let is_granted = matches!(text(&asked, "state"), "approved" | "pending");
        Ok(if is_granted { Exit::Done } else { Exit::Failed })
    }

    fn body(&self, session: String) -> Value {
        let mut body = Map::new();
        body.insert("session".to_owned(), session.into());
        body.insert("scopes".to_owned(), self.scopes.clone().into());
        body.insert("duration".to_owned(), self.duration.clone().into());
        body.insert("reason".to_owned(), self.reason.clone().into());
        body.extend(self.ticket.clone().map(|ticket| ("ticket".to_owned(), ticket.into())));
        if self.emergency {
            body.insert("emergency".to_owned(), true.into());
        }
        Value::Object(body)
    }
}

/// The request once it no longer waits.
fn decided(client: &Client, mut asked: Value) -> Result<Value, Error> {
    while text(&asked, "state") == "pending" {
        sleep(LOOK_EVERY);
        let path = Path::new(REQUESTS).segment(text(&asked, "id"));
        asked = match client.get(&path) {
            Ok(read) => read,
            Err(failure) if failure.may_pass => continue,
            Err(failure) => return Err(failure.into()),
        };
    }
    Ok(asked)
}
