//! What has happened to a session, as far as the service still holds it.

use super::{
    client::{Client, Failure, Path},
    event_text,
    plain::plain,
    when,
};
use serde_json::Value;

/// The most events of a session that the service returns.
const EVENTS_MAX: usize = 100;

/// The history of a session.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The oldest first.
    pub(super) events: Vec<Value>,
    pub(super) held_since: Option<String>,
}

impl History {
    /// Asks the service.
    pub(super) fn read(client: &Client, id: &str) -> Result<Self, Failure> {
        Ok(Self::of(client.get(&Path::new("/v1/sessions").segment(id).segment("events"))?))
    }

    pub(super) fn of(mut response: Value) -> Self {
        let events = match response.get_mut("events").map(Value::take) {
            Some(Value::Array(events)) => events,
            _ => Vec::new(),
        };
        let held_since = response.get("held_since").and_then(Value::as_str).map(str::to_owned);
        Self { events, held_since }
    }

    /// The latest event with that name that `is_meant`.
    pub(super) fn latest(&self, name: &str, is_meant: impl Fn(&Value) -> bool) -> Option<&Value> {
        let named = self.events.iter().rev().filter(|event| event.get("event").and_then(Value::as_str) == Some(name));
        named.into_iter().find(|event| is_meant(event))
    }

    /// One event per line, indented, and before them whether some are missing.
    pub(super) fn text(&self) -> String {
        let begins = self.latest("opened", |_| true).is_some();
        let missing = match &self.held_since {
            _ if self.events.len() >= EVENTS_MAX => Some("… earlier events are left out\n".to_owned()),
            Some(since) if !begins => {
                let since = since.parse().map_or_else(|_| plain(since).into_owned(), when::absolute);
                Some(format!("… what happened before {since} is no longer held\n"))
            }
            _ => None,
        };
        let lines = self.events.iter().map(event_text::line);
        missing.into_iter().chain(lines).map(|line| format!("  {line}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_history_says_where_it_begins() {
        let event = |name: &str| json!({"event": name, "at": "2026-11-21T20:38:02Z"});
        let text =
            |events: Vec<Value>| History::of(json!({"events": events, "held_since": "2026-11-21T20:00:00Z"})).text();
        assert_eq!(
            text(vec![event("opened"), event("login")]),
            "  2026-11-21 20:38:02Z  opened\n  2026-11-21 20:38:02Z  login\n"
        );
        let cut = "  … what happened before 2026-11-21 20:00:00Z is no longer held\n";
        assert_eq!(text(vec![event("login")]), format!("{cut}  2026-11-21 20:38:02Z  login\n"));
        assert_eq!(text(vec![]), cut);
        assert!(text(vec![event("login"); EVENTS_MAX]).starts_with("  … earlier events are left out\n"));
        assert_eq!(History::of(json!(7)).text(), "");
    }
}
