//! Attributes: facts that somebody else knows about a session, a device or a subject, each with a source and perhaps an end.
//! Scripts and risk engines set them by the admin API, transmitters by signals. Each source has its own: of several about one
//! holder, the latest is shown, and no source undoes what another one has said.
//!
//! One of them has a meaning here: `acr` is the authentication context that a login counts as, until the next login. A route
//! has to accept the one of every source.

use crate::revocations::Bearer;
use crate::store::id_text;
use portcullis_contract::SessionId;
use serde::{Deserialize, Serialize};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Attributes that one holder may have from one source; signals set `acr`, `risk` and `device.compliant` also beyond that.
pub const HELD_MAX: usize = 32;

/// The longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The name of the authentication context that a login counts as.
pub const ACR: &str = "acr";

/// The source of what the admin API sets.
pub const ADMIN: &str = "admin";

/// Whether a text can be an attribute's name: a lower-case letter, then up to 63 of these, digits, `_`, `.` and `-`.
pub fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-');
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && text.bytes().all(is_inner)
}

/// What an attribute is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A session, by its public id.
    Session(#[serde(with = "id_text")] SessionId),
    /// The sessions that a value of a session claim names, with whatever client.
    Sid {
        /// The issuer of the tokens.
        issuer: String,
        /// The value.
        sid: String,
    },
    /// A device.
    Device {
        /// The issuer of the tokens that name it.
        issuer: String,
        /// Its id.
        device: String,
    },
    /// A subject.
    Subject {
        /// The issuer of the tokens.
        issuer: String,
        /// `sub`
        subject: String,
    },
}

impl Holder {
    /// The device of that id, by the issuer of the tokens that name it; `None` for an empty id.
    pub fn device(issuer: &str, id: &str) -> Option<Self> {
        (!id.is_empty()).then(|| Self::Device { issuer: issuer.to_owned(), device: id.to_owned() })
    }

    /// Whether a session is one of those that it is about, apart from its device: each of its requests may name another one.
    pub fn holds(&self, bearer: Bearer<'_>) -> bool {
        match self {
            Self::Session(id) => *id == bearer.id(),
            Self::Sid { issuer, sid } => issuer == bearer.issuer && bearer.sid() == Some(sid),
            Self::Device { .. } => false,
            Self::Subject { issuer, subject } => issuer == bearer.issuer && subject == bearer.subject,
        }
    }

    /// Those that a session has, the most specific one first.
    pub fn of(bearer: Bearer<'_>) -> impl Iterator<Item = Self> {
        let issuer = bearer.issuer.to_owned();
        let by_sid = bearer.sid().map(|sid| Self::Sid { issuer: issuer.clone(), sid: sid.to_owned() });
        let of_subject = Self::Subject { issuer, subject: bearer.subject.to_owned() };
        let of_subject = (!bearer.subject.is_empty()).then_some(of_subject);
        [Some(Self::Session(bearer.id())), by_sid, of_subject].into_iter().flatten()
    }

    /// Whether it is a session claim.
    pub(crate) const fn is_sid(&self) -> bool {
        matches!(self, Self::Sid { .. })
    }

    /// What it is, for people.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Session(_) | Self::Sid { .. } => "session",
            Self::Device { .. } => "device",
            Self::Subject { .. } => "subject",
        }
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(serde_json::Number),
    /// A text of at most [`TEXT_BYTES_MAX`] bytes.
    Text(String),
}

impl Value {
    /// Reads one; `None` for whatever an attribute cannot have.
    pub fn read(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::Bool(value) => Some(Self::Boolean(*value)),
            serde_json::Value::Number(value) => Some(Self::Number(value.clone())),
            serde_json::Value::String(value) if value.len() <= TEXT_BYTES_MAX => Some(Self::Text(value.clone())),
            _ => None,
        }
    }
}

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its value.
    pub value: Value,
    /// When it was set.
    pub set_at_ms: u64,
    /// The first instant at which it no longer holds; `None`: it holds until it is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    /// It is about logins that are not later than this; `None`: whatever the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_until_ms: Option<u64>,
}

impl Fact {
    /// Whether it still holds.
    pub fn holds_at(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_none_or(|at_ms| now_ms < at_ms)
    }

