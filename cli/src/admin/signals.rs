//! `portcullis signals …`: the transmitters of signals, and what became of what they sent.

mod decide;
mod held;

use super::{
    client::Path,
    connection::Connection,
    plain::{clipped, plain},
    sessions::json_text,
    table::{List, columns},
    when,
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use anstyle::Style;
use clap::{Subcommand, builder::NonEmptyStringValueParser};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The longest cell of a list, in characters. `show` prints values in full.
const CELL_CHARS_MAX: usize = 64;
/// The counts of a transmitter, as the admin API names them.
const COUNTS: [&str; 5] = ["received", "applied", "unmatched", "ignored", "refused"];
/// The member with the number of signals that are held, as the admin API names it.
const HELD: &str = "held";

const LIST_EXAMPLES: &str = "\
STATE is one of:
  ok         nothing is wrong
  stale      no verification event has arrived for `stale_after`
  no keys    the last fetch of the transmitter's keys has failed
  no polls   the last poll has failed
  no stream  the service manages the stream, and something is wrong with it
  paused     the stream is paused

APPLIED signals affected a live session, UNMATCHED ones did not, IGNORED ones had no effect, and
REFUSED ones were not acknowledged. The counts are those of the replica that answers, since its
start. HELD signals wait for an operator; the column is shown if a transmitter has `hold_above`.

Examples:
  portcullis signals list
  portcullis signals list --output json \\
    | jq -r '.transmitters[] | select(.stale or .keys == \"failing\") | .name'";

const SHOW_EXAMPLES: &str = "\
Examples:
  portcullis signals show keycloak
  portcullis signals show keycloak --output json | jq -r '.last_refusal.reason'";

const VERIFY_EXAMPLES: &str = "\
The event arrives like any other signal: `signals show` has the time of the last one. Some
transmitters refuse if another request was made only a moment ago.

Examples:
  portcullis signals verify keycloak";

const PAUSE_EXAMPLES: &str = "\
The transmitter keeps events that occur in the meantime, if it can, and sends them after
`signals resume`.

Examples:
  portcullis signals pause keycloak --reason 'maintenance until 14:00'";

const RESUME_EXAMPLES: &str = "\
A stream that was deleted is created again. If signals are pushed, the transmitter is sent the
`authorization` to present again: resume the stream after changing it.

Examples:
  portcullis signals resume keycloak";

const DELETE_EXAMPLES: &str = "\
Signals of the transmitter no longer arrive. The service creates a new stream after
`signals resume`, or when one of its replicas restarts.

Examples:
  portcullis signals delete-stream keycloak";

/// A command on the transmitters of signals.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the transmitters of signals (identity providers and tools), with counts of their signals
    List(Listing),
    /// Show a transmitter, with its counts and its last refusal
    Show(Show),
    /// List the signals that are held, oldest first
    Held(held::Args),
    /// Put held signals into effect
    Release(decide::Release),
    /// Discard held signals without effect
    Drop(decide::Drop),
    /// Request a verification event from a transmitter
    Verify(Verify),
    /// Pause the stream of a transmitter
    Pause(Pause),
    /// Resume the stream of a transmitter
    Resume(Resume),
    /// Delete the stream of a transmitter
    DeleteStream(DeleteStream),
}

/// List the transmitters of signals (identity providers and tools), with counts of their signals
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct Listing {
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Show a transmitter, with its counts and its last refusal
#[derive(Debug, clap::Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct Show {
    /// Name of the transmitter, as in `signals list`
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Which transmitter, and how to show it
#[derive(Debug, clap::Args)]
struct Managed {
    /// Name of the transmitter, as in `signals list`; the service must manage its stream
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

/// Request a verification event from a transmitter
#[derive(Debug, clap::Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub(crate) struct Verify {
    #[command(flatten)]
    of: Managed,
}

/// Pause the stream of a transmitter
#[derive(Debug, clap::Args)]
#[command(after_help = PAUSE_EXAMPLES)]
pub(crate) struct Pause {
    /// Reason to pass on to the transmitter
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    of: Managed,
}

/// Resume the stream of a transmitter
#[derive(Debug, clap::Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(crate) struct Resume {
    /// Reason to pass on to the transmitter
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    of: Managed,
}

/// Delete the stream of a transmitter
#[derive(Debug, clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub(crate) struct DeleteStream {
    #[command(flatten)]
    of: Managed,
}

impl Managed {
    /// Has the service do something about the stream.
    fn command(self, command: &str, reason: Option<&str>, done: &str) -> Outcome {
        let path = Path::new("/v1/signals").segment(&self.name).segment("stream").segment(command);
        let body = reason.map_or_else(|| json!({}), |reason| json!({"reason": reason}));
        let answer: Value = self.service.client()?.post(&path, &body)?;
        if text(&answer, "name").is_empty() {
            return Err(Error::failed("unexpected response: not a transmitter"));
        }
        output::write(match self.output {
            Format::Json => json_text(&answer)?,
            Format::Text => format!("`{}`: {done}\n", plain(&self.name)),
        })?;
        Ok(Exit::Done)
    }
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::List(args) => args.run(),
            Self::Show(args) => args.run(),
            Self::Held(args) => args.run(),
            Self::Release(args) => args.run(),
            Self::Drop(args) => args.run(),
            Self::Verify(args) => args.of.command("verify", None, "a verification event was requested"),
            Self::Pause(args) => args.of.command("pause", args.reason.as_deref(), "the stream is paused"),
            Self::Resume(args) => args.of.command("resume", args.reason.as_deref(), "the stream is resumed"),
            Self::DeleteStream(args) => args.of.command("delete", None, "the stream is deleted"),
        }
    }
}

