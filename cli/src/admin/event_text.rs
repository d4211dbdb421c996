//! Events of the session service as text, for `events` and for the history of a session.

use super::{plain::plain, when};
use jiff::Timestamp;
use portcullis_engine::answer::Code;
use serde_json::Value;

/// The width of the column of names: that of `session_revoked`. Those of requests for access are rare, and some are wider.
const NAME_WIDTH: usize = 15;
/// The width of a session's id.
const ID_WIDTH: usize = 32;

/// The code that a client was answered for a reason or an outcome of the session service: the two speak of the same, and
/// people know the codes.
pub(super) fn code(outcome: &str) -> Option<Code> {
    Some(match outcome {
        "idle_timeout" => Code::SessionIdleTimeout,
        "lifetime_exceeded" => Code::SessionLifetimeExceeded,
        "revoked" => Code::SessionRevoked,
        "unknown_session" => Code::SessionUnknown,
        "undated" => Code::InvalidToken,
        "unavailable" => Code::SessionUnavailable,
        same => return Code::named(same),
    })
}

/// One event of a stream: `2026-11-21 20:38:02Z  ended            5d41…  anna via web: revoked`.
pub(super) fn sentence(name: &str, event: &Value, now: Timestamp) -> String {
    let id = text(event, "session").unwrap_or_else(|| "-".to_owned());
    let subject = text(event, "subject").unwrap_or_default();
    // A request is about a session, whose client it does not name.
    let client = match text(event, "client_id") {
        Some(client) => format!(" via {client}"),
        None if event.get("request").is_some() => String::new(),
        None => " via every client".to_owned(),
    };
    let more = match details_at(name, event, now) {
        details if details.is_empty() => String::new(),
        details if details.starts_with('(') => format!(" {details}"),
        details => format!(": {details}"),
    };
    let name = plain(name);
    format!("{}  {name:<NAME_WIDTH$}  {id:<ID_WIDTH$}  {subject}{client}{more}\n", at(event))
}

/// One event in the history of a session, whose id and subject are known.
pub(super) fn line(event: &Value, now: Timestamp) -> String {
    let name = text(event, "event").unwrap_or_default();
    let line = format!("{}  {name:<NAME_WIDTH$}  {}", at(event), details_at(&name, event, now));
    line.trim_end().to_owned() + "\n"
}

/// That some events are missing.
pub(super) fn lagged(event: &Value) -> String {
    if let Some(since) = text(event, "held_since") {
        let since = since.parse().map_or(since, when::absolute);
        return format!("… events before {since} are missing: the session service no longer holds all of them\n");
    }
    let missed = event.get("missed").and_then(Value::as_u64);
    let missed = missed.map_or_else(|| "some".to_owned(), |missed| missed.to_string());
    format!("… {missed} events were missed\n")
}

fn at(event: &Value) -> String {
    let at = text(event, "at").unwrap_or_default();
    at.parse().map_or(at, when::absolute)
}

/// What is particular about an event, and that its instant is still to come. A revocation covers what is issued up to an
/// instant slightly ahead, and that instant is the session's end.
fn details_at(name: &str, event: &Value, now: Timestamp) -> String {
    let details = details(name, event);
    match text(event, "at").and_then(|at| at.parse::<Timestamp>().ok()) {
        Some(at) if at.as_second() > now.as_second() => {
            let distance = when::distance(&at.to_string(), now);
            match name {
                "ended" => format!("{details}, for everything issued before then ({distance})"),
                _ => format!("{details} ({distance})").trim_start().to_owned(),
            }
        }
        _ => details,
    }
}