    /// The same, for the login of a session. As for revocations of a session claim: what is said of one is about every client,
    /// whose first token may be younger than the login.
    pub(crate) fn holds_for(&self, is_by_sid: bool, bearer: Bearer<'_>, now_ms: u64) -> bool {
        let login_ms = if is_by_sid { bearer.login_ms } else { bearer.start_ms };
        self.holds_at(now_ms) && self.login_until_ms.is_none_or(|until_ms| login_ms <= until_ms)
    }
}

/// An attribute, or the end of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// What it is about.
    pub holder: Holder,
    /// Its name: see [`is_name`].
    pub name: String,
    /// Who says so: [`ADMIN`], or a transmitter.
    pub source: String,
    /// What is known; `None`: no longer anything.
    pub fact: Option<Fact>,
}

impl Attribute {
    /// What tells it from others.
    pub fn identity(&self) -> (Holder, String, String) {
        (self.holder.clone(), self.name.clone(), self.source.clone())
    }

    /// What a store knows it by: JSON.
    pub fn key(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&self.identity())
    }
}

/// What is known of a holder, by name and source.
pub type Known = BTreeMap<(String, String), Fact>;

/// An attribute that stands for a session: of whom, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What it is about.
    pub holder: Holder,
    /// Who says so.
    pub source: String,
    /// What is known.
    pub fact: Fact,
}

/// All attributes.
#[derive(Debug, Default)]
pub struct Attributes {
    known: HashMap<Holder, Known>,
    /// How many of the holders are devices.
    devices: usize,
}

impl Attributes {
    /// Sets an attribute, or removes it.
    pub fn set(&mut self, attribute: Attribute) {
        let Attribute { holder, name, source, fact } = attribute;
        let devices = usize::from(matches!(holder, Holder::Device { .. }));
        match fact {
            Some(fact) => {
                let entry = self.known.entry(holder);
                if matches!(entry, Entry::Vacant(_)) {
                    self.devices += devices;
                }
                entry.or_default().insert((name, source), fact);
            }
            None => {
                let Some(held) = self.known.get_mut(&holder) else { return };
                held.remove(&(name, source));
                if held.is_empty() {
                    self.known.remove(&holder);
                    self.devices = self.devices.saturating_sub(devices);
                }
            }
        }
    }

    /// Whether there are any of a device.
    pub fn know_devices(&self) -> bool {
        self.devices > 0
    }

    /// Those of a holder.
    pub fn at(&self, holder: &Holder) -> Option<&Known> {
        self.known.get(holder)
    }

    /// The holders, in no order, each with what is known of it.
    pub fn each(&self) -> impl Iterator<Item = (&Holder, &Known)> {
        self.known.iter()
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = Attribute> {
        self.each().flat_map(|(holder, known)| {
            known.iter().map(|((name, source), fact)| Attribute {
                holder: holder.clone(),
                name: name.clone(),
                source: source.clone(),
                fact: Some(fact.clone()),
            })
        })
    }

    /// What holds for a session, by name: a session's own before its subject's, and of several sources the latest.
    pub fn of(&self, bearer: Bearer<'_>, now_ms: u64) -> BTreeMap<String, Standing> {
        let mut found = BTreeMap::new();
        for holder in Holder::of(bearer) {
            for ((name, source), fact) in self.known.get(&holder).into_iter().flatten() {
                let is_better =
                    |other: &Standing| other.holder.kind() == holder.kind() && other.fact.set_at_ms <= fact.set_at_ms;
                if fact.holds_for(holder.is_sid(), bearer, now_ms) && found.get(name).is_none_or(is_better) {
                    let (source, fact) = (source.clone(), fact.clone());
                    found.insert(name.clone(), Standing { holder: holder.clone(), source, fact });
                }
            }
        }
        found
    }

    /// What the logins of a session count as.
    pub fn contexts_of(&self, bearer: Bearer<'_>) -> Contexts {
        if self.known.is_empty() {
            return Contexts::default();
        }
        let of = |holder: Holder| {
            let known = self.known.get(&holder).into_iter().flatten();
            let of_logins = known.filter(|((name, _), _)| name == ACR);
            of_logins.map(|(_, fact)| (holder.is_sid(), fact.clone())).collect::<Vec<_>>()
        };
        let facts: Arc<[(bool, Fact)]> = Holder::of(bearer).flat_map(of).collect();
        Contexts((!facts.is_empty()).then_some(facts))
    }
}

/// The authentication contexts that the logins of a session count as, each with whether it is about a session claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contexts(Option<Arc<[(bool, Fact)]>>);

impl Contexts {
    /// Whether one of those of a session's login is none of these.
    pub fn are_beyond(&self, accepted: &[String], bearer: Bearer<'_>, now_ms: u64) -> bool {
        self.of(bearer, now_ms).any(|context| !accepted.iter().any(|accepted| accepted == context))
    }

