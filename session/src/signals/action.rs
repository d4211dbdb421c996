//! What an event does: the allow-list of a transmitter.

use super::event::{EventType, OPENID};
use std::collections::{BTreeMap, BTreeSet};

/// One thing that an event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ends what the subject names: a session, or every session of a user.
    End,
    /// Ends every session of the subject's user whose last login is before the event, except the one that it names.
    EndOthers,
    /// Blocks what the subject names, until it is unblocked.
    Block,
    /// Lifts that.
    Unblock,
    /// Leaves the subject's party the scopes that the event states, and takes its other claims for attributes.
    Narrow,
    /// Has the subject's login count as the authentication context that the event states.
    StepUp,
    /// Takes what the event states about a device or a risk for attributes.
    Attribute,
}

impl Action {
    /// All of them, by the names that a configuration uses.
    pub(crate) const ALL: [(&'static str, Self); 7] = [
        ("end", Self::End),
        ("end_others", Self::EndOthers),
        ("block", Self::Block),
        ("unblock", Self::Unblock),
        ("narrow", Self::Narrow),
        ("step_up", Self::StepUp),
        ("attribute", Self::Attribute),
    ];

    /// The action's name.
    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }
}

/// What events do when a configuration does not say.
const DEFAULTS: [(&str, Action); 11] = [
    ("session-revoked", Action::End),
    ("sessions-revoked", Action::End),
    ("credential-change", Action::EndOthers),
    ("credential-compromise", Action::End),
    ("account-disabled", Action::Block),
    ("account-purged", Action::Block),
    ("account-enabled", Action::Unblock),
    ("token-claims-change", Action::Narrow),
    ("assurance-level-change", Action::StepUp),
    ("device-compliance-change", Action::Attribute),
    ("risk-level-change", Action::Attribute),
];

/// What each wanted event does. Every other one is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actions(BTreeMap<String, Vec<Action>>);

impl Default for Actions {
    fn default() -> Self {
        Self(DEFAULTS.iter().map(|(name, action)| ((*name).to_owned(), vec![*action])).collect())
    }
}

impl Actions {
    /// The same, where an event does these; none: it is ignored. It is named by its whole URI, or by the last segment of a
    /// URI of the OpenID Foundation.
    pub(crate) fn set(&mut self, event: String, actions: Vec<Action>) {
        self.0.insert(event, actions);
    }

    /// What an event does.
    pub(super) fn of(&self, event: &EventType) -> &[Action] {
        let named = self.0.get(event.uri()).or_else(|| self.0.get(event.short()?));
        named.map_or(&[], Vec::as_slice)
    }

    /// The URIs of the events that do something: what a stream has to deliver.
    pub(super) fn wanted(&self) -> BTreeSet<String> {
        let all = self.0.keys().map(|named| uri(named));
        all.filter(|uri| !self.of(&EventType::of(uri.clone())).is_empty()).collect()
    }
}

/// The events of CAEP 1.0. Other short names are those of RISC.
const CAEP: [&str; 8] = [
    "session-revoked",
    "session-established",
    "session-presented",
    "token-claims-change",
    "credential-change",
    "assurance-level-change",
    "device-compliance-change",
    "risk-level-change",
];

/// The URI of an event that is named by it, or by its last segment.
fn uri(named: &str) -> String {
    match named {
        whole if whole.contains(':') => whole.to_owned(),
        caep if CAEP.contains(&caep) => format!("{OPENID}caep/event-type/{caep}"),
        // Of RISC's drafts; Google sends it.
        "tokens-revoked" => format!("{OPENID}oauth/event-type/{named}"),
        risc => format!("{OPENID}risc/event-type/{risc}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_to_deliver_what_does_something() {
        let mut actions = Actions::default();
        let short = |actions: &Actions| -> Vec<String> {
            actions.wanted().iter().map(|uri| uri.trim_start_matches(OPENID).to_owned()).collect()
        };
        assert_eq!(
            short(&actions),
            [
                "caep/event-type/assurance-level-change",
                "caep/event-type/credential-change",
                "caep/event-type/device-compliance-change",
                "caep/event-type/risk-level-change",
                "caep/event-type/session-revoked",
                "caep/event-type/token-claims-change",
                "risc/event-type/account-disabled",
                "risc/event-type/account-enabled",
                "risc/event-type/account-purged",
                "risc/event-type/credential-compromise",
                "risc/event-type/sessions-revoked",
            ]
        );
        for ignored in ["account-disabled", "account-enabled", "account-purged", "credential-compromise"] {
            actions.set(ignored.to_owned(), Vec::new());
        }
        actions.set("tokens-revoked".to_owned(), vec![Action::End]);
        // A URI goes before the short name that it ends with.
        actions.set(format!("{OPENID}caep/event-type/session-revoked"), Vec::new());
        actions.set("urn:example:offboarded".to_owned(), vec![Action::Block]);
        actions.set("urn:example:other".to_owned(), Vec::new());
        assert_eq!(
            short(&actions),
            [
                "caep/event-type/assurance-level-change",
                "caep/event-type/credential-change",
                "caep/event-type/device-compliance-change",
                "caep/event-type/risk-level-change",
                "caep/event-type/token-claims-change",
                "oauth/event-type/tokens-revoked",
                "risc/event-type/sessions-revoked",
                "urn:example:offboarded"
            ]
        );
    }
}
