//! From a verified event to what it does: pure, but for what is known of sessions.

use super::action::Action;
use super::answer::Refusal;
use super::event::Event;
use super::subject::{Identifier, Subject};
use super::transmitter::{Profile, Transmitter};
use crate::blocks::{Block, BlockedParty};
use crate::registry::Registry;
use crate::revocations::{Revocation, RevokedParty};
use crate::writer::Effect;

/// Keycloak's name for every session of a user.
const EVERY_SESSION: &str = "ALL";

/// Whom an event is about, by the issuer of their tokens.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parties {
    pub(super) users: Vec<(String, String)>,
    pub(super) sids: Vec<(String, String)>,
    /// Nothing says whether the name is a user's or a session's.
    pub(super) is_either: bool,
}

/// Why an event has no effect.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// It is valid, and not wanted or not about anything here: acknowledged.
    Ignored(&'static str),
    /// It must not be acted upon without what is not understood of it.
    Refused(Refusal),
}

impl Parties {
    /// Whom an event of a transmitter is about.
    pub(super) fn of(subject: &Subject, event: &Event<'_>, transmitter: &Transmitter) -> Result<Self, Without> {
        match subject {
            Subject::Simple(identifier) => {
                let users = names(identifier, transmitter)?;
                let is_either =
                    matches!(identifier, Identifier::Opaque(_)) && event.kind.short() == Some("session-revoked");
                let sids = if is_either { users.clone() } else { Vec::new() };
                Ok(Self { users, sids, is_either })
            }
            Subject::Complex { user, session, members } => {
                let discovered = transmitter.keys.as_ref().map(|keys| keys.critical()).unwrap_or_default();
                let is_critical =
                    |name: &&String| transmitter.settings.critical.contains(name) || discovered.contains(name);
                let is_read = |identifier: &Option<Identifier>| !matches!(identifier, Some(Identifier::Unknown(_)));
                let is_understood = |name: &str| match name {
                    "user" => is_read(user),
                    "session" => is_read(session),
                    _ => false,
                };
                if let Some(name) = members.iter().filter(is_critical).find(|name| !is_understood(name)) {
                    let what = format!("the subject has the critical member `{name}`, which is not understood here");
                    return Err(Without::Refused(Refusal::request(what)));
                }
                let users = user.as_ref().map(|user| names(user, transmitter));
                let sids = match session {
                    Some(Identifier::Opaque(all))
                        if all == EVERY_SESSION && transmitter.settings.profile == Profile::Keycloak =>
                    {
                        None
                    }
                    session => session.as_ref().map(|session| names(session, transmitter)),
                };
                match (users, sids) {
                    (None, None) => Err(Without::Ignored("the subject names neither a user nor a session")),
                    (None, Some(sids)) => Ok(Self { sids: sids?, ..Self::default() }),
                    // A session that is named in a way that says nothing here can be any of the user's.
                    (Some(users), None | Some(Err(_))) => Ok(Self { users: users?, ..Self::default() }),
                    // A session is what it is, also of a user who is named so.
                    (Some(users), Some(Ok(sids))) => {
                        let users = users.unwrap_or_default();
                        let is_theirs = |(issuer, _): &(String, String)| {
                            users.is_empty() || users.iter().any(|(of, _)| of == issuer)
                        };
                        Ok(Self { sids: sids.into_iter().filter(is_theirs).collect(), users, is_either: false })
                    }
                }
            }
        }
    }
}

/// The names that an identifier stands for, at each issuer that it can be of.
fn names(identifier: &Identifier, transmitter: &Transmitter) -> Result<Vec<(String, String)>, Without> {
    match identifier {
        Identifier::IssSub { issuer, subject } => match transmitter.issuer_of(issuer) {
            Some(issuer) => Ok(vec![(issuer.to_owned(), subject.clone())]),
            None => Err(Without::Ignored("the subject's issuer is not in tokens_of")),
        },
        Identifier::Opaque(id) => {
            Ok(transmitter.settings.tokens_of.iter().map(|issuer| (issuer.clone(), id.clone())).collect())
        }
        Identifier::Unknown(_) => Err(Without::Ignored("the subject's format names nobody here")),
    }
}

/// What is known when an event arrives.
pub(super) struct Arrival<'a> {
    pub(super) registry: &'a Registry,
    pub(super) transmitter: &'a str,
    /// For people, and kept with what is made.
    pub(super) reason: String,
    pub(super) now_ms: u64,
}

impl Arrival<'_> {
    /// What actions do to parties.
    pub(super) fn effects(&self, actions: &[Action], parties: &Parties) -> Vec<Effect> {
        let mut effects = Vec::new();
        for action in actions {
            match action {
                Action::End => effects.extend(self.end(parties)),
                Action::EndOthers => effects.extend(self.end_others(parties)),
                Action::Block => effects.extend(blockable(parties).map(|(issuer, party)| self.block(issuer, party))),
                Action::Unblock => {
                    let lift = |(issuer, party)| Effect::Unblock { issuer, party, held: None };
                    effects.extend(blockable(parties).map(lift));
                }
            }
        }
        effects
    }

    fn end(&self, parties: &Parties) -> Vec<Effect> {
        let Parties { users, sids, is_either } = parties;
        let by_sid = sids.iter().map(|(issuer, sid)| self.revoke(issuer, RevokedParty::Sid(sid.clone())));
        // Where tokens carry no session claim, nothing tells the named session from the user's others.
        let of = if sids.is_empty() || *is_either { RevokedParty::Subject } else { RevokedParty::Unnamed };
        by_sid.chain(users.iter().map(|(issuer, name)| self.revoke(issuer, of(name.clone())))).collect()
    }

    fn end_others(&self, parties: &Parties) -> Vec<Effect> {
        let Parties { users, sids, .. } = parties;
        if sids.is_empty() {
            return self.end(parties);
        }
        let mut effects = Vec::new();
        for (issuer, sid) in sids {
            let known = || self.registry.subjects_of(issuer, sid);
            let named = users.iter().filter(|(of, _)| of == issuer).map(|(_, subject)| subject.clone());
            let subjects: Vec<String> = if users.is_empty() { known() } else { named.collect() };
            effects.extend(
                subjects
                    .into_iter()
                    .map(|subject| self.revoke(issuer, RevokedParty::Others { subject, sid: sid.clone() })),
            );
        }
        effects
    }

    fn revoke(&self, issuer: &str, party: RevokedParty) -> Effect {
        let at_ms = self.registry.instant_of(issuer, &party, self.now_ms);
        Effect::Revoke(Revocation {
            issuer: issuer.to_owned(),
            party,
            before_ms: at_ms,
            made_at_ms: self.now_ms,
            ends_at_ms: at_ms,
            reason: self.reason.clone(),
        })
    }

    fn block(&self, issuer: String, party: BlockedParty) -> Effect {
        Effect::Block(Block {
            issuer,
            party,
            until_ms: None,
            made_at_ms: self.now_ms,
            reason: self.reason.clone(),
            transmitter: self.transmitter.to_owned(),
        })
    }
}

/// What is blocked: the users, or the sessions where no user is named.
fn blockable(parties: &Parties) -> impl Iterator<Item = (String, BlockedParty)> {
    let users = parties.users.iter().map(|(issuer, name)| (issuer.clone(), BlockedParty::Subject(name.clone())));
    let sids = parties.sids.iter().filter(|_| parties.users.is_empty());
    users.chain(sids.map(|(issuer, sid)| (issuer.clone(), BlockedParty::Sid(sid.clone()))))
}
