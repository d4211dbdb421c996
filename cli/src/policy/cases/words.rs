//! The words that a file of cases uses: states of sessions, clients and qualities of tokens.

use super::{
    bearer::Quality,
    case::{Client, Known, Session},
};
use portcullis_engine::{answer::Code, policy::document::quoted};

/// Makes the state that a word stands for.
pub(super) type State = fn() -> Session;

/// The states of a session, by name.
pub(super) const STATES: [(&str, State); 9] = [
    ("active", || Session::Known(Known::default())),
    ("revoked", || Session::Over(Code::SessionRevoked)),
    ("idle_timeout", || Session::Over(Code::SessionIdleTimeout)),
    ("lifetime_exceeded", || Session::Over(Code::SessionLifetimeExceeded)),
    ("unknown", || Session::Over(Code::SessionUnknown)),
    ("scope_escalation", || Session::Over(Code::ScopeEscalation)),
    ("blocked", || Session::Over(Code::Blocked)),
    ("outage", || Session::Outage { granted: false }),
    ("outage_after_grant", || Session::Outage { granted: true }),
];

pub(super) const CLIENTS: [(&str, Client); 3] =
    [("http", Client::Http), ("grpc", Client::Grpc), ("websocket", Client::WebSocket)];

pub(super) const QUALITIES: [(&str, Option<Quality>); 4] = [
    ("good", Some(Quality::Good)),
    ("expired", Some(Quality::Expired)),
    ("forged", Some(Quality::Forged)),
    ("none", None),
];

/// A list of words, each in backticks.
pub(super) fn words<T>(words: &[(&str, T)]) -> String {
    let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    words.join(", ")
}

/// The value of a word, or a message that lists the known words.
pub(super) fn named<T: Copy>(word: &str, known: &[(&str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    found.ok_or_else(|| format!("unknown value {}; expected one of {}", quoted(word), words(known)))
}
