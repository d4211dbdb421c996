//! Requests for access: listed, shown, and found by the first digits of their ids.

use crate::{
    admin::{
        client::{Client, Path},
        connection::Connection,
        pages,
        party_rules::{cell, id_cell, text},
        plain::plain,
        sessions::{id::PREFIX_MIN, json_text},
        table::List,
        when,
    },
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use anstyle::Style;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write;

/// Where requests are.
pub(super) const REQUESTS: &str = "/v1/requests";

const STATES: [&str; 5] = ["pending", "approved", "denied", "expired", "cancelled"];

const LIST_EXAMPLES: &str = "\
Examples:
  portcullis access list --state pending
  portcullis access list --output json | jq -r '.requests[] | select(.review == \"open\") | .id'";

/// List requests for access, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct Listing {
    /// Only list requests in this state
    #[arg(long, value_parser = PossibleValuesParser::new(STATES))]
    state: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Show a request for access
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// The digits of a whole id.
const ID_LENGTH: usize = 32;

/// A request that a command is about.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Id of the request, as in `access list`, or its first digits
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

impl Which {
    /// Its id. A whole one is not looked up: who decides need not be somebody who may see all requests.
    pub(super) fn id(&self, client: &Client) -> Result<String, Error> {
        match self.id.len() {
            ID_LENGTH => Ok(self.id.clone()),
            _ => self.find(client).map(|request| text(&request, "id").to_owned()),
        }
    }

    /// The request.
    pub(super) fn find(&self, client: &Client) -> Result<Value, Error> {
        let given = plain(&self.id);
        if self.id.len() < PREFIX_MIN {
            let message = format_args!("`{given}` is too short: write at least {PREFIX_MIN} digits of the id");
            return Err(Error::invalid(message));
        }
        let mut found = pages::all(client, &Path::new(REQUESTS), "requests")?;
        found.retain(|request| text(request, "id").starts_with(&self.id));
        match found.len() {
            1 => found.pop().ok_or_else(|| Error::failed("the request is gone")),
            0 => Err(Error::failed(format_args!("there is no request whose id begins with `{given}`"))),
            _ => Err(Error::invalid(format_args!("several requests have an id that begins with `{given}`"))),
        }
    }
}

impl Listing {
    pub(super) fn run(self) -> Outcome {
        let path = Path::new(REQUESTS).parameter("state", self.state.as_deref());
        let requests = pages::all(&self.service.client()?, &path, "requests")?;
        match self.output {
            Format::Json => {
                output::write(json_text(&json!({"requests": requests}))?)?;
            }
            Format::Text if requests.is_empty() => output::message("there are no such requests"),
            Format::Text => {
                output::write_styled(&table(&requests, Timestamp::now()).text(true))?;
            }
        }
        Ok(Exit::Done)
    }
}

impl Show {
    pub(super) fn run(self) -> Outcome {
        let request = self.which.find(&self.service.client()?)?;
        print(&request, self.output)?;
        Ok(Exit::Done)
    }
}

/// Prints a request.
pub(super) fn print(request: &Value, output: Format) -> Result<(), Error> {
    output::write(match output {
        Format::Json => json_text(request)?,
        Format::Text => words(request, Timestamp::now()),
    })?;
    Ok(())
}

fn scopes(request: &Value) -> String {
    let list = request["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    list.map(plain).collect::<Vec<_>>().join(" ")
}

/// When it no longer holds or waits.
fn until(request: &Value, now: Timestamp) -> String {
    let grant = &request["grant"];
    match (text(request, "state"), text(grant, "state"), text(grant, "until")) {
        ("pending", ..) => when::short(text(request, "expires_at"), now),
        (_, "live", "") => "with its session".to_owned(),
        (_, "live", until) if grant["once"] == true => format!("once, {}", when::short(until, now)),
        (_, "live", until) => when::short(until, now),
        (_, "used", _) => "used".to_owned(),
        (_, "ended", _) => "ended".to_owned(),
        _ => "-".to_owned(),
    }
}

fn table(requests: &[Value], now: Timestamp) -> List {
    let mut list = List::new(&["ID", "STATE", "REQUESTER", "SUBJECT", "SCOPES", "UNTIL", "REASON"], &[2, 3, 6]);
    for request in requests {
        let state = match text(request, "review") {
            // It was approved by nobody, and somebody has to look at it.
            "open" => "review open".to_owned(),
            _ => cell(request, "state"),
        };
        let cells = vec![
            id_cell(request),
            state,
            cell(request, "requester"),
            cell(request, "subject"),
            scopes(request),
            until(request, now),
            cell(request, "reason"),
        ];
        list.row(Style::new(), cells);
    }
    list
}

fn words(request: &Value, now: Timestamp) -> String {
    let mut lines = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{name:<10} {value}");
        }
    };
    let of = |key: &str| plain(text(request, key)).into_owned();
    line("request", of("id"));
    line("state", of("state"));
    line("requester", of("requester"));
    line("session", of("session"));
    line("subject", of("subject"));
    line("scopes", scopes(request));
    line("duration", of("duration"));
    line("reason", of("reason"));
    line("ticket", of("ticket"));
    line("rule", of("rule"));
    line("until", until(request, now));
    for step in request["steps"].as_array().into_iter().flatten() {
        let deed = match (step["approved"] == true, step["once"] == true) {
            (true, true) => "approved once by",
            (true, false) => "approved by",
            (false, _) => "denied by",
        };
        let comment = match text(step, "comment") {
            "" => String::new(),
            comment => format!(": {}", plain(comment)),
        };
        line("step", format!("{deed} {}{comment}", plain(text(step, "by"))));
    }
    line("grant", plain(text(&request["grant"], "id")).into_owned());
    line("used", plain(text(&request["grant"], "used_at")).into_owned());
    line("route", plain(text(&request["grant"], "route")).into_owned());
    line("ended", plain(text(&request["grant"], "reason")).into_owned());
    line("review", of("review"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().expect("an instant")
    }

    fn request() -> Value {
        json!({
            "id": "019abc7e64ce5abca15772c27966e0b8", "state": "approved", "requester": "rita", "subject": "a\u{1b}",
            "session": "5d41", "scopes": ["prod:admin"], "reason": "r", "duration": "1h", "rule": "prod",
            "steps": [{"by": "ben", "approved": true, "comment": "fine"}],
            "grant": {"id": "7", "state": "live", "until": "2026-11-21T14:03:00Z"}, "review": "open",
        })
    }

    #[test]
    fn a_list_names_who_asks_for_what_and_until_when() {
        let text = table(&[request()], now()).text(true).to_string();
        for part in ["019abc7e64ce", "review open", "rita", "a\\u{1b}", "prod:admin", "in 2h"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_request_is_shown_with_its_steps() {
        let text = words(&request(), now());
        for line in ["requester  rita\n", "step       approved by ben: fine\n", "review     open\n", "grant      7\n"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("ticket") && !text.contains('\u{1b}'));
    }
}
