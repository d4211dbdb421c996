//! `portcullis attributes …`: facts about sessions, subjects and devices, which scripts and risk engines state.

mod holder;
mod value;

use super::{
    connection::Connection,
    party_rules::{cell, text},
    plain::plain,
    sessions::json_text,
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
use holder::Holder;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The longest value, in characters. JSON has values in full.
const VALUE_CHARS_MAX: usize = 200;

const LIST_EXAMPLES: &str = "\
SOURCE is `admin`, or the transmitter whose signal set the attribute. Text that looks like a number
or a boolean is in quotation marks. `portcullis sessions show` lists all attributes that hold for a
session, including those of its subject.

Examples:
  portcullis attributes list --session 5d41402abc4b
  portcullis attributes list --subject alice --issuer https://id.example.com --output json \\
    | jq -r '.attributes[].name'";

const SET_EXAMPLES: &str = "\
`true` and `false` are booleans, anything that is a number in JSON is a number, and everything else
is text. With --text, any value is text. If several have the same name, the attribute of a session
takes precedence over that of its subject. Without --for and --until, the attribute stays until it
is deleted.

Examples:
  portcullis attributes set --session 5d41402abc4b risk high --for 1h
  portcullis attributes set --device 7f3a --issuer https://id.example.com compliant false
  portcullis attributes set --subject alice --issuer https://id.example.com badge 4711 --text";

const DELETE_EXAMPLES: &str = "\
Examples:
  portcullis attributes delete --session 5d41402abc4b risk";

/// A command on attributes.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the attributes of a session, a subject or a device
    List(Listing),
    /// Set an attribute
    Set(Set),
    /// Delete an attribute
    Delete(Delete),
}

/// List the attributes of a session, a subject or a device
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct Listing {
    #[command(flatten)]
    holder: Holder,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Set an attribute
#[derive(Debug, clap::Args)]
#[command(after_help = SET_EXAMPLES)]
pub(crate) struct Set {
    #[command(flatten)]
    holder: Holder,
    /// Name of the attribute
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Value of the attribute
    #[arg(allow_negative_numbers = true)]
    value: String,
    /// Treat the value as text, whatever it looks like
    #[arg(long)]
    text: bool,
    /// How long the attribute holds, such as `1h`
    #[arg(long = "for", value_name = "DURATION", value_parser = after_now, conflicts_with = "until")]
    duration: Option<Timestamp>,
    /// Instant until which the attribute holds (RFC 3339)
    #[arg(long, value_name = "INSTANT", value_parser = when::instant)]
    until: Option<Timestamp>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Delete an attribute
#[derive(Debug, clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub(crate) struct Delete {
    #[command(flatten)]
    holder: Holder,
    /// Name of the attribute, as in `attributes list`
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
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
            Self::Set(args) => args.run(),
            Self::Delete(args) => args.run(),
        }
    }
}

impl Listing {
    fn run(self) -> Outcome {
        let client = self.service.client()?;
        let place = self.holder.place(&client)?;
        let answer: Value = client.get(&place.path(None))?;
        let Some(Value::Array(attributes)) = answer.get("attributes") else {
            return Err(Error::failed("unexpected response: it has no `attributes`"));
        };
        match self.output {
            Format::Json => output::write(json_text(&answer)?)?,
            Format::Text if attributes.is_empty() => {
                output::message(&format!("{} has no attributes", place.words()));
                return Ok(Exit::Done);
            }
            Format::Text => output::write_styled(&table(attributes, Timestamp::now()).text(true))?,
        };
        Ok(Exit::Done)
    }
}

impl Set {
    fn run(self) -> Outcome {
        let body = self.body()?;
        let client = self.service.client()?;
        let place = self.holder.place(&client)?;
        let answer: Value = client.put(&place.path(Some(&self.name)), &body)?;
        let value = shown(&answer)?;
        output::write(match self.output {
            Format::Json => json_text(&answer)?,
            Format::Text => {
                let until = until(&answer, Timestamp::now());
                format!("`{}` of {} is `{value}`{until}\n", plain(text(&answer, "name")), place.words())
            }
        })?;
        Ok(Exit::Done)
    }

    fn body(&self) -> Result<Value, Error> {
        let value = if self.text { self.value.as_str().into() } else { value::read(&self.value)? };
        let end = self.duration.or(self.until).map(|instant| Value::from(instant.to_string()));
        let members = [("value", Some(value)), ("expires_at", end)];
        let members = members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Ok(Value::Object(members.collect::<Map<_, _>>()))
    }
}

impl Delete {
    fn run(self) -> Outcome {
        let client = self.service.client()?;
        let place = self.holder.place(&client)?;
        let answer: Value = client.delete(&place.path(Some(&self.name)))?;
        let value = shown(&answer)?;
        output::write(match self.output {
            Format::Json => json_text(&answer)?,
            Format::Text => {
                let set = set_by(&answer, Timestamp::now());
                format!("`{}` of {} is deleted; it was `{value}`, {set}\n", plain(text(&answer, "name")), place.words())
            }
        })?;
        Ok(Exit::Done)
    }
}

