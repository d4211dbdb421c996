//! The one event of a security event token (RFC 8417, section 2.2).

use super::answer::Refusal;
use serde_json::{Map, Value};

/// The events of the OpenID Foundation: CAEP, RISC, the Shared Signals Framework, and drafts of it.
pub(super) const OPENID: &str = "https://schemas.openid.net/secevent/";

/// The type of an event: a URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventType(String);

impl EventType {
    /// The type with that URI.
    pub(super) fn of(uri: String) -> Self {
        Self(uri)
    }

    pub(super) fn uri(&self) -> &str {
        &self.0
    }

    /// The last segment of a URI of the OpenID Foundation: `session-revoked`, for example.
    pub(super) fn short(&self) -> Option<&str> {
        self.0.strip_prefix(OPENID)?.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// For people: as short as it can be.
    pub(super) fn name(&self) -> &str {
        self.short().unwrap_or(&self.0)
    }
}

/// An event.
#[derive(Debug)]
pub(super) struct Event<'c> {
    pub(super) kind: EventType,
    /// What the transmitter says about it.
    pub(super) payload: &'c Map<String, Value>,
}

impl<'c> Event<'c> {
    /// The only member of `events`.
    pub(super) fn of(claims: &'c Map<String, Value>) -> Result<Self, Refusal> {
        let events = match claims.get("events") {
            Some(Value::Object(events)) => events,
            Some(_) => return Err(Refusal::request("`events` is not an object")),
            None => return Err(Refusal::request("`events` is missing")),
        };
        let mut all = events.iter();
        match (all.next(), all.next()) {
            (Some((uri, Value::Object(payload))), None) => Ok(Self { kind: EventType(uri.clone()), payload }),
            (Some(_), None) => Err(Refusal::request("the event is not an object")),
            (None, _) => Err(Refusal::request("`events` is empty")),
            (Some(_), Some(_)) => Err(Refusal::request("`events` has more than one event")),
        }
    }

    /// When it happened, in milliseconds since the epoch: seconds, or milliseconds where there are 13 digits.
    pub(super) fn happened_at_ms(&self) -> Option<u64> {
        let at = self.payload.get("event_timestamp")?.as_f64().filter(|at| at.is_finite() && *at >= 0.0)?;
        let ms = if at >= 1e12 { at } else { at * 1_000.0 };
        (ms < 1e15).then_some(ms as u64)
    }

    /// The kind of entity that its subject names, in capitals (CAEP 1.0, section 3.8).
    pub(super) fn principal(&self) -> Option<String> {
        Some(self.payload.get("principal")?.as_str()?.to_ascii_uppercase())
    }

    /// The reason that it gives, for people: a text, or one in the first language that it has.
    pub(super) fn reason(&self) -> Option<&str> {
        ["reason_admin", "reason_user", "reason"].into_iter().find_map(|name| match self.payload.get(name)? {
            Value::String(text) => Some(text.as_str()),
            Value::Object(languages) => {
                languages.get("en").or_else(|| languages.values().next()).and_then(Value::as_str)
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(events: Value) -> Map<String, Value> {
        Map::from_iter([("events".to_owned(), events)])
    }

    #[test]
    fn a_token_has_exactly_one_event() {
        let revoked = format!("{OPENID}caep/event-type/session-revoked");
        let one = claims(json!({ revoked.as_str(): {} }));
        assert_eq!(Event::of(&one).unwrap().kind.name(), "session-revoked");
        let other = claims(json!({"urn:x": {}}));
        assert_eq!(Event::of(&other).unwrap().kind.name(), "urn:x");
        for wrong in [json!({}), json!([]), json!(null), json!({"urn:x": []}), json!({"urn:x": {}, "urn:y": {}})] {
            assert!(Event::of(&claims(wrong.clone())).is_err(), "{wrong}");
        }
        assert!(Event::of(&Map::new()).is_err());
    }

    #[test]
    fn its_time_is_in_seconds_or_milliseconds_and_its_reason_in_any_language() {
        let rows = [
            (json!({"event_timestamp": 1_615_304_991}), Some(1_615_304_991_000), None),
            (json!({"event_timestamp": 1_615_304_991_643_u64}), Some(1_615_304_991_643), None),
            (json!({"event_timestamp": -1}), None, None),
            (json!({"event_timestamp": "1615304991"}), None, None),
            (json!({"event_timestamp": 1e300}), None, None),
            (json!({"reason_admin": "a", "reason_user": "u"}), None, Some("a")),
            (json!({"reason_user": {"de": "d", "en": "e"}}), None, Some("e")),
            (json!({"reason_user": {"de": "d"}}), None, Some("d")),
            (json!({"reason": "hijacking"}), None, Some("hijacking")),
            (json!({"reason_admin": 1}), None, None),
        ];
        for (payload, at_ms, reason) in rows {
            let claims = claims(json!({ "urn:x": payload.clone() }));
            let event = Event::of(&claims).unwrap();
            assert_eq!((event.happened_at_ms(), event.reason()), (at_ms, reason), "{payload}");
        }
    }
}
