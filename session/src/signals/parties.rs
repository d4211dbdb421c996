//! Whom an event is about, by the issuers of their tokens.

use super::action::Action;
use super::answer::Refusal;
use super::event::Event;
use super::subject::{Identifier, Subject};
use super::transmitter::{Profile, Transmitter};
use crate::attributes::Holder;
use crate::email::EmailDigest;
use crate::registry::Registry;
use serde::{Deserialize, Serialize};

/// Keycloak's name for every session of a user.
const EVERY_SESSION: &str = "ALL";

/// Whom an event is about: issuers, each with a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parties {
    /// Subjects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<(String, String)>,
    /// E-mail addresses, with the issuers of the tokens that may have said them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<(String, EmailDigest)>,
    /// Values of session claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sids: Vec<(String, String)>,
    /// Devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<(String, String)>,
    /// Nothing says whether the name is a user's or a session's.
    #[serde(default)]
    pub is_either: bool,
}

/// Which of those that an event names something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// The sessions.
    Sessions,
    /// The devices.
    Devices,
    /// The users.
    Users,
}

/// Why an event has no effect.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// It is valid, and not wanted or not about anything here: acknowledged.
    Ignored(&'static str),
    /// It is about tokens of an issuer that the transmitter may not speak of: acknowledged.
    Foreign,
    /// It must not be acted upon without what is not understood of it.
    Refused(Refusal),
}

impl Without {
    /// Why it has none.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Ignored(why) => why,
            Self::Foreign => "the subject's issuer is not in tokens_of",
            Self::Refused(refusal) => &refusal.description,
        }
    }
}

impl Parties {
    /// Whom a transmitter speaks of, for these actions; with the event that it sends, if it sends one.
    pub(super) fn of(
        subject: &Subject,
        event: Option<&Event<'_>>,
        actions: &[Action],
        transmitter: &Transmitter,
        registry: &Registry,
    ) -> Result<Self, Without> {
        match subject {
            Subject::Simple(identifier) => match event.and_then(Event::principal).as_deref() {
                Some("SESSION") => Ok(Self { sids: names(identifier, transmitter)?, ..Self::default() }),
                Some("DEVICE") => Ok(Self { devices: at_each_issuer(identifier, transmitter), ..Self::default() }),
                _ => {
                    let is_opaque = matches!(identifier, Identifier::Opaque(_));
                    let is_either = is_opaque && event.and_then(|event| event.kind.short()) == Some("session-revoked");
                    let sids = if is_either { names(identifier, transmitter)? } else { Vec::new() };
                    Ok(Self { sids, is_either, ..Self::user(identifier, transmitter, registry)? })
                }
            },
            Subject::Complex { user, session, device, members } => {
                let is_read = |identifier: &Option<Identifier>| !matches!(identifier, Some(Identifier::Unknown(_)));
                let is_understood = |name: &str| match name {
                    "user" => is_read(user),
                    "session" => is_read(session),
                    "device" => is_read(device),
                    _ => false,
                };
                let critical = transmitter.critical_members();
                let is_beyond = |name: &&String| critical.contains(name) && !is_understood(name);
                if let Some(name) = members.iter().find(is_beyond) {
                    let what = format!("the subject has the critical member `{name}`, which is not understood here");
                    return Err(Without::Refused(Refusal::request(what)));
                }
                // What is said of a device must not be kept of its user, who has others.
                if !is_read(device) && actions.iter().all(|action| *action == Action::Attribute) {
                    return Err(Without::Ignored("the device is named in a way that says nothing here"));
                }
                let user = user.as_ref().map(|user| Self::user(user, transmitter, registry));
                let devices = device.as_ref().map(|device| at_each_issuer(device, transmitter)).unwrap_or_default();
                match Self::in_session(user, session.as_ref(), transmitter) {
                    Err(Without::Ignored(_)) if !devices.is_empty() => Ok(Self { devices, ..Self::default() }),
                    parties => Ok(Self { devices, ..parties? }),
                }
            }
        }
    }

    /// The user that an identifier names, at each issuer that it can be of.
    fn user(identifier: &Identifier, transmitter: &Transmitter, registry: &Registry) -> Result<Self, Without> {
        let Identifier::Email(address) = identifier else {
            return Ok(Self { users: names(identifier, transmitter)?, ..Self::default() });
        };
        let of = |issuer: &String| (issuer.clone(), registry.email_digest(issuer, address));
        Ok(Self { emails: transmitter.settings.tokens_of.iter().map(of).collect(), ..Self::default() })
    }

