//! A session as far as its refusals depend on it, and what has happened to a scope of it.

use crate::admin::history::History;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A session in the response of the admin API.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Session {
    pub(super) id: String,
    #[serde(default)]
    pub(super) issuer: String,
    #[serde(default)]
    pub(super) key: String,
    /// What the key was made from.
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) subject: String,
    #[serde(default)]
    pub(super) client_id: String,
    #[serde(default)]
    pub(super) access: String,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) granted: Vec<String>,
    #[serde(default)]
    pub(super) narrowings: Vec<Narrowing>,
    #[serde(default)]
    pub(super) opened_at: String,
    pub(super) ended_at: Option<String>,
}

/// What is taken from the party of a session.
#[derive(Debug, Deserialize)]
pub(super) struct Narrowing {
    client_id: Option<String>,
    key: Option<String>,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    removed: Vec<String>,
    /// What a signal of each transmitter has left.
    #[serde(default)]
    signalled: BTreeMap<String, Vec<String>>,
    made_at: Option<String>,
    reason: Option<String>,
}

/// Why a scope is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub(super) enum Cause {
    /// An administrator has taken it from the party.
    Narrowed {
        /// When; absent if that is not known.
        #[serde(skip_serializing_if = "Option::is_none")]
        made_at: Option<String>,
        /// The reason that was stated.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Whether it is taken from the subject with every client.
        every_client: bool,
    },
    /// A signal has left other scopes to the party.
    Signalled {
        /// The transmitter of the signal.
        transmitter: String,
    },
    /// It was taken, and has been given back.
    Restored {
        /// When.
        at: String,
    },
    /// The session was never granted it.
    NotGranted,
    /// The session has it, so the token did not.
    NotInToken,
    /// The session service was not asked, or does not know the session.
    Unknown,
}

impl Narrowing {
    pub(super) fn is_for_every_client(&self) -> bool {
        self.client_id.is_none() && self.key.is_none()
    }

    fn takes(&self, scope: &str) -> bool {
        let is_in = |list: &[String]| list.iter().any(|listed| listed == scope);
        is_in(&self.removed) || self.scopes.as_deref().is_some_and(|left| !is_in(left))
    }
}

impl Session {
    pub(super) fn has_ended(&self) -> bool {
        self.state == "ended"
    }

    /// The narrowing that takes a scope. One of every client comes first: while it holds, that of one client cannot be lifted.
    pub(super) fn narrowing_of(&self, scope: &str) -> Option<&Narrowing> {
        let taking = || self.narrowings.iter().filter(|narrowing| narrowing.takes(scope));
        taking().find(|narrowing| narrowing.is_for_every_client()).or_else(|| taking().next())
    }

    /// The transmitter whose signal has not left a scope to the party.
    fn signalled_by(&self, scope: &str) -> Option<&str> {
        let mut signalled = self.narrowings.iter().flat_map(|narrowing| &narrowing.signalled);
        signalled.find(|(_, left)| !left.iter().any(|left| left == scope)).map(|(transmitter, _)| transmitter.as_str())
    }

    /// The scopes that it was granted and does not have now.
    pub(super) fn taken(&self) -> Vec<String> {
        self.granted.iter().filter(|scope| !self.scopes.contains(scope)).cloned().collect()
    }

    /// Why a request in it lacked a scope.
    pub(super) fn cause(&self, scope: &str, history: &History) -> Cause {
        if !self.granted.iter().any(|granted| granted == scope) {
            return Cause::NotGranted;
        }
        if let Some(narrowing) = self.narrowing_of(scope) {
            let (made_at, reason) = (narrowing.made_at.clone(), narrowing.reason.clone());
            return Cause::Narrowed { made_at, reason, every_client: narrowing.is_for_every_client() };
        }
        if let Some(transmitter) = self.signalled_by(scope) {
            return Cause::Signalled { transmitter: transmitter.to_owned() };
        }
        let names = |event: &Value| {
            let restored = event.get("restore").and_then(Value::as_array);
            restored.is_none_or(|restored| restored.iter().any(|restored| restored.as_str() == Some(scope)))
        };
        let restored = history.latest("scopes_restored", names);
        match restored.and_then(|event| event.get("at")).and_then(Value::as_str) {
            Some(at) => Cause::Restored { at: at.to_owned() },
            None => Cause::NotInToken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_scope_that_a_signal_has_not_left_is_taken_by_its_transmitter_unless_an_operator_has_taken_it() {
        let session: Session = serde_json::from_value(json!({
            "id": "5d41", "state": "active", "scopes": ["a"], "granted": ["a", "b", "c"],
            "narrowings": [{"client_id": "web", "removed": ["c"], "signalled": {"okta": ["a", "b"], "risk": ["a"]}}],
        }))
        .expect("a session");
        let cause = |scope: &str| session.cause(scope, &History::default());
        assert_eq!(cause("a"), Cause::NotInToken);
        assert_eq!(cause("b"), Cause::Signalled { transmitter: "risk".to_owned() });
        assert_eq!(cause("c"), Cause::Narrowed { made_at: None, reason: None, every_client: false });
    }

    #[test]
    fn a_scope_that_was_taken_is_told_apart_from_one_that_was_never_granted() {
        let session: Session = serde_json::from_value(json!({
            "id": "5d41", "state": "active", "scopes": ["a"], "granted": ["a", "b", "c", "d"],
            "narrowings": [
                {"client_id": "web", "removed": ["b", "c"], "made_at": "2026-11-26T09:00:00Z", "reason": "ticket"},
                {"removed": ["c"]},
                {"client_id": "web", "scopes": ["a", "b", "c"]},
            ],
        }))
        .expect("a session");
        let history = History::of(json!({"events": [
            {"event": "scopes_restored", "restore": ["a"], "at": "2026-11-26T10:00:00Z"},
        ]}));
        let narrowed = |made_at: Option<&str>, reason: Option<&str>, every_client| Cause::Narrowed {
            made_at: made_at.map(str::to_owned),
            reason: reason.map(str::to_owned),
            every_client,
        };
        for (scope, expected) in [
            ("b", narrowed(Some("2026-11-26T09:00:00Z"), Some("ticket"), false)),
            ("c", narrowed(None, None, true)),
            // What is left was set, and it is not among that.
            ("d", narrowed(None, None, false)),
            ("x", Cause::NotGranted),
            ("a", Cause::Restored { at: "2026-11-26T10:00:00Z".to_owned() }),
        ] {
            assert_eq!(session.cause(scope, &history), expected, "{scope}");
        }
        assert_eq!(session.cause("a", &History::default()), Cause::NotInToken);
        assert_eq!(session.taken(), ["b", "c", "d"]);
    }
}
