//! `portcullis signals held`: the signals that wait for an operator, because too many came at once.

use crate::{
    admin::{
        client::{Client, Path},
        connection::Connection,
        pages,
        party_rules::{cell, id_cell, text},
        plain::{clipped, plain},
        sessions::json_text,
        table::List,
        when,
    },
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use anstyle::Style;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Where they are listed.
pub(super) const PATH: &str = "/v1/signals/held";
/// How many of those that a signal is about are named in a list.
const NAMED_MAX: usize = 2;
/// The longest name in a list, in characters.
const NAME_CHARS_MAX: usize = 64;

const EXAMPLES: &str = "\
A signal is held if its transmitter has sent more signals than `hold_above` allows. ACTIONS is what
`signals release` would do. ABOUT names the first of the subjects, session claims and devices that
the signal is about; JSON has all of them, with their issuers and the transmitter's reason.

Examples:
  portcullis signals held
  portcullis signals held --transmitter okta --output json \\
    | jq -r '.held[] | select(.event == \"logout\") | .id'";

/// List the signals that are held, oldest first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only list signals of this transmitter
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    transmitter: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let transmitter = self.transmitter.as_deref();
        let held = all(&self.service.client()?, transmitter)?;
        match self.output {
            Format::Json => output::write(json_text(&json!({"held": held}))?)?,
            Format::Text if held.is_empty() => {
                output::message(&none(transmitter));
                return Ok(Exit::Done);
            }
            Format::Text => output::write_styled(&table(&held, Timestamp::now()).text(true))?,
        };
        Ok(Exit::Done)
    }
}

/// All held signals, or those of a transmitter, the oldest first.
pub(super) fn all(client: &Client, transmitter: Option<&str>) -> Result<Vec<Value>, Error> {
    pages::all(client, &Path::new(PATH).parameter("transmitter", transmitter), "held")
}

/// That nothing is held.
pub(super) fn none(transmitter: Option<&str>) -> String {
    match transmitter {
        Some(name) => format!("no signals of `{}` are held", plain(name)),
        None => "no signals are held".to_owned(),
    }
}

fn table(held: &[Value], now: Timestamp) -> List {
    let mut list = List::new(&["ID", "TRANSMITTER", "EVENT", "ACTIONS", "ABOUT", "RECEIVED"], &[1, 2, 3, 4]);
    for of in held {
        let actions: Vec<_> = entries(of, "actions").filter_map(Value::as_str).map(plain).collect();
        let received = when::short(text(of, "received_at"), now);
        let cells =
            vec![id_cell(of), cell(of, "transmitter"), cell(of, "event"), actions.join(" "), about(of), received];
        list.row(Style::new(), cells);
    }
    list
}

/// Those that a signal is about: `subject alice, sid 5d41 +3`.
pub(super) fn about(of: &Value) -> String {
    let lists = [("users", "subject"), ("sids", "sid"), ("devices", "device")];
    let mut names = Vec::new();
    for (list, kind) in lists {
        for entry in entries(of, list) {
            let name = format!("{kind} {}", clipped(text(entry, kind), NAME_CHARS_MAX));
            // The same name at several issuers is one to the reader.
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let named = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        // Nobody is known by it now.
        _ if names.is_empty() && of.get("emails").is_some() => "an e-mail address".to_owned(),
        _ if names.is_empty() => "-".to_owned(),
        0 => named,
        more => format!("{named} +{more}"),
    }
}

fn entries<'v>(of: &'v Value, list: &str) -> impl Iterator<Item = &'v Value> {
    of.get(list).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_about_users_session_claims_and_devices() {
        for (of, expected) in [
            (json!({}), "-"),
            (json!({"users": []}), "-"),
            (json!({"users": [], "emails": 1}), "an e-mail address"),
            (json!({"users": [{"issuer": "i", "subject": "a\u{1b}"}]}), "subject a\\u{1b}"),
            (json!({"users": [{"issuer": "i", "subject": "a"}, {"issuer": "j", "subject": "a"}]}), "subject a"),
            (
                json!({"users": [{"issuer": "i", "subject": "a"}], "sids": [{"issuer": "i", "sid": "s"}]}),
                "subject a, sid s",
            ),
            (
                json!({
                    "users": [{"issuer": "i", "subject": "a"}],
                    "sids": [{"issuer": "i", "sid": "s"}, {"issuer": "i", "sid": "t"}],
                    "devices": [{"issuer": "i", "device": "d"}],
                }),
                "subject a, sid s +2",
            ),
        ] {
            assert_eq!(about(&of), expected, "{of}");
        }
    }

    #[test]
    fn a_list_fits_eighty_columns() {
        let long = "https://id.example.com/events/".repeat(4);
        let held = [json!({
            "id": "687e64ce5abca157", "transmitter": long, "event": long, "actions": ["block", "end"],
            "users": [{"issuer": "i", "subject": long}], "received_at": "2026-11-26T11:30:00Z",
        })];
        let shown = table(&held, "2026-11-26T12:00:00Z".parse().expect("an instant")).text(true);
        let shown = anstream::adapter::strip_str(&shown).to_string();
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.contains("687e64ce5abc  ") && shown.contains("30m ago"), "{shown}");
    }
}
