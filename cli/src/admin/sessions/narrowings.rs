//! `portcullis sessions narrowings`: what is taken from the scopes of parties.

use super::json_text;
use crate::{
    admin::{client::Path, connection::Connection, pages, plain::clipped, table::List, when},
    exit::{Exit, Outcome},
    output::{self, Format},
};
use anstyle::Style;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The longest cell, in characters.
const CELL_CHARS_MAX: usize = 200;

const EXAMPLES: &str = "\
Examples:
  portcullis sessions narrowings
  portcullis sessions narrowings --output json | jq -r '.narrowings[].subject'";

/// List the scopes that have been taken from subjects, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let mut narrowings = pages::all(&self.service.client()?, &Path::new("/v1/narrowings"), "narrowings")?;
        pages::newest_first(&mut narrowings, "made_at");
        match self.output {
            Format::Json => output::write(json_text(&json!({"narrowings": narrowings}))?)?,
            Format::Text if narrowings.is_empty() => {
                output::message("no scopes are taken from anybody");
                return Ok(Exit::Done);
            }
            Format::Text => output::write_styled(&table(&narrowings, Timestamp::now()).text(true))?,
        };
        Ok(Exit::Done)
    }
}

fn table(narrowings: &[Value], now: Timestamp) -> List {
    let mut list = List::new(&["SUBJECT", "CLIENT", "ISSUER", "SCOPES", "MADE", "REASON"], &[0, 1, 2, 3, 5]);
    for narrowing in narrowings {
        let text = |key: &str| narrowing.get(key).and_then(Value::as_str);
        let cell = |key: &str, other: &str| clipped(text(key).unwrap_or(other), CELL_CHARS_MAX);
        list.row(
            Style::new(),
            vec![
                cell("subject", "-"),
                cell("client_id", "every"),
                cell("issuer", "-"),
                scopes(narrowing),
                text("made_at").map_or_else(|| "-".to_owned(), |at| when::short(at, now)),
                cell("reason", "-"),
            ],
        );
    }
    list
}

/// A narrowing of a session's party: `without orders:write, 2026-11-21 20:38:02Z (2h ago): ticket 4711`.
pub(super) fn words(narrowing: &Value, now: Timestamp) -> String {
    let text = |key: &str| narrowing.get(key).and_then(Value::as_str);
    let whose = if text("client_id").is_none() && text("key").is_none() { ", with every client" } else { "" };
    let made = text("made_at").map(|at| format!(", {}", when::both(at, now))).unwrap_or_default();
    let by = text("by").map(|by| format!(" by {}", clipped(by, CELL_CHARS_MAX))).unwrap_or_default();
    let why = text("reason").map(|why| format!(": {}", clipped(why, CELL_CHARS_MAX))).unwrap_or_default();
    format!("{}{whose}{made}{by}{why}", scopes(narrowing))
}

/// `orders:read only, without admin`
fn scopes(narrowing: &Value) -> String {
    let list = |key: &str| {
        let scopes = narrowing.get(key).and_then(Value::as_array)?.iter().filter_map(Value::as_str);
        Some(clipped(&scopes.collect::<Vec<_>>().join(" "), CELL_CHARS_MAX))
    };
    let only = list("scopes").map(|scopes| match scopes.is_empty() {
        true => "none".to_owned(),
        false => format!("only {scopes}"),
    });
    let without = list("removed").filter(|scopes| !scopes.is_empty()).map(|scopes| format!("without {scopes}"));
    only.into_iter().chain(without).chain(signalled(narrowing)).collect::<Vec<_>>().join(", ")
}

/// What signals have left, one for each transmitter: `only orders:read (signal of okta)`.
pub(super) fn signalled(narrowing: &Value) -> Vec<String> {
    let by = narrowing.get("signalled").and_then(Value::as_object).into_iter().flatten();
    let words = |(transmitter, left): (&String, &Value)| {
        let left = left.as_array()?.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
        let left = if left.is_empty() { "none".to_owned() } else { format!("only {}", clipped(&left, CELL_CHARS_MAX)) };
        Some(format!("{left} (signal of {})", clipped(transmitter, CELL_CHARS_MAX)))
    };
    by.filter_map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_fits_80_columns_however_long_its_names_are() {
        let now = "2026-11-21T20:40:02Z".parse().expect("an instant");
        let long = json!({
            "subject": "0f64f0ff-2b9b-4d6e-8b8e-0b5c0f8cf7a1", "client_id": "c".repeat(72),
            "issuer": "https://id.example.com/realms/shop", "removed": ["orders:write", "customers:read"],
            "made_at": "2026-11-21T20:38:02Z", "reason": "ticket 4711",
        });
        let text = anstream::adapter::strip_str(&table(&[long], now).text(true)).to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("2m ago") && text.contains("ccc") && text.contains('…'), "{text}");
    }

    #[test]
    fn what_is_left_and_what_is_taken_is_said() {
        for (narrowing, expected) in [
            (json!({"removed": ["a", "b"]}), "without a b"),
            (json!({"scopes": ["c"], "removed": []}), "only c"),
            (json!({"scopes": [], "removed": ["a"]}), "none, without a"),
            (json!({"signalled": {"okta\u{1b}": ["c", "d"]}}), "only c d (signal of okta\\u{1b})"),
            (
                json!({"removed": ["a"], "signalled": {"okta": ["c"], "risk": []}}),
                "without a, only c (signal of okta), none (signal of risk)",
            ),
        ] {
            assert_eq!(scopes(&narrowing), expected);
        }
        let now = "2026-11-21T20:40:02Z".parse().expect("an instant");
        let made = json!({"removed": ["a"], "made_at": "2026-11-21T20:38:02Z", "reason": "ticket 4711"});
        assert_eq!(words(&made, now), "without a, with every client, 2026-11-21 20:38:02Z (2m ago): ticket 4711");
        assert_eq!(words(&json!({"client_id": "web", "removed": ["a"]}), now), "without a", "an older one");
    }
}
