//! An event of the audit, as the admin API shows it. Its name and its members are those of its audit line.

use crate::access::Access;
use crate::clock::rfc3339;
use crate::narrowings::Party;
use crate::place::Country;
use portcullis_contract::SessionId;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::sync::Arc;

/// The longest text that a caller has chosen, and the longest list of scopes, in bytes. Events are kept by the thousand.
const TEXT_BYTES_MAX: usize = 1_024;
/// Stands for the rest of what is longer. No scope is spelled so.
const REST: &str = "…";

/// What happened, in the order of importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A session ended.
    Ended,
    /// A session was revoked, durably.
    SessionRevoked,
    /// A refresh handle was used again, and its session was ended for that.
    RefreshReused,
    /// Scopes were taken from a party.
    ScopesNarrowed,
    /// Scopes were given back to a party.
    ScopesRestored,
    /// A session was granted further scopes.
    ScopesGrew,
    /// Access was asked for.
    ApprovalRequested,
    /// A step of a request for access was approved, or it was denied.
    ApprovalDecided,
    /// Access was taken in an emergency.
    BreakGlass,
    /// A request was released because of a grant for one request.
    GrantUsed,
    /// A grant ended.
    GrantEnded,
    /// Something is unusual about where the requests of a session come from.
    Anomaly,
    /// A session opened.
    Opened,
    /// Somebody logged in again within a session.
    Login,
    /// A question was refused.
    Refused,
    /// A question was released that conditions in shadow mode would have refused.
    WouldRefuse,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 16] = [
        Self::Ended,
        Self::SessionRevoked,
        Self::RefreshReused,
        Self::ScopesNarrowed,
        Self::ScopesRestored,
        Self::ScopesGrew,
        Self::ApprovalRequested,
        Self::ApprovalDecided,
        Self::BreakGlass,
        Self::GrantUsed,
        Self::GrantEnded,
        Self::Anomaly,
        Self::Opened,
        Self::Login,
        Self::Refused,
        Self::WouldRefuse,
    ];

    /// The event's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::SessionRevoked => "session_revoked",
            Self::RefreshReused => "refresh_reused",
            Self::ScopesNarrowed => "scopes_narrowed",
            Self::ScopesRestored => "scopes_restored",
            Self::ScopesGrew => "scopes_grew",
            Self::ApprovalRequested => "approval_requested",
            Self::ApprovalDecided => "approval_decided",
            Self::BreakGlass => "break_glass",
            Self::GrantUsed => "grant_used",
            Self::GrantEnded => "grant_ended",
            Self::Anomaly => "anomaly",
            Self::Opened => "opened",
            Self::Login => "login",
            Self::Refused => "refused",
            Self::WouldRefuse => "would_refuse",
        }
    }
}

/// An event. It is made for every decision, listened to or not: it shares what it can.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    pub(super) about: About,
    pub(super) details: Details,
    pub(super) at_ms: u64,
}

/// Whom it concerns.
#[derive(Debug)]
pub(super) enum About {
    Session {
        id: SessionId,
        issuer: Arc<str>,
        subject: Box<str>,
        client_id: Arc<str>,
    },
    /// A session of which only a request for access is known.
    Request {
        session: SessionId,
        issuer: Box<str>,
        subject: Box<str>,
        id: Box<str>,
    },
    Party(Party),
}

/// What belongs to the kind of an event; the rest is left out.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) access: Option<Arc<Access>>,
    /// Why a session or a grant ended.
    pub(super) reason: Option<&'static str>,
    /// What has become of a request for access.
    pub(super) state: Option<&'static str>,
    /// Why a question was refused.
    pub(super) outcome: Option<&'static str>,
    pub(super) route: Option<Text>,
    /// The scopes of a refused token that its session was not granted.
    pub(super) beyond_grant: Option<Scopes>,
    /// What a refused login does not meet: `acr` or `max_age`; then what the route accepts, and what the session has.
    pub(super) step_up: Option<&'static str>,
    pub(super) wanted: Option<Text>,
    pub(super) had: Option<Text>,
    /// What is unusual, with the country and the one before.
    pub(super) anomaly: Option<&'static str>,
    pub(super) country: Option<Country>,
    pub(super) before: Option<Country>,
    /// The condition that refuses.
    pub(super) condition: Option<Text>,
    pub(super) remove: Option<Scopes>,
    pub(super) restore: Option<Scopes>,
    pub(super) scopes: Option<Scopes>,
    pub(super) removed: Option<Scopes>,
    pub(super) stated_reason: Option<Text>,
    pub(super) by: Option<&'static str>,
    /// The caller of the admin API.
    pub(super) admin: Option<Arc<str>>,
}

/// A text, cut where it is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(Box<str>);

impl Text {
    pub(super) fn new(text: &str) -> Self {
        match text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)) {
            Some(head) if head.len() < text.len() => Self([head, REST].concat().into()),
            _ => Self(text.into()),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The text; `None` if it is empty.
    pub(super) fn given(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::new(text))
    }
}

/// A list of scopes, cut where it is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scopes(Box<[Box<str>]>);

impl Scopes {
    pub(super) fn new<S: AsRef<str>>(scopes: impl IntoIterator<Item = S>) -> Self {
        let mut list: Vec<Box<str>> = Vec::new();
        let mut left = TEXT_BYTES_MAX;
        for scope in scopes {
            let scope = scope.as_ref();
            let Some(after) = left.checked_sub(scope.len() + 1) else {
                list.push(REST.into());
                break;
            };
            left = after;
            list.push(scope.into());
        }
        Self(list.into())
    }