impl Listing {
    fn run(self) -> Outcome {
        let answer: Value = self.service.client()?.get(&Path::new("/v1/signals"))?;
        let Some(Value::Array(transmitters)) = answer.get("transmitters") else {
            return Err(Error::failed("unexpected response: it has no `transmitters`"));
        };
        match self.output {
            Format::Json => output::write(json_text(&answer)?)?,
            Format::Text if transmitters.is_empty() => {
                output::message("there are no transmitters: `signals` is not configured");
                return Ok(Exit::Done);
            }
            Format::Text => output::write_styled(&table(transmitters, Timestamp::now()).text(true))?,
        };
        Ok(Exit::Done)
    }
}

impl Show {
    fn run(self) -> Outcome {
        let answer: Value = self.service.client()?.get(&Path::new("/v1/signals").segment(&self.name))?;
        if text(&answer, "name").is_empty() {
            return Err(Error::failed("unexpected response: not a transmitter"));
        }
        output::write(match self.output {
            Format::Json => json_text(&answer)?,
            Format::Text => details(&answer, Timestamp::now()),
        })?;
        Ok(Exit::Done)
    }
}

fn text<'v>(of: &'v Value, key: &str) -> &'v str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn count(of: &Value, key: &str) -> String {
    of.get(key).and_then(Value::as_u64).unwrap_or_default().to_string()
}

/// How many of its signals are held now; `None` if it does not hold any.
fn held(of: &Value) -> Option<u64> {
    of.get(HELD).and_then(Value::as_u64)
}

fn are_keys_failing(of: &Value) -> bool {
    text(of, "keys") == "failing"
}

/// Whether that is what a paused stream is shown as: the word, and perhaps a reason.
fn is_paused(stream: &str) -> bool {
    stream == "paused" || stream.starts_with("paused: ")
}

fn is_stale(of: &Value) -> Option<bool> {
    of.get("stale").and_then(Value::as_bool)
}

fn table(transmitters: &[Value], now: Timestamp) -> List {
    // Most transmitters have no rate above which their signals are held.
    let has_held = transmitters.iter().any(|of| held(of).is_some());
    let head = ["NAME", "KIND", "STATE", "APPLIED", "UNMATCHED", "IGNORED", "REFUSED"];
    let head: Vec<_> = head.into_iter().chain(has_held.then_some("HELD")).chain(["LAST"]).collect();
    let mut list = List::new(&head, &[0, 1]);
    for of in transmitters {
        let state = match (are_keys_failing(of), text(of, "stream"), text(of, "poll"), is_stale(of)) {
            (true, ..) => "no keys",
            (false, paused, ..) if is_paused(paused) => "paused",
            (false, "" | "ok", "" | "ok", Some(true)) => "stale",
            (false, "" | "ok", "" | "ok", _) => "ok",
            (false, "" | "ok", ..) => "no polls",
            (false, ..) => "no stream",
        };
        let last = match text(of, "last_received_at") {
            "" => "never".to_owned(),
            at => when::short(at, now),
        };
        let [_, counts @ ..] = COUNTS.map(|key| count(of, key));
        let names = ["name", "kind"].map(|key| clipped(text(of, key), CELL_CHARS_MAX));
        let held = has_held.then(|| held(of).map_or_else(|| "-".to_owned(), |held| held.to_string()));
        let cells = names.into_iter().chain([state.to_owned()]).chain(counts).chain(held).chain([last]);
        list.row(Style::new(), cells.collect());
    }
    list
}