/// An attribute of a session in words: `risk is high, of the device, set by okta 2026-11-21 20:38:02Z (2h ago)`.
pub(super) fn words(attribute: &Value, now: Timestamp) -> String {
    let value = shown(attribute).unwrap_or_else(|_| "-".to_owned());
    let [name, of] = ["name", "of"].map(|key| plain(text(attribute, key)));
    format!("{name} is {value}, of the {of}, {}{}", set_by(attribute, now), until(attribute, now))
}

fn after_now(text: &str) -> Result<Timestamp, String> {
    when::after(text, Timestamp::now()).ok_or_else(|| "expected a duration such as `30m` or `8h`".to_owned())
}

fn shown(attribute: &Value) -> Result<String, Error> {
    let value = attribute.get("value").ok_or_else(|| Error::failed("unexpected response: not an attribute"))?;
    Ok(value::shown(value, VALUE_CHARS_MAX))
}

fn set_by(attribute: &Value, now: Timestamp) -> String {
    format!("set by {} {}", plain(text(attribute, "source")), when::both(text(attribute, "set_at"), now))
}

fn until(attribute: &Value, now: Timestamp) -> String {
    match text(attribute, "expires_at") {
        "" => String::new(),
        end => format!(", until {}", when::both(end, now)),
    }
}

fn table(attributes: &[Value], now: Timestamp) -> List {
    let mut list = List::new(&["NAME", "VALUE", "SOURCE", "SET", "EXPIRES"], &[0, 1, 2]);
    for of in attributes {
        let end = match text(of, "expires_at") {
            "" => "never".to_owned(),
            end => when::short(end, now),
        };
        let value = shown(of).unwrap_or_else(|_| "-".to_owned());
        let set = when::short(text(of, "set_at"), now);
        list.row(Style::new(), vec![cell(of, "name"), value, cell(of, "source"), set, end]);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Set,
    }

    fn set(line: &[&str]) -> Option<Set> {
        let line = ["set", "--session", "5d41"].iter().chain(line);
        Line::try_parse_from(line).ok().map(|line| line.args)
    }

    fn now() -> Timestamp {
        "2026-11-26T12:00:00Z".parse().expect("an instant")
    }

    #[test]
    fn the_body_is_what_was_given() {
        let body = |line: &[&str]| set(line).expect("arguments").body().expect("a value");
        assert_eq!(body(&["risk", "high"]), json!({"value": "high"}));
        assert_eq!(body(&["managed", "true"]), json!({"value": true}));
        assert_eq!(body(&["score", "-3"]), json!({"value": -3}));
        assert_eq!(body(&["badge", "4711", "--text"]), json!({"value": "4711"}));
        assert_eq!(
            body(&["risk", "high", "--until", "2026-11-26T13:00:00+01:00"]),
            json!({"value": "high", "expires_at": "2026-11-26T12:00:00Z"})
        );
        let end = body(&["risk", "high", "--for", "1h"])["expires_at"].as_str().and_then(|end| end.parse().ok());
        let end: Timestamp = end.expect("an instant");
        let seconds = end.as_second() - Timestamp::now().as_second();
        assert!((3_590..=3_600).contains(&seconds), "{seconds}");
        assert!(set(&["id", "18446744073709551616"]).expect("arguments").body().is_err());
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        let lines: [&[&str]; 7] = [
            &[],
            &["risk"],
            &["", "high"],
            &["risk", "high", "--for", "soon"],
            &["risk", "high", "--for", "0s"],
            &["risk", "high", "--until", "1h"],
            &["risk", "high", "--for", "1h", "--until", "2026-11-26T13:00:00Z"],
        ];
        for line in lines {
            assert!(set(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn a_list_fits_eighty_columns() {
        let long = "a".repeat(300);
        let attributes = [json!({"name": long, "value": long, "source": long, "set_at": "2026-11-26T11:30:00Z"})];
        let shown = anstream::adapter::strip_str(&table(&attributes, now()).text(true)).to_string();
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.contains("30m ago  never"), "{shown}");
    }

    #[test]
    fn an_attribute_says_whose_it_is_who_set_it_and_until_when() {
        let of = json!({
            "name": "risk", "value": "high\u{1b}", "source": "okta", "of": "device", "set_at": "2026-11-26T11:58:00Z",
            "expires_at": "2026-11-26T13:00:00Z",
        });
        assert_eq!(
            words(&of, now()),
            "risk is high\\u{1b}, of the device, set by okta 2026-11-26 11:58:00Z (2m ago), until 2026-11-26 13:00:00Z (in 1h)"
        );
    }
}