    /// The list; `None` if it is empty.
    pub(super) fn given<S: AsRef<str>>(scopes: impl IntoIterator<Item = S>) -> Option<Self> {
        Some(Self::new(scopes)).filter(|scopes| !scopes.0.is_empty())
    }

    /// The list as an audit line has it.
    pub(super) fn joined(&self) -> String {
        self.0.join(" ")
    }
}

impl Event {
    /// Whether it concerns a session, of which `party` is the party if it is known.
    pub(super) fn concerns(&self, session: SessionId, party: Option<&Party>) -> bool {
        match &self.about {
            About::Session { id, .. } | About::Request { session: id, .. } => *id == session,
            About::Party(of) => party.is_some_and(|party| of.covers(party)),
        }
    }
}

/// The members of its audit line, and `at`. The event's name is not among them.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        self.members(&mut map)?;
        map.end()
    }
}

/// The same with the event's name, as `event`.
#[derive(Debug)]
pub struct Named<'e>(pub &'e Event);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("event", self.0.kind.as_str())?;
        self.0.members(&mut map)?;
        map.end()
    }
}

impl Event {
    fn members<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match &self.about {
            About::Session { id, issuer, subject, client_id } => {
                map.serialize_entry("session", &id.to_string())?;
                map.serialize_entry("issuer", &**issuer)?;
                map.serialize_entry("subject", &**subject)?;
                map.serialize_entry("client_id", &**client_id)?;
            }
            About::Request { session, issuer, subject, id } => {
                map.serialize_entry("session", &session.to_string())?;
                map.serialize_entry("issuer", &**issuer)?;
                map.serialize_entry("subject", &**subject)?;
                map.serialize_entry("request", &**id)?;
            }
            About::Party(party) => {
                map.serialize_entry("issuer", &party.issuer)?;
                map.serialize_entry("subject", &party.subject)?;
                member(map, "client_id", (!party.every_client).then_some(&party.client))?;
                member(map, "key", party.named_key())?;
            }
        }
        let Details { access, reason, state, outcome, route, beyond_grant, remove, restore, scopes, removed, .. } =
            &self.details;
        member(map, "access", access.as_ref().map(|access| &access.name))?;
        member(map, "reason", *reason)?;
        member(map, "state", *state)?;
        member(map, "outcome", *outcome)?;
        member(map, "route", route.as_ref().map(|route| &*route.0))?;
        member(map, "step_up", self.details.step_up)?;
        member(map, "wanted", self.details.wanted.as_ref().map(Text::as_str))?;
        member(map, "had", self.details.had.as_ref().map(Text::as_str))?;
        member(map, "anomaly", self.details.anomaly)?;
        member(map, "country", self.details.country.as_ref().map(Country::as_str))?;
        member(map, "before", self.details.before.as_ref().map(Country::as_str))?;
        member(map, "condition", self.details.condition.as_ref().map(Text::as_str))?;
        let lists = [
            ("beyond_grant", beyond_grant),
            ("remove", remove),
            ("restore", restore),
            ("scopes", scopes),
            ("removed", removed),
        ];
        for (key, list) in lists {
            member(map, key, list.as_ref().map(|list| &*list.0))?;
        }
        member(map, "stated_reason", self.details.stated_reason.as_ref().map(|text| &*text.0))?;
        member(map, "by", self.details.by)?;
        member(map, "admin", self.details.admin.as_deref())?;
        map.serialize_entry("at", &rfc3339(self.at_ms))
    }
}

fn member<M: SerializeMap, T: Serialize>(map: &mut M, key: &'static str, value: Option<T>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, &value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_has_the_members_of_its_kind_and_no_other() {
        let about = About::Party(Party::of_subject("i", "alice"));
        let (remove, stated_reason) = (Scopes::given(["a", "b"]), Text::given("ticket"));
        let admin = Some("anna".into());
        let details = Details { remove, stated_reason, by: Some("admin"), admin, ..Details::default() };
        let event = Event { kind: Kind::ScopesNarrowed, about, details, at_ms: 0 };
        let members = json!({
            "issuer": "i", "subject": "alice", "remove": ["a", "b"], "stated_reason": "ticket", "by": "admin",
            "admin": "anna", "at": "1970-01-01T00:00:00Z",
        });
        assert_eq!(serde_json::to_value(&event).unwrap(), members);
        let named = serde_json::to_value(Named(&event)).unwrap();
        assert_eq!((&named["event"], named.as_object().unwrap().len()), (&json!("scopes_narrowed"), 8));
    }

    #[test]
    fn what_a_caller_has_chosen_is_cut() {
        assert_eq!(Text::given(""), None);
        let long = Text::new(&"ü".repeat(TEXT_BYTES_MAX));
        assert!(long.0.ends_with(REST) && long.0.len() <= TEXT_BYTES_MAX + REST.len(), "{}", long.0.len());
        let many = Scopes::new((0..TEXT_BYTES_MAX).map(|number| number.to_string()));
        assert!(many.joined().len() <= TEXT_BYTES_MAX + REST.len() && many.joined().ends_with(REST));
        assert_eq!(Scopes::given([""; 0]), None);
    }

    #[test]
    fn the_kinds_are_numbered_in_their_order() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
    }
}
