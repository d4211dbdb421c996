//! A session as text.

use super::narrowings;
use crate::admin::{
    attributes, blocks,
    client::Failure,
    plain::{clipped, plain},
    table::{List, OVER, columns},
    when,
};
use anstyle::Style;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The longest cell of a list, in characters, however wide the terminal is. `show` prints values in full.
const CELL_CHARS_MAX: usize = 48;
/// The digits of an id in a list.
const ID_DIGITS: usize = 12;

/// A session in the response of the admin API. Other members are only printed as JSON.
#[derive(Debug, Deserialize)]
pub(super) struct Session {
    id: String,
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    access: String,
    state: String,
    reason: Option<String>,
    /// Whether a block of its party refuses its requests.
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    pub(super) blocks: Vec<Value>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    granted: Vec<String>,
    #[serde(default)]
    narrowings: Vec<Value>,
    /// What holds for it: its own attributes, and those of its device and its subject.
    #[serde(default)]
    attributes: Vec<Value>,
    opened_at: String,
    last_seen_at: String,
    expires_at: Option<String>,
    idle_expires_at: Option<String>,
    ended_at: Option<String>,
}

/// A list of sessions, without any yet.
pub(super) fn list() -> List {
    List::new(&["ID", "SUBJECT", "CLIENT", "STATE", "OPENED", "SEEN", "ENDS"], &[1, 2])
}

impl Session {
    pub(super) fn of(value: Value) -> Result<Self, Failure> {
        serde_json::from_value(value).map_err(|error| super::not_a_session(&error))
    }

    /// Adds it to a list. What is over is dimmed.
    pub(super) fn add_to(&self, list: &mut List, now: Timestamp) {
        let style = if self.ended_at.is_some() { OVER } else { Style::new() };
        list.row(style, self.row(now));
    }

    fn row(&self, now: Timestamp) -> Vec<String> {
        let cell = |text: &str| clipped(text, CELL_CHARS_MAX);
        vec![
            plain(&self.id).chars().take(ID_DIGITS).collect(),
            cell(&self.subject),
            cell(&self.client_id),
            self.short_state(),
            when::short(&self.opened_at, now),
            when::short(&self.last_seen_at, now),
            self.end().map_or_else(|| "never".to_owned(), |end| when::short(end, now)),
        ]
    }

    /// Why it ended, in one word; else whether it is blocked, or its state.
    fn short_state(&self) -> String {
        match self.reason.as_deref() {
            None if self.blocked => "blocked".to_owned(),
            Some("idle_timeout") => "idle".to_owned(),
            Some("lifetime_exceeded") => "expired".to_owned(),
            reason => plain(reason.unwrap_or(&self.state)).into_owned(),
        }
    }

    /// Whose it is, and the scopes that are left to it, after a change of these.
    pub(super) fn scopes_left(&self, now: Timestamp) -> String {
        let whose = format!("subject `{}` with client `{}`", plain(&self.subject), plain(&self.client_id));
        let scopes = match self.scopes.is_empty() {
            true => "no scopes".to_owned(),
            false => format!("`{}`", plain(&self.scopes.join(" "))),
        };
        let ended = self.ended_at.as_deref().map(|at| format!(", which ended {}", when::distance(at, now)));
        let signalled: String =
            self.narrowings.iter().flat_map(narrowings::signalled).map(|left| format!(", {left}")).collect();
        format!("{whose}; session {}{} has {scopes}{signalled}\n", plain(&self.id), ended.unwrap_or_default())
    }

    /// Everything, one value per line.
    pub(super) fn details(&self, now: Timestamp) -> String {
        let text = |text: &str| plain(text).into_owned();
        let instant = |text: &Option<String>| text.as_deref().map(|text| when::both(text, now));
        let is_active = self.ended_at.is_none();
        let expires = instant(&self.expires_at).unwrap_or_else(|| "never".to_owned());
        let rows = [
            ("id", Some(text(&self.id))),
            ("state", Some(self.state())),
            ("subject", Some(text(&self.subject))),
            ("client", Some(text(&self.client_id))),
            ("issuer", Some(text(&self.issuer))),
            ("key", Some(text(&self.key))),
            ("access", Some(text(&self.access))),
            ("scopes", Some(text(&self.scopes.join(" ")))),
            ("granted", (!self.narrowings.is_empty()).then(|| text(&self.granted.join(" ")))),
            ("opened", Some(when::both(&self.opened_at, now))),
            ("last seen", Some(when::both(&self.last_seen_at, now))),
            ("idle until", instant(&self.idle_expires_at)),
            ("expires", is_active.then_some(expires)),
            ("ended", self.ended_at.as_deref().map(|at| when::ended(at, now))),
        ];
        let taken = self.narrowings.iter().map(|narrowing| ("narrowed", Some(narrowings::words(narrowing, now))));
        let blocks = self.blocks.iter().map(|block| ("blocked", Some(blocks::words(block, now))));
        let attributes = self.attributes.iter().map(|of| ("attribute", Some(attributes::words(of, now))));
        columns(
            rows.into_iter()
                .chain(blocks)
                .chain(taken)
                .chain(attributes)
                .filter_map(|(name, value)| Some(vec![name.to_owned(), value?])),
        )
    }

    /// The result of revoking it. A session that had already ended keeps its own reason.
    pub(super) fn revoked(&self, now: Timestamp) -> String {
        let whose = format!("{} of `{}` at `{}`", plain(&self.id), plain(&self.subject), plain(&self.client_id));
        let ended = self.ended_at.as_deref().map_or_else(|| "-".to_owned(), |at| when::both(at, now));
        match self.reason.as_deref() {
            Some("revoked") => format!("session {whose} was revoked at {ended}\n"),
            reason => format!("session {whose} had already ended: {}, {ended}\n", plain(reason.unwrap_or("-"))),
        }
    }

