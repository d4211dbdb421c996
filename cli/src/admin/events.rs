//! `portcullis events`: what happens to sessions, as it happens.

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

/// News that wait to be written; the service is not read any further meanwhile, and says what it had to drop.
const WAITING_MAX: usize = 64;

const EXAMPLES: &str = "\
Ends on Ctrl-C, or when nobody reads its output any more. A connection that is lost is opened
again, and it is said that events may have been missed: on standard error, and with
`--output json` as an object whose `event` is `gap`.

Examples:
  portcullis events
  portcullis events --output json | jq -r 'select(.event == \"ended\") | .subject'";

/// Follow what happens to sessions: opened, ended, denied
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// For whom to write; `json` writes one object a line
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
                    output::tell(&report::warning(&format!("{why}; trying again")));
                    continue;
                }
                News::Back => {
                    output::tell(&report::warning("connected again; events may have been missed"));
                    match self.output {
                        Format::Text => continue,
                        Format::Json => line(&json!({"event": "gap"})),
                    }
                }
                News::Over(failure) => return Err(failure.into()),
                News::Unread => break,
            };
            if output::write(&text)? == Reader::Left {
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
        return format!("… {missed} events were missed: they came faster than they were read\n");
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
            ("lagged", json!({"missed": 7}), "… 7 events were missed: they came faster than they were read\n"),
        ] {
            assert_eq!(sentence(name, &data), expected);
        }
        let hostile =
            sentence("\u{1b}x", &json!({"id": "\n", "subject": "\u{9b}", "at": "\u{7}", "reason": "\u{202e}"}));
        assert!(!hostile.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{hostile:?}");
    }
}