/// Everything, one value per line.
fn details(of: &Value, now: Timestamp) -> String {
    let given = |key: &str| Some(text(of, key)).filter(|text| !text.is_empty());
    let named = |key: &str| given(key).map(|text| plain(text).into_owned());
    let issuers = of.get("tokens_of").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let issuers: Vec<_> = issuers.map(plain).collect();
    let instant = |key: &str| given(key).map_or_else(|| "never".to_owned(), |at| when::both(at, now));
    let keys = given("keys").map(|keys| match keys {
        "failing" => "the last fetch has failed".to_owned(),
        keys => plain(keys).into_owned(),
    });
    let verified = is_stale(of).map(|is_stale| {
        let stale = if is_stale { ", stale" } else { "" };
        format!("{}{stale}", instant("last_verified_at"))
    });
    let refusal = of
        .get("last_refusal")
        .map(|refusal| format!("{}: {}", when::both(text(refusal, "at"), now), plain(text(refusal, "reason"))));
    let rows = [
        ("name", named("name")),
        ("kind", named("kind")),
        ("path", named("path")),
        ("polling", named("poll")),
        ("stream", named("stream")),
        ("issuer", named("issuer")),
        ("tokens of", Some(issuers.join(" "))),
        ("keys", keys),
    ];
    let counts = COUNTS.map(|key| (key, Some(count(of, key))));
    let held = held(of).map(|held| match given("held_since") {
        Some(since) => format!("{held}, the oldest since {}", when::both(since, now)),
        None => held.to_string(),
    });
    let latest = [
        (HELD, held),
        ("last signal", Some(instant("last_received_at"))),
        ("last verification", verified.or_else(|| given("last_verified_at").map(|at| when::both(at, now)))),
        ("last refusal", refusal),
    ];
    let rows = rows.into_iter().chain(counts).chain(latest);
    columns(rows.filter_map(|(name, value)| Some(vec![name.to_owned(), value?])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-26T12:00:00Z".parse().expect("an instant")
    }

    fn transmitter(more: Value) -> Value {
        let mut all = json!({
            "name": "keycloak", "kind": "ssf", "path": "/signals/keycloak", "issuer": "https://id.example.com",
            "tokens_of": ["https://id.example.com"], "keys": "ok", "received": 10, "applied": 4, "unmatched": 3,
            "ignored": 2, "refused": 1, "last_received_at": "2026-11-26T11:30:00Z",
        });
        if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
        all
    }

    fn rows(transmitters: &[Value]) -> Vec<Vec<String>> {
        let text = anstream::adapter::strip_str(&table(transmitters, now()).text(true)).to_string();
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_transmitter_is_a_row_with_what_is_wrong_with_it() {
        let transmitters = [
            transmitter(json!({})),
            transmitter(json!({"stale": true})),
            transmitter(json!({"stale": true, "keys": "failing", "poll": "ok"})),
            transmitter(json!({"stale": true, "poll": "https://id: it answered 500"})),
            json!({"name": "\u{1b}[31m", "kind": 7, "applied": "many"}),
            transmitter(json!({"stream": "ok", "poll": "ok"})),
            transmitter(json!({"stream": "paused: maintenance", "stale": true})),
            transmitter(json!({"stream": "https://id: it answered 401", "poll": "there is no stream"})),
        ];
        let rows = rows(&transmitters);
        assert_eq!(rows[1], ["keycloak", "ssf", "ok", "4", "3", "2", "1", "30m", "ago"]);
        assert_eq!(rows[2][2], "stale");
        assert_eq!(rows[3][2..4], ["no", "keys"]);
        assert_eq!(rows[4][2..4], ["no", "polls"]);
        assert_eq!(rows[5][1..], ["ok", "0", "0", "0", "0", "never"]);
        assert!(!rows[5][0].contains('\u{1b}'), "{rows:?}");
        assert_eq!((&*rows[6][2], &*rows[7][2]), ("ok", "paused"));
        assert_eq!(rows[8][2..4], ["no", "stream"]);
    }

    #[test]
    fn a_list_has_a_column_for_held_signals_if_a_transmitter_holds_some() {
        let transmitters =
            [transmitter(json!({"held": 1200})), transmitter(json!({})), transmitter(json!({"held": 0}))];
        let rows = rows(&transmitters);
        assert_eq!(rows[0][6..], ["REFUSED", "HELD", "LAST"]);
        for (row, held) in rows[1..].iter().zip(["1200", "-", "0"]) {
            assert_eq!(row[6..], ["1", held, "30m", "ago"]);
        }
    }

    #[test]
    fn details_show_everything_that_there_is() {
        let shown = details(
            &transmitter(json!({
                "stale": true, "keys": "failing", "last_verified_at": "2026-11-26T11:00:00Z",
                "last_refusal": {"at": "2026-11-26T11:59:00Z", "reason": "the signature is invalid\u{1b}"},
            })),
            now(),
        );
        for line in [
            "tokens of          https://id.example.com\n",
            "keys               the last fetch has failed\n",
            "received           10\n",
            "last signal        2026-11-26 11:30:00Z (30m ago)\n",
            "last verification  2026-11-26 11:00:00Z (1h ago), stale\n",
            "last refusal       2026-11-26 11:59:00Z (1m ago): the signature is invalid\\u{1b}\n",
        ] {
            assert!(shown.contains(line), "{line}{shown}");
        }
        let held = details(&transmitter(json!({"held": 3, "held_since": "2026-11-26T11:59:00Z"})), now());
        assert!(held.contains("held         3, the oldest since 2026-11-26 11:59:00Z (1m ago)\n"), "{held}");
        let none_held = details(&transmitter(json!({"held": 0})), now());
        assert!(none_held.contains("held         0\n"), "{none_held}");
        let bare = details(&json!({"name": "soc", "kind": "global_token_revocation", "tokens_of": []}), now());
        assert!(bare.contains("last signal  never\n"), "{bare}");
        for absent in ["issuer", "keys", "held", "verification", "refusal"] {
            assert!(!bare.contains(absent), "{bare}");
        }
        let silent = details(&transmitter(json!({"stale": false})), now());
        assert!(silent.contains("last verification  never\n"), "{silent}");
    }
}