    fn state(&self) -> String {
        let state = match &self.reason {
            None => plain(&self.state).into_owned(),
            Some(reason) => format!("{}: {}", plain(&self.state), plain(reason)),
        };
        // A block ends no session: both are said.
        if self.blocked { format!("blocked ({state})") } else { state }
    }

    /// When it ended, or the earliest instant at which it can end. The service writes all instants in one format, so their
    /// texts sort as they do.
    fn end(&self) -> Option<&str> {
        let limits = [&self.expires_at, &self.idle_expires_at];
        let earliest = || limits.into_iter().filter_map(Option::as_deref).min();
        self.ended_at.as_deref().or_else(earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn session(more: Value) -> Session {
        let mut all = json!({
            "id": "5d41", "issuer": "https://id.example.com", "key": "s1", "subject": "anna", "client_id": "web",
            "access": "interactive", "state": "active", "scopes": ["orders:read", "orders:write"],
            "opened_at": "2026-11-21T20:00:00.000Z", "last_seen_at": "2026-11-21T20:29:00.000Z",
            "expires_at": "2026-11-22T04:00:00.000Z", "idle_expires_at": "2026-11-21T20:59:00.000Z",
        });
        if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
        Session::of(all).expect("a session")
    }

    fn now() -> Timestamp {
        "2026-11-21T20:30:00Z".parse().expect("an instant")
    }

    #[test]
    fn a_line_says_whose_it_is_and_when_it_ends_at_the_earliest() {
        let row = session(json!({})).row(now());
        let expected = ["5d41", "anna", "web", "active", "30m ago", "1m ago", "in 29m"].map(str::to_owned);
        assert_eq!(row, expected);
        for (reason, short) in [("idle_timeout", "idle"), ("lifetime_exceeded", "expired"), ("revoked", "revoked")] {
            let ended = json!({"state": "ended", "reason": reason, "ended_at": "2026-11-21T20:29:30.000Z"});
            assert_eq!(session(ended).row(now())[3], short);
        }
        let endless = session(json!({"expires_at": null, "idle_expires_at": null})).row(now());
        assert_eq!(endless.last().map(String::as_str), Some("never"));
    }

    #[test]
    fn nothing_of_a_session_reaches_the_terminal_as_a_command() {
        let hostile = "\u{1b}]0;x\u{7}\u{9b}2J\n\u{202e}";
        let session = session(json!({
            "id": hostile, "issuer": hostile, "key": hostile, "subject": hostile, "client_id": hostile, "access": hostile,
            "state": hostile, "reason": hostile, "scopes": [hostile], "opened_at": hostile, "last_seen_at": hostile,
            "expires_at": hostile, "idle_expires_at": hostile, "ended_at": hostile,
        }));
        let (row, left) = (session.row(now()).concat(), session.scopes_left(now()));
        let shown = [row, session.details(now()), session.revoked(now()), left].concat();
        assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
        assert_eq!(session.details(now()).lines().count(), 12);
    }

    #[test]
    fn details_show_everything() {
        let ended = json!({"state": "ended", "reason": "revoked", "ended_at": "2026-11-21T20:29:30.000Z", "idle_expires_at": null});
        let shown = session(ended).details(now());
        let expected = "\
id         5d41
state      ended: revoked
subject    anna
client     web
issuer     https://id.example.com
key        s1
access     interactive
scopes     orders:read orders:write
opened     2026-11-21 20:00:00Z (30m ago)
last seen  2026-11-21 20:29:00Z (1m ago)
ended      2026-11-21 20:29:30Z (30s ago)
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn details_end_with_what_is_taken_and_what_is_known() {
        let shown = session(json!({
            "narrowings": [{"client_id": "web", "signalled": {"okta": ["orders:read"]}}],
            "attributes": [
                {"name": "managed", "value": true, "source": "admin", "of": "subject", "set_at": "2026-11-21T20:28:00Z"},
            ],
        }))
        .details(now());
        let expected = "\
expires     2026-11-22 04:00:00Z (in 7h 30m)
narrowed    only orders:read (signal of okta)
attribute   managed is true, of the subject, set by admin 2026-11-21 20:28:00Z (2m ago)
";
        assert!(shown.ends_with(expected), "{shown}");
    }

    #[test]
    fn one_whose_party_is_blocked_says_so_and_by_whom() {
        let block =
            json!({"id": "687e", "subject": "anna", "made_at": "2026-11-21T20:28:00Z", "reason": "ticket 4711"});
        let blocked = || session(json!({"blocked": true, "blocks": [block]}));
        assert_eq!(blocked().row(now())[3], "blocked");
        let shown = blocked().details(now());
        assert!(shown.contains("state       blocked (active)\n"), "{shown}");
        let expected = "blocked     subject `anna`, since 2026-11-21 20:28:00Z (2m ago), until it is lifted, by an administrator: ticket 4711\n";
        assert!(shown.ends_with(expected), "{shown}");
        let ended = session(json!({"blocked": true, "state": "ended", "reason": "revoked"}));
        assert_eq!(ended.row(now())[3], "revoked", "what a lifted block would not undo");
        assert!(ended.details(now()).contains("state       blocked (ended: revoked)\n"));
    }

    #[test]
    fn one_that_had_ended_by_itself_is_not_called_revoked() {
        let ended = |reason| json!({"state": "ended", "reason": reason, "ended_at": "2026-11-21T20:29:30.000Z"});
        assert!(session(ended("revoked")).revoked(now()).contains("was revoked at 2026-11-21 20:29:30Z"));
        assert!(session(ended("idle_timeout")).revoked(now()).contains("had already ended: idle_timeout"));
    }
}