    /// Those of a session's login; none: what its tokens say.
    pub fn of(&self, bearer: Bearer<'_>, now_ms: u64) -> impl Iterator<Item = &str> {
        let facts = self.0.iter().flat_map(|facts| &**facts);
        let held = facts.filter(move |(is_by_sid, fact)| fact.holds_for(*is_by_sid, bearer, now_ms));
        // A value that no route can name meets none.
        held.map(|(_, fact)| if let Value::Text(text) = &fact.value { text.as_str() } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_contract::KeyKind;

    const ISSUER: &str = "https://id";

    fn bearer(sid: &str) -> Bearer<'_> {
        Bearer {
            issuer: ISSUER,
            subject: "alice",
            client: "web",
            kind: KeyKind::Claim,
            key: sid,
            start_ms: 1,
            login_ms: 1,
        }
    }

    fn of_subject() -> Holder {
        Holder::Subject { issuer: ISSUER.to_owned(), subject: "alice".to_owned() }
    }

    fn of_sid() -> Holder {
        Holder::Sid { issuer: ISSUER.to_owned(), sid: "s".to_owned() }
    }

    fn set(holder: Holder, name: &str, value: &str, expires_at_ms: Option<u64>) -> Attribute {
        let value = Value::Text(value.to_owned());
        let login_until_ms = (name == ACR).then_some(10);
        let fact = Fact { value, set_at_ms: 1, expires_at_ms, login_until_ms };
        Attribute { holder, name: name.to_owned(), source: ADMIN.to_owned(), fact: Some(fact) }
    }

    #[test]
    fn devices_are_known_while_any_of_them_has_an_attribute() {
        let device = |name: &str| Holder::device(ISSUER, name).unwrap();
        let gone = |attribute: Attribute| Attribute { fact: None, ..attribute };
        let mut all = Attributes::default();
        for (change, known) in [
            (set(of_subject(), "a", "x", None), false),
            (gone(set(device("d"), "a", "", None)), false),
            (set(device("d"), "a", "x", None), true),
            (set(device("d"), "a", "y", None), true),
            (set(device("d"), "b", "x", None), true),
            (set(device("e"), "a", "x", None), true),
            (gone(set(device("d"), "a", "", None)), true),
            (gone(set(device("d"), "b", "", None)), true),
            (gone(set(device("d"), "b", "", None)), true),
            (gone(set(of_subject(), "a", "", None)), true),
            (gone(set(device("e"), "a", "", None)), false),
        ] {
            all.set(change.clone());
            assert_eq!(all.know_devices(), known, "{change:?}");
            let has_one = all.each().any(|(holder, _)| matches!(holder, Holder::Device { .. }));
            assert_eq!(has_one, known, "{change:?}");
        }
    }

    #[test]
    fn names_are_lower_case_and_short() {
        for name in ["a", "risk", "device.compliant", "claim.dept_2-x", &"a".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "Risk", "1", ".a", "a b", "ä", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn what_is_known_of_a_session_goes_before_what_is_known_of_its_subject() {
        let mut all = Attributes::default();
        all.set(set(of_subject(), "risk", "low", None));
        all.set(set(of_sid(), "risk", "medium", None));
        let mut later = set(Holder::Session(bearer("s").id()), "risk", "high", Some(20));
        later.fact.as_mut().unwrap().set_at_ms = 2;
        all.set(later);
        all.set(set(of_subject(), "dept", "x", None));
        let value = |sid: &str, name: &str, now_ms| {
            all.of(bearer(sid), now_ms).get(name).map(|held| (held.holder.kind(), held.fact.value.clone()))
        };
        let text = |kind, text: &str| Some((kind, Value::Text(text.to_owned())));
        assert_eq!(value("s", "risk", 19), text("session", "high"));
        assert_eq!(value("s", "risk", 20), text("session", "medium"), "the later one has run out");
        assert_eq!(value("other", "risk", 20), text("subject", "low"));
        assert_eq!(value("s", "dept", 20), text("subject", "x"));
        assert_eq!(value("s", "none", 20), None);
    }

    #[test]
    fn every_context_that_is_said_has_to_be_accepted_for_logins_that_are_not_later() {
        let mut all = Attributes::default();
        all.set(set(of_subject(), ACR, "aal1", None));
        all.set(set(of_sid(), ACR, "aal0", Some(20)));
        let contexts = all.contexts_of(bearer("s"));
        let accepted = |list: &[&str]| list.iter().map(|&acr| acr.to_owned()).collect::<Vec<_>>();
        let both = accepted(&["aal0", "aal1"]);
        let login = |at_ms| Bearer { start_ms: at_ms, login_ms: at_ms, ..bearer("s") };
        assert!(!contexts.are_beyond(&both, login(10), 19), "each of them is accepted");
        for one in ["aal0", "aal1"] {
            assert!(contexts.are_beyond(&accepted(&[one]), login(10), 19), "{one} alone is not enough");
        }
        assert!(!contexts.are_beyond(&accepted(&["aal1"]), login(10), 20), "the other one has run out");
        assert!(!contexts.are_beyond(&accepted(&["aal2"]), login(11), 19), "another login is another one");
        assert_eq!(contexts.of(login(10), 20).collect::<Vec<_>>(), ["aal1"]);
        assert_eq!((contexts.of(login(10), 19).count(), contexts.of(login(11), 19).count()), (2, 0));
        assert_eq!(all.contexts_of(Bearer { subject: "bob", ..bearer("t") }), Contexts::default());
    }

    #[test]
    fn what_is_said_of_a_session_claim_is_about_every_client_whose_tokens_do_not_say_when_its_login_was() {
        let mut all = Attributes::default();
        all.set(set(of_sid(), ACR, "aal1", None));
        let other = Bearer { client: "cli", start_ms: 11, login_ms: 0, ..bearer("s") };
        assert_eq!(all.contexts_of(other).of(other, 19).count(), 1, "its first token is younger than the event");
        let again = Bearer { login_ms: 11, ..other };
        assert_eq!(all.contexts_of(again).of(again, 19).count(), 0);
    }

    #[test]
    fn no_source_undoes_what_another_one_has_said() {
        let mut all = Attributes::default();
        let from = |source: &str, set_at_ms, value: &str| {
            let mut made = set(of_subject(), ACR, value, None);
            made.fact.as_mut().unwrap().set_at_ms = set_at_ms;
            Attribute { source: source.to_owned(), ..made }
        };
        all.set(from("idp", 1, "aal1"));
        all.set(from("other", 2, "aal2"));
        let contexts = all.contexts_of(bearer("s"));
        assert!(contexts.are_beyond(&["aal2".to_owned()], bearer("s"), 9));
        assert_eq!(contexts.of(bearer("s"), 9).collect::<Vec<_>>(), ["aal1", "aal2"]);
        let shown = &all.of(bearer("s"), 9)[ACR];
        assert_eq!((&*shown.source, &shown.fact.value), ("other", &Value::Text("aal2".to_owned())));
        all.set(Attribute { fact: None, ..from("other", 3, "") });
        assert_eq!(all.of(bearer("s"), 9)[ACR].source, "idp");
    }

    #[test]
    fn what_is_removed_leaves_nothing() {
        let mut all = Attributes::default();
        let made = set(of_sid(), "risk", "low", None);
        all.set(made.clone());
        assert!(all.all().eq([made.clone()]));
        all.set(Attribute { fact: None, ..made.clone() });
        assert_eq!((all.all().count(), all.at(&made.holder)), (0, None));
    }

    #[test]
    fn an_attribute_is_read_back_as_it_was_written() {
        for value in [Value::Boolean(true), Value::Number(3.into()), Value::Text("x".to_owned())] {
            for holder in [of_sid(), of_subject(), Holder::Session(bearer("s").id())] {
                let mut attribute = set(holder, "risk", "", Some(7));
                attribute.fact.as_mut().unwrap().value = value.clone();
                let text = serde_json::to_string(&attribute).unwrap();
                assert_eq!(serde_json::from_str::<Attribute>(&text).unwrap(), attribute, "{text}");
            }
        }
    }
}