    /// A user with a session, as far as they are named.
    fn in_session(
        user: Option<Result<Self, Without>>,
        session: Option<&Identifier>,
        transmitter: &Transmitter,
    ) -> Result<Self, Without> {
        let sids = match session {
            Some(Identifier::Opaque(all))
                if all == EVERY_SESSION && transmitter.settings.profile == Profile::Keycloak =>
            {
                None
            }
            session => session.map(|session| names(session, transmitter)),
        };
        match (user, sids) {
            (Some(Err(Without::Foreign)), _) | (_, Some(Err(Without::Foreign))) => Err(Without::Foreign),
            (None, None) => Err(Without::Ignored("the subject names neither a user nor a session nor a device")),
            (None, Some(sids)) => Ok(Self { sids: sids?, ..Self::default() }),
            // A session that is named in a way that says nothing here can be any of the user's.
            (Some(user), None | Some(Err(_))) => user,
            // A session is what it is, also of a user who is named so.
            (Some(user), Some(Ok(sids))) => {
                let user = user.unwrap_or_default();
                let is_theirs = |(issuer, _): &(String, String)| {
                    user.users.is_empty() || user.users.iter().any(|(of, _)| of == issuer)
                };
                let sids = sids.into_iter().filter(is_theirs).collect();
                Ok(Self { sids, ..user })
            }
        }
    }

    /// The same, with the users whose tokens have said its e-mail addresses.
    pub(crate) fn found(&self, registry: &Registry) -> Self {
        let mut parties = self.clone();
        for (issuer, email) in &self.emails {
            let subjects = registry.subjects_with(issuer, *email);
            parties.users.extend(subjects.into_iter().map(|subject| (issuer.clone(), subject)));
        }
        parties
    }

    /// The most specific ones that attributes can be about: sessions, then perhaps devices, then users.
    pub(super) fn most_specific(&self, may_be_devices: bool) -> Option<On> {
        let all = [On::Sessions, On::Devices, On::Users];
        all.into_iter().find(|on| self.has(*on) && (may_be_devices || *on != On::Devices))
    }

    /// Whether it names any of these.
    pub(super) fn has(&self, on: On) -> bool {
        match on {
            On::Sessions => !self.sids.is_empty(),
            On::Devices => !self.devices.is_empty(),
            On::Users => !(self.users.is_empty() && self.emails.is_empty()),
        }
    }

    /// These, as holders of attributes.
    pub(super) fn holders(&self, on: On) -> Vec<Holder> {
        let of = |(issuer, name): &(String, String)| {
            let (issuer, name) = (issuer.clone(), name.clone());
            match on {
                On::Sessions => Holder::Sid { issuer, sid: name },
                On::Devices => Holder::Device { issuer, device: name },
                On::Users => Holder::Subject { issuer, subject: name },
            }
        };
        let named = match on {
            On::Sessions => &self.sids,
            On::Devices => &self.devices,
            On::Users => &self.users,
        };
        named.iter().map(of).collect()
    }
}

/// The names that an identifier stands for, at each issuer that it can be of.
fn names(identifier: &Identifier, transmitter: &Transmitter) -> Result<Vec<(String, String)>, Without> {
    match identifier {
        Identifier::IssSub { issuer, subject } => match transmitter.issuer_of(issuer) {
            Some(issuer) => Ok(vec![(issuer.to_owned(), subject.clone())]),
            None => Err(Without::Foreign),
        },
        Identifier::Opaque(_) => Ok(at_each_issuer(identifier, transmitter)),
        // A session has no e-mail address.
        Identifier::Email(_) | Identifier::Unknown(_) => {
            Err(Without::Ignored("the subject's format names nobody here"))
        }
    }
}

/// A device is named by whoever manages it: tokens carry only the name.
fn at_each_issuer(identifier: &Identifier, transmitter: &Transmitter) -> Vec<(String, String)> {
    let name = match identifier {
        Identifier::IssSub { subject: name, .. } | Identifier::Opaque(name) => name,
        Identifier::Email(_) | Identifier::Unknown(_) => return Vec::new(),
    };
    transmitter.settings.tokens_of.iter().map(|issuer| (issuer.clone(), name.clone())).collect()
}
