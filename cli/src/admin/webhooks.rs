//! `portcullis webhooks …`: what webhooks were not told.

use super::{
    client::Path,
    connection::Connection,
    pages,
    party_rules::{cell, text},
    sessions::json_text,
    table::List,
    when,
};
use crate::{
    exit::{Exit, Outcome},
    output::{self, Format},
};
use anstyle::Style;
use clap::{Subcommand, builder::NonEmptyStringValueParser};
use jiff::Timestamp;
use serde_json::{Value, json};

/// What the types of messages begin with.
const TYPE_PREFIX: &str = "portcullis.";

/// The digits of a request's id in a list, as in `access list`.
const REQUEST_DIGITS: usize = 12;

const EXAMPLES: &str = "\
A message is tried again for about a day, and then given up. ATTEMPTS is how often it was tried,
and NEXT when it is tried again. A checkpoint of the audit log is about no request.

Examples:
  portcullis webhooks undelivered
  portcullis webhooks undelivered --output json | jq '.undelivered[] | select(.given_up)'";

/// A command on webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the messages that webhooks did not take, the newest first
    Undelivered(Args),
}

/// List the messages that webhooks did not take, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only list messages to this webhook
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    webhook: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        let Self::Undelivered(args) = self;
        args.run()
    }
}

impl Args {
    fn run(self) -> Outcome {
        let mut messages: Vec<Value> =
            pages::all(&self.service.client()?, &Path::new("/v1/webhooks/undelivered"), "undelivered")?;
        messages.retain(|message| self.webhook.as_ref().is_none_or(|webhook| text(message, "webhook") == webhook));
        match self.output {
            Format::Json => output::write(json_text(&json!({"undelivered": messages}))?)?,
            Format::Text if messages.is_empty() => {
                output::message("every message was delivered");
                return Ok(Exit::Done);
            }
            Format::Text => output::write_styled(&table(&messages, Timestamp::now()).text(true))?,
        };
        Ok(Exit::Done)
    }
}

fn table(messages: &[Value], now: Timestamp) -> List {
    let mut list = List::new(&["WEBHOOK", "EVENT", "REQUEST", "SINCE", "ATTEMPTS", "NEXT", "ERROR"], &[0, 6]);
    for message in messages {
        let next = match message.get("given_up").and_then(Value::as_bool) {
            Some(true) => "given up".to_owned(),
            Some(false) | None => when::short(text(message, "next_attempt_at"), now),
        };
        let event = cell(message, "type");
        let request: String = cell(message, "request").chars().take(REQUEST_DIGITS).collect();
        let cells = vec![
            cell(message, "webhook"),
            event.strip_prefix(TYPE_PREFIX).unwrap_or(&event).to_owned(),
            if request.is_empty() { "-".to_owned() } else { request },
            when::short(text(message, "timestamp"), now),
            message.get("attempts").and_then(Value::as_u64).unwrap_or_default().to_string(),
            next,
            cell(message, "error"),
        ];
        list.row(Style::new(), cells);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_row_with_when_it_is_tried_again() {
        let messages = [
            json!({
                "id": "1", "webhook": "ops", "type": "portcullis.grant_ended", "request": "019abc7e64ce5abca15772c27966e0b8",
                "timestamp": "2026-11-21T10:00:00Z", "attempts": 3, "next_attempt_at": "2026-11-21T12:05:00Z",
                "given_up": false, "error": "it answered 500",
            }),
            json!({
                "id": "2", "webhook": "\u{1b}", "type": "portcullis.audit_checkpoint", "timestamp": "2026-11-20T12:00:00Z",
                "attempts": 33, "given_up": true,
            }),
        ];
        let now = "2026-11-21T12:00:00Z".parse().expect("an instant");
        let text = anstream::adapter::strip_str(&table(&messages, now).text(true)).to_string();
        let lines: Vec<&str> = text.lines().collect();
        for part in ["ops", "grant_ended", "019abc7e64ce", "2h ago", "3", "in 5m", "it answe"] {
            assert!(lines[1].contains(part), "{part}: {text}");
        }
        assert!(!lines[1].contains("019abc7e64ce5"), "{text}");
        for part in ["audit_checkpoint", "-", "1d ago", "33", "given up"] {
            assert!(lines[2].contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
