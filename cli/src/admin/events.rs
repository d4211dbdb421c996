//! `portcullis events`: prints session events as they happen.

mod follow;
mod sse;
mod watch;

use super::{
    connection::Connection,
    plain::{self, plain},
    when,
};
use crate::{
    exit::{Exit, Outcome},
    output::{self, Format, Reader},
    report,
};
use follow::News;
use serde_json::{Value, json};
use sse::Event;
use std::sync::mpsc;

/// How many events wait to be printed. When the queue is full, the stream is not read; the service then drops events and
/// reports how many.
const WAITING_MAX: usize = 64;

const EXAMPLES: &str = "\
Runs until Ctrl-C, or until its output is closed. A lost connection is opened again, and the service
replays what happened meanwhile. If some events are lost all the same, the output says so; with
`--output json`, by an object whose `event` is `lagged`.

Examples:
  portcullis events
  portcullis events --output json | jq -r 'select(.event == \"ended\") | .subject'";

/// Watch sessions open and end, and requests being denied
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Output format; `json` prints one object per line
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: Connection,
}

impl Args {
    pub(crate) fn run(self) -> Outcome {
        let client = self.service.client()?;
        let (send, news) = mpsc::sync_channel(WAITING_MAX);
        watch::output_closed(send.clone());
        follow::events(client, send);
        for news in news {
            let text = match news {
                News::Event(event) => self.shown(&event),
                News::Lost(why) => {
                    output::message(&report::warning(&format!("{why}; reconnecting")));
                    continue;
                }
                News::Back { is_seamless } => {
                    output::message(&report::warning("reconnected"));
                    if is_seamless {
                        continue;
                    }
                    self.shown(&Event { name: "lagged".to_owned(), data: r#"{"missed":null}"#.to_owned() })
                }
                News::Over(failure) => return Err(failure.into()),
                News::Unread => break,
            };
            if output::write(&text)? == Reader::Gone {
                break;
            }
        }
        Ok(Exit::Done)
    }

    fn shown(&self, event: &Event) -> String {
        let data = serde_json::from_str::<Value>(&event.data).unwrap_or_else(|_| json!({"data": event.data}));
        match self.output {
            Format::Text => sentence(&event.name, &data),
            Format::Json => {
                let mut object = if data.is_object() { data } else { json!({"data": data}) };
                if let Some(members) = object.as_object_mut() {
                    members.insert("event".to_owned(), event.name.clone().into());
                }
                line(&object)
            }
        }
    }
}

fn line(value: &Value) -> String {
    plain::json(&value.to_string()).into_owned() + "\n"
}

/// `2026-11-21 20:38:02Z  ended   5d41…  anna via web: revoked`
fn sentence(name: &str, data: &Value) -> String {
    let text = |key: &str| plain(data.get(key).and_then(Value::as_str).unwrap_or_default()).into_owned();
    let name = plain(name);
    if name == "lagged" {
        let missed = data.get("missed").and_then(Value::as_u64);
        let missed = missed.map_or_else(|| "some".to_owned(), |missed| missed.to_string());
        return format!("… {missed} events were missed\n");
    }
    let at = text("at");
    let at = at.parse().map_or(at, when::absolute);
    let why = match (text("reason"), text("access")) {
        (reason, _) if !reason.is_empty() => format!(": {reason}"),
        (_, access) if !access.is_empty() => format!(" ({access})"),
        _ => String::new(),
    };
    format!("{at}  {name:<6}  {}  {} via {}{why}\n", text("id"), text("subject"), text("client_id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_sentence() {
        let of = |reason: Option<&str>| {
            json!({"id": "5d41", "issuer": "i", "subject": "anna", "client_id": "web", "access": "interactive",
                   "reason": reason, "at": "2026-11-21T20:38:02.123Z"})
        };
        for (name, data, expected) in [
            ("opened", of(None), "2026-11-21 20:38:02Z  opened  5d41  anna via web (interactive)\n"),
            ("ended", of(Some("revoked")), "2026-11-21 20:38:02Z  ended   5d41  anna via web: revoked\n"),
            ("lagged", json!({"missed": 7}), "… 7 events were missed\n"),
            ("lagged", json!({"missed": null}), "… some events were missed\n"),
        ] {
            assert_eq!(sentence(name, &data), expected);
        }
        let hostile =
            sentence("\u{1b}x", &json!({"id": "\n", "subject": "\u{9b}", "at": "\u{7}", "reason": "\u{202e}"}));
        assert!(!hostile.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{hostile:?}");
    }
}
