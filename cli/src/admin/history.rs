//! What has happened to a session, as far as the service still holds it.

use super::{
    client::{Client, Failure, Path},
    event_text, party_rules,
    plain::plain,
    when,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The most events of a session that the service returns.
const EVENTS_MAX: usize = 100;

/// The history of a session.
#[derive(Debug, Default)]
pub(super) struct History {
    /// In the order of their instants, the oldest first.
    pub(super) events: Vec<Value>,
    /// What the service does not count among the events of a session: that its party was blocked.
    blocked: Vec<Value>,
    pub(super) held_since: Option<String>,
}

impl History {
    /// Asks the service.
    pub(super) fn read(client: &Client, id: &str) -> Result<Self, Failure> {
        Ok(Self::of(client.get(&Path::new("/v1/sessions").segment(id).segment("events"))?))
    }

    pub(super) fn of(mut response: Value) -> Self {
        let mut events = match response.get_mut("events").map(Value::take) {
            Some(Value::Array(events)) => events,
            _ => Vec::new(),
        };
        // The service has them in the order in which it noted them. A limit can have passed long before.
        sort(&mut events);
        let held_since = response.get("held_since").and_then(Value::as_str).map(str::to_owned);
        Self { events, blocked: Vec::new(), held_since }
    }

    /// Adds the blocks of the session's party that are in force.
    pub(super) fn add_blocks(&mut self, blocks: &[Value]) {
        let event = |block: &Value| {
            let (at, reason) = (party_rules::text(block, "made_at"), party_rules::text(block, "reason"));
            let reason = (!reason.is_empty()).then_some(reason);
            json!({"event": "blocked", "party": party_rules::party(block), "stated_reason": reason, "at": at})
        };
        self.blocked = blocks.iter().map(event).collect();
    }

    /// The latest event with that name that `is_meant`.
    pub(super) fn latest(&self, name: &str, is_meant: impl Fn(&Value) -> bool) -> Option<&Value> {
        let named = self.events.iter().rev().filter(|event| event.get("event").and_then(Value::as_str) == Some(name));
        named.into_iter().find(|event| is_meant(event))
    }

    /// One event per line, indented, and before them whether some are missing.
    pub(super) fn text(&self, now: Timestamp) -> String {
        let begins = self.latest("opened", |_| true).is_some();
        let missing = match &self.held_since {
            _ if self.events.len() >= EVENTS_MAX => Some("… earlier events are left out\n".to_owned()),
            Some(since) if !begins => {
                let since = since.parse().map_or_else(|_| plain(since).into_owned(), when::absolute);
                Some(format!("… what happened before {since} is no longer held\n"))
            }
            _ => None,
        };
        let mut all: Vec<Value> = self.events.iter().chain(&self.blocked).cloned().collect();
        sort(&mut all);
        let mut has_ended = false;
        let lines = all.iter().map(|event| {
            let line = event_text::line(event, now);
            match party_rules::text(event, "event") {
                "ended" => has_ended = true,
                // Otherwise, the end that stands above it would seem to be the session's still.
                "opened" if has_ended => return format!("{}, anew by a later login or token\n", line.trim_end()),
                _ => {}
            }
            line
        });
        missing.into_iter().chain(lines).map(|line| format!("  {line}")).collect()
    }
}

/// Sorts events by their instants; those at the same one stay as they are.
fn sort(events: &mut [Value]) {
    let at = |event: &Value| party_rules::text(event, "at").parse::<Timestamp>().ok();
    events.sort_by_key(at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_history_says_where_it_begins() {
        let event = |name: &str| json!({"event": name, "at": "2026-11-21T20:38:02Z"});
        let text = |events: Vec<Value>| {
            History::of(json!({"events": events, "held_since": "2026-11-21T20:00:00Z"})).text(now())
        };
        assert_eq!(
            text(vec![event("opened"), event("login")]),
            "  2026-11-21 20:38:02Z  opened\n  2026-11-21 20:38:02Z  login\n"
        );
        let cut = "  … what happened before 2026-11-21 20:00:00Z is no longer held\n";
        assert_eq!(text(vec![event("login")]), format!("{cut}  2026-11-21 20:38:02Z  login\n"));
        assert_eq!(text(vec![]), cut);
        assert!(text(vec![event("login"); EVENTS_MAX]).starts_with("  … earlier events are left out\n"));
        assert_eq!(History::of(json!(7)).text(now()), "");
    }

    fn now() -> Timestamp {
        "2026-11-21T21:00:00Z".parse().expect("an instant")
    }

    #[test]
    fn a_history_is_in_the_order_of_its_instants_with_the_blocks_that_stand() {
        let event = |name: &str, at: &str| json!({"event": name, "at": format!("2026-11-21T{at}Z")});
        let mut history = History::of(json!({"events": [
            event("opened", "20:00:00"), event("login", "20:40:00"), event("ended", "20:30:00.5"),
            {"event": "ended", "reason": "revoked", "at": "2026-11-21T21:00:01Z"}, event("refused", "20:59:59"),
            event("opened", "20:35:00"),
        ]}));
        history.add_blocks(&[json!({"subject": "anna", "reason": "ticket", "made_at": "2026-11-21T20:50:00Z"})]);
        let expected = "  \
  2026-11-21 20:00:00Z  opened
  2026-11-21 20:30:00Z  ended
  2026-11-21 20:35:00Z  opened, anew by a later login or token
  2026-11-21 20:40:00Z  login
  2026-11-21 20:50:00Z  blocked          subject `anna` (ticket)
  2026-11-21 20:59:59Z  refused
  2026-11-21 21:00:01Z  ended            revoked, for everything issued before then (in 1s)
";
        assert_eq!(history.text(now()), expected);
        assert_eq!(history.events.len(), 6, "the block is no event of the service");
    }
}