/// What is particular about an event.
fn details(name: &str, event: &Value) -> String {
    let of = |key: &str| text(event, key);
    let parts: Vec<String> = match name {
        "opened" => of("access").map(|access| format!("({access})")).into_iter().collect(),
        "blocked" => of("party").into_iter().collect(),
        "ended" => {
            let reason = of("reason").unwrap_or_default();
            let by = of("by").filter(|by| by == "revocation").map(|_| " with its party");
            vec![reason + by.unwrap_or_default()]
        }
        "anomaly" => {
            let kind = of("anomaly").unwrap_or_default().replace('_', " ");
            let place = match (of("before"), of("country")) {
                (Some(from), Some(to)) if from != to => format!(", from {from} to {to}"),
                (_, Some(country)) => format!(" in {country}"),
                (_, None) => String::new(),
            };
            vec![kind + &place]
        }
        "refused" | "would_refuse" => {
            let route = of("route").map(|route| format!(" on {route}")).unwrap_or_default();
            let beyond = scopes(event, "beyond_grant").map(|beyond| format!("beyond its grant: {beyond}"));
            let outcome = of("outcome").unwrap_or_default();
            let outcome = code(&outcome).map_or(outcome, |code| code.name().to_owned());
            let condition = of("condition").map(|condition| format!("by `{condition}`"));
            [Some(outcome + &route), beyond, step_up(event), condition].into_iter().flatten().collect()
        }
        _ => {
            let left = match name {
                "scopes_grew" | "approval_requested" | "approval_decided" | "break_glass" | "grant_used"
                | "grant_ended" => scopes(event, "scopes").map(|scopes| [scopes, become_of(event)].concat()),
                _ => scopes(event, "scopes").map(|left| format!("left: {left}")),
            };
            let taken = scopes(event, "remove").map(|taken| format!("taken: {taken}"));
            let given = scopes(event, "restore").map(|given| format!("given back: {given}"));
            [taken, given, left].into_iter().flatten().collect()
        }
    };
    let why = of("stated_reason").map(|why| format!("({why})"));
    let list = parts.join(", ");
    [Some(list).filter(|list| !list.is_empty()), why].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// What asked for another login.
fn step_up(event: &Value) -> Option<String> {
    let (wanted, had) = (text(event, "wanted")?, text(event, "had").unwrap_or_default());
    Some(match text(event, "step_up")?.as_str() {
        "max_age" => {
            let wanted = wanted.parse().map_or(wanted, when::span);
            let had = had.parse().map_or(had, when::absolute);
            format!("the last login ({had}) is older than {wanted}")
        }
        _ => format!("the login counts as `{had}`, not as `{}`", wanted.replace(' ', "` or `")),
    })
}

/// What has become of a request or its grant, and by whom: ` approved by ben`.
fn become_of(event: &Value) -> String {
    let become_what = text(event, "state").or_else(|| text(event, "reason"));
    let by = become_what.as_ref().and_then(|_| text(event, "admin")).map(|by| format!("by {by}"));
    [become_what, by].into_iter().flatten().map(|word| format!(" {word}")).collect()
}

fn text(event: &Value, key: &str) -> Option<String> {
    event.get(key).and_then(Value::as_str).map(|text| plain(text).into_owned())
}

/// A list of scopes; `None` if there is none, and "none" if it is empty.
fn scopes(event: &Value, key: &str) -> Option<String> {
    let list: Vec<_> = event.get(key)?.as_array()?.iter().filter_map(Value::as_str).map(plain).collect();
    Some(if list.is_empty() { "none".to_owned() } else { list.join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(more: Value) -> Value {
        let mut event = json!({"session": "5d41", "issuer": "i", "subject": "anna", "client_id": "web", "at": "2026-11-21T20:38:02.123Z"});
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        event
    }

    fn now() -> Timestamp {
        "2026-11-21T21:00:00Z".parse().expect("an instant")
    }

    #[test]
    fn an_instant_that_is_still_to_come_is_called_so() {
        let ended = event(json!({"event": "ended", "reason": "revoked", "at": "2026-11-21T21:00:01Z"}));
        let expected = "2026-11-21 21:00:01Z  ended            revoked, for everything issued before then (in 1s)\n";
        assert_eq!(line(&ended, now()), expected);
    }

    #[test]
    fn an_anomaly_is_shown_with_its_countries() {
        for (more, wanted) in [
            (
                json!({"anomaly": "impossible_travel", "country": "US", "before": "CH"}),
                "impossible travel, from CH to US",
            ),
            (json!({"anomaly": "user_agent", "country": "US", "before": "US"}), "user agent in US"),
            (json!({"anomaly": "new_place", "country": "US"}), "new place in US"),
            (json!({"anomaly": "many_addresses"}), "many addresses"),
        ] {
            let mut found = event(more);
            found["event"] = "anomaly".into();
            assert!(line(&found, now()).ends_with(&format!(" {wanted}\n")), "{}", line(&found, now()));
        }
    }

    #[test]
    fn every_outcome_is_shown_as_the_code_that_clients_are_answered() {
        for (outcome, name) in [
            ("idle_timeout", "session_idle_timeout"),
            ("lifetime_exceeded", "session_lifetime_exceeded"),
            ("revoked", "session_revoked"),
            ("unknown_session", "session_unknown"),
            ("undated", "invalid_token"),
            ("unavailable", "session_unavailable"),
            ("blocked", "blocked"),
            ("scope_escalation", "scope_escalation"),
            ("step_up_required", "step_up_required"),
            ("approval_required", "approval_required"),
            ("condition_failed", "condition_failed"),
        ] {
            assert_eq!(code(outcome).map(Code::name), Some(name), "{outcome}");
            let shown = line(&event(json!({"event": "refused", "outcome": outcome, "route": "x"})), now());
            assert!(shown.ends_with(&format!(" {name} on x\n")), "{shown}");
        }
        assert_eq!(code("new_outcome"), None);
    }

    #[test]
    fn an_event_is_a_sentence() {
        let words = |name: &str, more: Value| {
            let sentence = sentence(name, &event(more), now());
            let words: Vec<_> = sentence.split_whitespace().skip(2).collect();
            words.join(" ")
        };
        for (name, more, expected) in [
            ("opened", json!({"access": "interactive", "by": "first_use"}), "opened 5d41 anna via web (interactive)"),
            ("login", json!({}), "login 5d41 anna via web"),
            ("ended", json!({"reason": "revoked", "access": "x", "by": "admin"}), "ended 5d41 anna via web: revoked"),
            (
                "ended",
                json!({"reason": "revoked", "by": "revocation"}),
                "ended 5d41 anna via web: revoked with its party",
            ),
            (
                "refused",
                json!({"outcome": "scope_escalation", "route": "orders.list", "beyond_grant": ["admin", "x"]}),
                "refused 5d41 anna via web: scope_escalation on orders.list, beyond its grant: admin x",
            ),
            (
                "refused",
                json!({"outcome": "step_up_required", "route": "x", "step_up": "acr", "wanted": "aal2 aal3", "had": "aal1"}),
                "refused 5d41 anna via web: step_up_required on x, the login counts as `aal1`, not as `aal2` or `aal3`",
            ),
            (
                "refused",
                json!({"outcome": "step_up_required", "route": "x", "step_up": "max_age", "wanted": "900", "had": "2026-11-21T20:00:00.5Z"}),
                "refused 5d41 anna via web: step_up_required on x, the last login (2026-11-21 20:00:00Z) is older than 15m",
            ),
            (
                "would_refuse",
                json!({"outcome": "condition_failed", "route": "x", "condition": "no-risk", "stated_reason": "too risky"}),
                "would_refuse 5d41 anna via web: condition_failed on x, by `no-risk` (too risky)",
            ),
            (
                "scopes_narrowed",
                json!({"session": null, "client_id": null, "remove": ["a", "b"], "removed": ["a", "b"], "stated_reason": "ticket 4711"}),
                "scopes_narrowed - anna via every client: taken: a b (ticket 4711)",
            ),
            ("scopes_narrowed", json!({"scopes": []}), "scopes_narrowed 5d41 anna via web: left: none"),
            ("scopes_restored", json!({"restore": ["a"]}), "scopes_restored 5d41 anna via web: given back: a"),
            ("scopes_grew", json!({"scopes": ["a"]}), "scopes_grew 5d41 anna via web: a"),
            (
                "approval_decided",
                json!({"client_id": null, "request": "9", "scopes": ["a"], "state": "denied", "admin": "ben", "stated_reason": "no"}),
                "approval_decided 5d41 anna: a denied by ben (no)",
            ),
            (
                "grant_ended",
                json!({"client_id": null, "request": "9", "scopes": ["a"], "reason": "expired"}),
                "grant_ended 5d41 anna: a expired",
            ),
            ("session_revoked", json!({"stated_reason": "lost"}), "session_revoked 5d41 anna via web (lost)"),
        ] {
            assert_eq!(words(name, more), expected, "{name}");
        }
        assert_eq!(
            line(&event(json!({"event": "ended", "reason": "revoked"})), now()),
            "2026-11-21 20:38:02Z  ended            revoked\n"
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        for (data, expected) in [
            (json!({"missed": 7}), "… 7 events were missed\n"),
            (json!({"missed": null}), "… some events were missed\n"),
            (
                json!({"missed": null, "held_since": "2026-11-21T20:38:02.123Z"}),
                "… events before 2026-11-21 20:38:02Z are missing: the session service no longer holds all of them\n",
            ),
        ] {
            assert_eq!(lagged(&data), expected);
        }
    }

    #[test]
    fn nothing_of_an_event_reaches_the_terminal_as_a_command() {
        let hostile = "\u{1b}]0;x\u{7}\n\u{202e}";
        let all = json!({"event": hostile, "session": hostile, "subject": hostile, "client_id": hostile, "at": hostile,
            "access": hostile, "reason": hostile, "outcome": hostile, "route": hostile, "beyond_grant": [hostile],
            "step_up": hostile, "wanted": hostile, "had": hostile, "party": hostile, "remove": [hostile], "scopes": [hostile], "stated_reason": hostile, "held_since": hostile});
        for name in [hostile, "opened", "blocked", "ended", "refused", "scopes_narrowed", "scopes_grew"] {
            let shown = [sentence(name, &all, now()), line(&all, now()), lagged(&all)].concat();
            assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
            assert_eq!(shown.lines().count(), 3);
        }
    }
}
