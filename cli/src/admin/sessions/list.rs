//! `portcullis sessions list`: follows the pages up to the limit.

use super::view::{Session, list};
use crate::{
    admin::{
        client::{Client, Path},
        connection::Connection,
        plain,
    },
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format, Reader},
};
use clap::{ValueEnum, builder::NonEmptyStringValueParser};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The number of sessions per request.
const PAGE: usize = 500;
/// The default of `--limit`.
const LIMIT: usize = 100;

const EXAMPLES: &str = "\
STATE is `active` or `blocked` (active, but its requests are refused until the block is lifted), or
why the session ended: `idle`, `expired` (its absolute lifetime) or `revoked`. `--state active`
lists the first two, `--state ended` the others.

Examples:
  portcullis sessions list --subject alice --state active
  portcullis sessions list --client batch --all --output json | jq -r '.sessions[].id'";

/// List sessions, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only list sessions of this subject (`sub`)
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    subject: Option<String>,
    /// Only list sessions of this client (`client_id`)
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    client: Option<String>,
    /// Only list sessions in this state
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// List at most this many sessions [default: 100]
    #[arg(long, value_name = "COUNT", conflicts_with = "all", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// List all sessions, without a limit, in the order of their ids
    #[arg(long)]
    all: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// Active sessions, blocked ones included
    Active,
    /// Sessions that were revoked or reached a limit
    Ended,
}

/// The response of the admin API.
#[derive(Debug, Deserialize)]
struct Page {
    sessions: Vec<Value>,
    next: Option<String>,
}

/// How a list ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// Every session was listed; there were this many.
    Complete(usize),
    /// The limit was reached; the rest begins at this cursor.
    Limited(String),
    /// Standard output was closed.
    Unread,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let client = self.service.client()?;
        match self.output {
            Format::Text => {
                let now = Timestamp::now();
                match self.walk(&client, |sessions, is_first| table(sessions, is_first, now))? {
                    End::Complete(0) => output::message("no matching sessions"),
                    End::Limited(_) => output::message("there are more sessions; use `--limit` or `--all`"),
                    End::Complete(_) | End::Unread => {}
                }
            }
            Format::Json => {
                if output::write("{\"sessions\":[")? == Reader::Gone {
                    return Ok(Exit::Done);
                }
                let next = match self.walk(&client, lines)? {
                    End::Complete(_) => String::new(),
                    End::Limited(next) => format!(",\"next\":{}", Value::from(next)),
                    End::Unread => return Ok(Exit::Done),
                };
                output::write(&*plain::json(&format!("\n]{next}}}\n")))?;
            }
        }
        Ok(Exit::Done)
    }

    /// Follows the cursors and prints each page as it arrives: the whole list may not fit in memory.
    fn walk(&self, client: &Client, show: impl Fn(Vec<Value>, bool) -> Result<String, Error>) -> Result<End, Error> {
        let limit = match (self.all, self.limit) {
            (true, _) => usize::MAX,
            (false, limit) => limit.map_or(LIMIT, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        };
        let mut listed: usize = 0;
        let mut cursor: Option<String> = None;
        loop {
            let mut page: Page = client.get(&self.path(cursor.as_deref(), PAGE.min(limit - listed)))?;
            page.sessions.truncate(limit - listed);
            let count = page.sessions.len();
            if count > 0 && output::write_styled(&show(page.sessions, listed == 0)?)? == Reader::Gone {
                return Ok(End::Unread);
            }
            listed += count;
            match page.next {
                None => return Ok(End::Complete(listed)),
                Some(next) if listed >= limit => return Ok(End::Limited(next)),
                // Following a page that leads to itself would never end.
                Some(next) if cursor.as_ref() == Some(&next) => {
                    return Err(Error::failed("the session service returned the same page twice"));
                }
                Some(next) => cursor = Some(next),
            }
        }
    }

    fn path(&self, cursor: Option<&str>, count: usize) -> Path {
        let state = self.state.map(|state| match state {
            State::Active => "active",
            State::Ended => "ended",
        });
        Path::new("/v1/sessions")
            .parameter("subject", self.subject.as_deref())
            .parameter("client_id", self.client.as_deref())
            .parameter("state", state)
            // For each page of the newest, the service reads all sessions.
            .parameter("order", Some(if self.all { "id" } else { "newest" }))
            .parameter("limit", Some(&count.to_string()))
            .parameter("cursor", cursor)
    }
}

/// A page as a table.
fn table(sessions: Vec<Value>, is_first: bool, now: Timestamp) -> Result<String, Error> {
    let mut list = list();
    for session in sessions {
        Session::of(session)?.add_to(&mut list, now);
    }
    Ok(list.text(is_first))
}

/// A page as JSON, one line per session.
fn lines(sessions: Vec<Value>, is_first: bool) -> Result<String, Error> {
    let lines: Vec<_> = sessions.iter().map(|session| plain::json(&session.to_string()).into_owned()).collect();
    let comma = if is_first { "" } else { "," };
    Ok(format!("{comma}\n{}", lines.join(",\n")))
}
