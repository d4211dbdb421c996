//! `portcullis events`: prints session events as they happen.

mod follow;
mod sse;
mod watch;

use super::{client::Path, connection::Connection, event_text, plain};
use crate::{
    exit::{Exit, Outcome},
    output::{self, Format, Reader},
    report, since,
};
use follow::News;
use jiff::Timestamp;
use serde_json::{Value, json};
use sse::Event;
use std::sync::mpsc;

/// How many events wait to be printed. When the queue is full, the stream is not read; the service then drops events and
/// reports how many.
const WAITING_MAX: usize = 64;

const EXAMPLES: &str = "\
Runs until Ctrl-C, or until its output is closed. `--since` begins with the past events that the
service still holds: the latest 4,096 of each kind since its start. A lost connection is reopened,
and the service replays what happened in the meantime. If some events are lost nevertheless, the
output says so; with `--output json`, as an object whose `event` is `lagged`.

Examples:
  portcullis events
  portcullis events --since 15m
  portcullis events --output json | jq -r 'select(.event == \"ended\") | .subject'";

/// Watch what happens to sessions, and which requests are refused
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Begin with past events, since how long ago (`15m`, `2h 30m`, `1d`) or since which instant (RFC 3339)
    #[arg(long, value_name = "DURATION|INSTANT", value_parser = since::instant)]
    since: Option<Timestamp>,
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
        let since = self.since.map(|since| since.to_string());
        follow::events(client, Path::new("/v1/events").parameter("since", since.as_deref()), send);
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
            Format::Text if event.name == "lagged" => event_text::lagged(&data),
            Format::Text => event_text::sentence(&event.name, &data, Timestamp::now()),
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
