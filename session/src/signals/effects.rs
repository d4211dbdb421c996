//! From what a signal asks for to its effects: pure, but for what is known of sessions.

use super::order::{Deed, Order};
use super::parties::{On, Parties};
use crate::attributes::{ACR, Attribute, Fact, Holder, Value};
use crate::blocks::{Block, BlockedParty};
use crate::email::EmailDigest;
use crate::made_by::MadeBy;
use crate::narrowings::Party;
use crate::registry::Registry;
use crate::revocations::{Revocation, RevokedParty};
use crate::writer::Effect;
use std::collections::BTreeMap;

/// What is known when a signal is carried out.
pub(super) struct Arrival<'a> {
    pub(super) registry: &'a Registry,
    pub(super) transmitter: &'a str,
    /// For people, and kept with what is made.
    pub(super) reason: &'a str,
    pub(super) now_ms: u64,
}

impl Arrival<'_> {
    /// The effects of what a signal asks for.
    pub(super) fn effects(&self, order: &Order) -> Vec<Effect> {
        let parties = &order.parties.found(self.registry);
        let mut effects = Vec::new();
        for deed in &order.deeds {
            match deed {
                Deed::End => effects.extend(self.end(parties)),
                Deed::EndOthers => effects.extend(self.end_others(parties)),
                Deed::Block => {
                    effects.extend(blockable(parties).map(|(issuer, party)| self.block(parties, issuer, party)));
                }
                Deed::Unblock => effects.extend(self.unblock(parties)),
                Deed::Narrow(scopes) => effects.extend(self.narrow(parties, scopes)),
                Deed::StepUp { on, acr } => {
                    effects.extend(self.whose_logins(parties, *on).iter().map(|holder| self.step_up(holder, acr)));
                }
                Deed::Attribute { on, facts } => {
                    let on = parties.holders(*on);
                    let of =
                        |holder| facts.iter().map(move |(name, value)| self.attribute(holder, name, value.clone()));
                    effects.extend(on.iter().flat_map(of));
                }
            }
        }
        effects
    }

    fn end(&self, parties: &Parties) -> Vec<Effect> {
        let Parties { users, sids, is_either, .. } = parties;
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
            reason: self.reason.to_owned(),
            by: MadeBy::default(),
        })
    }

    fn block(&self, parties: &Parties, issuer: String, party: BlockedParty) -> Effect {
        let named = parties.emails.iter().find(|(of, _)| *of == issuer).map(|(_, email)| *email);
        // A block that names the user otherwise does not forget the address of the one before.
        let held = || self.registry.signalled_block(self.transmitter, &issuer, &party)?.email;
        let email = named.or_else(held);
        Effect::Block(Block {
            issuer,
            party,
            email,
            until_ms: None,
            made_at_ms: self.now_ms,
            reason: self.reason.to_owned(),
            transmitter: self.transmitter.to_owned(),
            by: MadeBy::default(),
        })
    }

    /// Lifts the blocks of the named users, also of those whom only the block itself still knows by their address.
    fn unblock(&self, parties: &Parties) -> Vec<Effect> {
        let known = |(issuer, email): &(String, EmailDigest)| {
            let blocked = self.registry.blocked_by_email(self.transmitter, issuer, *email).into_iter();
            blocked.map(|party| (issuer.clone(), party)).collect::<Vec<_>>()
        };
        let mut lifted: Vec<(String, BlockedParty)> = parties.emails.iter().flat_map(known).collect();
        for named in blockable(parties) {
            if !lifted.contains(&named) {
                lifted.push(named);
            }
        }
        lifted.into_iter().map(|(issuer, party)| Effect::Unblock { issuer, party, held: None }).collect()
    }

    /// What is left to the parties of the named sessions that are live; where there is none, to the user with every client.
    fn narrow(&self, parties: &Parties, scopes: &BTreeMap<String, Vec<String>>) -> Vec<Effect> {
        let of_sessions = parties.sids.iter().flat_map(|(issuer, sid)| self.registry.parties_of(issuer, sid));
        let mut narrowed: Vec<Party> = of_sessions.collect();
        if narrowed.is_empty() {
            narrowed.extend(parties.users.iter().map(|(issuer, subject)| Party::of_subject(issuer, subject)));
        }
        let effect = |party: Party| {
            let scopes = scopes.get(&party.issuer)?.clone();
            let (made_at_ms, reason) = (self.now_ms, self.reason.to_owned());
            Some(Effect::Narrow { party, scopes, made_at_ms, reason, made: Vec::new() })
        };
        narrowed.into_iter().filter_map(effect).collect()
    }

    /// Whose logins count for less. Where no live session is named so, tokens may carry no session claim: then all of the user's.
    fn whose_logins(&self, parties: &Parties, on: On) -> Vec<Holder> {
        let mut holders = parties.holders(on);
        if on == On::Sessions && !self.registry.are_held(&holders.iter().collect()) {
            holders.extend(parties.holders(On::Users));
        }
        holders
    }

    fn step_up(&self, holder: &Holder, acr: &str) -> Effect {
        let login_until_ms = Some(self.registry.login_until_ms(holder, self.now_ms));
        let value = Value::Text(acr.to_owned());
        Effect::Attribute(Attribute {
            holder: holder.clone(),
            name: ACR.to_owned(),
            source: self.transmitter.to_owned(),
            fact: Some(Fact { login_until_ms, ..self.fact(value) }),
        })
    }

    fn attribute(&self, holder: &Holder, name: &str, value: Option<Value>) -> Effect {
        let fact = value.map(|value| self.fact(value));
        let (name, source) = (name.to_owned(), self.transmitter.to_owned());
        Effect::Attribute(Attribute { holder: holder.clone(), name, source, fact })
    }

    fn fact(&self, value: Value) -> Fact {
        Fact { value, set_at_ms: self.now_ms, expires_at_ms: None, login_until_ms: None }
    }
}

/// What is blocked: the users, or the sessions where no user is named.
fn blockable(parties: &Parties) -> impl Iterator<Item = (String, BlockedParty)> {
    let users = parties.users.iter().map(|(issuer, name)| (issuer.clone(), BlockedParty::Subject(name.clone())));
    let sids = parties.sids.iter().filter(|_| parties.users.is_empty());
    users.chain(sids.map(|(issuer, sid)| (issuer.clone(), BlockedParty::Sid(sid.clone()))))
}
