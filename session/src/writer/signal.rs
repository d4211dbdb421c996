//! Signals of identity providers: the receipt and the effects of each are made in one commit, and only once.

use super::commit::Commit;
use super::late::Late;
use super::op::{NotWritten, Op, Reply, answer};
use super::prepare::{Group, Step};
use crate::attributes::Attribute;
use crate::audit::Actor;
use crate::blocks::{Block, BlockedParty};
use crate::held::HeldSignal;
use crate::narrowings::{Narrowing, Party};
use crate::revocations::Revocation;
use crate::signals::Fate;
use crate::store::{Change, Receipt, ReceiptId, StoreError};
use std::collections::HashSet;
use tracing::info;

/// How the names of attributes that are claims begin.
const CLAIM: &str = "claim.";

/// A signal that was verified, with what it is to do.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// The name of its transmitter.
    pub(crate) transmitter: String,
    /// What it is recognized by when it comes again; none for what is never sent again.
    pub(crate) receipt: Option<Receipt>,
    /// The id of the held signal that it releases, or drops where it does nothing.
    pub(crate) releases: Option<String>,
    /// Whether a session is live that it is about.
    pub(crate) is_matched: bool,
    /// What the audit says of it once it is durable, whether or not its sender still waits.
    pub(crate) line: Option<Line>,
    /// What it does, in order.
    pub(crate) effects: Vec<Effect>,
}

/// What the audit says of a signal, beside what became of it.
#[derive(Debug)]
pub(crate) struct Line {
    /// The id that its transmitter has given it.
    pub(crate) jti: Option<String>,
    /// Its event.
    pub(crate) event: String,
    /// The names of its actions.
    pub(crate) actions: String,
    /// What becomes of it where that is not for its effects to say.
    pub(crate) fate: Option<Fate>,
    /// The id under which it is held.
    pub(crate) held: Option<String>,
}

impl Line {
    fn say(self, transmitter: &str, fate: Fate, ended: usize, actor: &Actor) {
        let (Self { jti, event, actions, held, .. }, admin) = (self, actor.admin());
        info!(
            target: "audit", event = "signal", transmitter, jti, signal = event, fate = fate.as_str(), actions, ended, held,
            admin,
        );
    }
}

/// One thing that a signal does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Revokes a party.
    Revoke(Revocation),
    /// Blocks a party.
    Block(Block),
    /// Lifts the block of a party that a signal of the same transmitter has made.
    Unblock {
        /// The issuer of the tokens.
        issuer: String,
        /// The party.
        party: BlockedParty,
        /// The block, if there is one: the commit finds it.
        held: Option<Block>,
    },
    /// Leaves a party these scopes, as far as this transmitter is concerned.
    Narrow {
        /// The party.
        party: Party,
        /// The scopes.
        scopes: Vec<String>,
        /// When it arrived.
        made_at_ms: u64,
        /// Why.
        reason: String,
        /// What that makes of narrowings: the commit finds it.
        made: Vec<Narrowing>,
    },
    /// Sets an attribute, or removes it.
    Attribute(Attribute),
    /// Holds a signal.
    Hold(HeldSignal),
    /// A signal of this id counts as one that was never received.
    Unreceived(ReceiptId),
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It was received before, and has its effects or is held; or what it releases is no longer held.
    Before,
    /// It has them now.
    Now {
        /// What that came to.
        fate: Fate,
        /// Live sessions that it ended.
        ended: usize,
    },
}

/// The signals of a group that were received before, which grows with the group.
pub(super) type Received = Result<HashSet<ReceiptId>, StoreError>;

impl Commit {
    /// Reads them with one query.
    pub(super) fn received(&self, ops: &[Op]) -> Received {
        let ids: Vec<&ReceiptId> = ops
            .iter()
            .filter_map(|op| match op {
                Op::Signal(signal, _) => Some(&signal.receipt.as_ref()?.id),
                _ => None,
            })
            .collect();
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let mut received = self.store.received(&ids)?;
        let unsettled = self.unsettled();
        received.retain(|id| !unsettled.contains(id));
        Ok(received)
    }

    pub(super) fn prepare_signal(
        &self,
        group: &mut Group,
        received: &mut Received,
        mut signal: Box<Signal>,
        reply: Reply<Applied>,
    ) {
        let received = match received {
            Ok(received) => received,
            Err(error) => return answer(reply, Err(NotWritten::Failed(error.clone()))),
        };
        // Of two in one group, the second one waits for the first one's commit like everything in it.
        if signal.receipt.as_ref().is_some_and(|receipt| !received.insert(receipt.id.clone())) {
            signal.effects.clear();
            group.steps.push(Step::Signal(signal, false, reply));
            return;
        }
        if let Some(id) = &signal.releases {
            if !self.is_held(group, id) {
                return answer(reply, Ok(Applied::Before));
            }
            group.changes.push(Change::Unhold(id.clone()));
        }
        let mut effects = std::mem::take(&mut signal.effects);
        effects.retain_mut(|effect| {
            let has_room = self.has_room(group, effect);
            if has_room {
                let changes = self.prepare_effect(group, &signal.transmitter, effect);
                group.changes.extend(changes);
            }
            has_room
        });
        signal.effects = effects;
        group.changes.extend(signal.receipt.clone().map(Change::Received));
        group.steps.push(Step::Signal(signal, true, reply));
    }

    /// The changes that an effect makes.
    fn prepare_effect(&self, group: &Group, transmitter: &str, effect: &mut Effect) -> Vec<Change> {
        match effect {
            Effect::Revoke(revocation) => vec![Change::Revocation(revocation.clone())],
            Effect::Block(block) => vec![Change::Block(block.clone())],
            Effect::Unblock { issuer, party, held } => {
                *held = self.block_of(group, transmitter, issuer, party);
                held.iter().cloned().map(Change::Unblock).collect()
            }
            Effect::Narrow { party, scopes, made_at_ms, reason, made } => {
                let held = self.narrowing(group, party);
                *made = self.superseded(group, transmitter, party, scopes);
                made.push(held.signalled(transmitter, scopes.clone(), *made_at_ms, reason));
                made.iter().cloned().map(Change::Narrowing).collect()
            }
            Effect::Attribute(attribute) => vec![Change::Attribute(attribute.clone())],
            Effect::Hold(held) => vec![Change::Hold(held.clone())],
            Effect::Unreceived(id) => vec![Change::Unreceived(vec![id.clone()])],
        }
    }

    /// What becomes of earlier signals of the transmitter about the same user: of one about every client, it is what the later
    /// one says, and those about one client are covered by one about every client.
    fn superseded(&self, group: &Group, transmitter: &str, party: &Party, scopes: &[String]) -> Vec<Narrowing> {
        if !party.every_client {
            let every = self.narrowing(group, &Party::of_subject(&party.issuer, &party.subject));
            let (made_at_ms, reason) = (every.made_at_ms.unwrap_or_default(), every.reason.clone());
            let is_signalled = every.signalled.contains_key(transmitter);
            let later = is_signalled.then(|| every.signalled(transmitter, scopes.to_vec(), made_at_ms, &reason));
            return later.into_iter().collect();
        }
        let covered = self.parties_in(group).into_iter().filter(|other| *other != *party && party.covers(other));
        let lifted = covered.filter_map(|other| {
            let mut narrowing = self.narrowing(group, &other);
            narrowing.signalled.remove(transmitter).map(|_| narrowing)
        });
        lifted.collect()
    }

    /// Whether a signal is held, after the changes of this group so far.
    fn is_held(&self, group: &Group, id: &str) -> bool {
        let is_gone = group.changes.iter().any(|change| matches!(change, Change::Unhold(gone) if gone == id));
        !is_gone && self.registry.held_signal(id).is_some()
    }

    /// Whether there is room for a claim. There is always room for what has a meaning of its own.
    fn has_room(&self, group: &Group, effect: &Effect) -> bool {
        match effect {
            Effect::Attribute(attribute) if attribute.name.starts_with(CLAIM) => self.has_room_for(group, attribute),
            _ => true,
        }
    }

    /// The block of a party that a transmitter has made, after the changes of this group so far.
    fn block_of(&self, group: &Group, transmitter: &str, issuer: &str, party: &BlockedParty) -> Option<Block> {
        let is_it = |block: &Block| block.transmitter == transmitter && block.issuer == issuer && block.party == *party;
        let held = self.registry.signalled_block(transmitter, issuer, party);
        group.changes.iter().fold(held, |held, change| match change {
            Change::Block(block) if is_it(block) => Some(block.clone()),
            Change::Unblock(block) if held.as_ref() == Some(block) => None,
            _ => held,
        })
    }

    pub(super) fn finish_signal(&self, signal: Signal, is_new: bool, late: &mut Late, reply: Reply<Applied>) {
        if !is_new {
            if signal.receipt.is_some_and(|receipt| self.unsettled().contains(&receipt.id)) {
                let error = StoreError("the same signal, a moment before, could not be written".to_owned());
                return answer(reply, Err(NotWritten::Failed(error)));
            }
            late.answers.push(Box::new(move |made| answer(reply, made.map(|()| Applied::Before))));
            return;
        }
        let (mut ended, mut made, mut attributes) = (0, Ok(()), Vec::new());
        let mut is_matched = signal.is_matched;
        for effect in signal.effects {
            match effect {
                Effect::Revoke(mut revocation) => match self.publish(&mut revocation, "signal", &reply.by, late) {
                    Ok(count) => ended += count,
                    Err(error) => made = Err(error),
                },
                Effect::Block(block) => {
                    let replaced = self.registry.block(&block);
                    self.audit.block_made(&block, replaced.is_some(), &reply.by);
                }
                Effect::Narrow { made, .. } => {
                    self.registry.narrow(&made);
                    made.iter().for_each(|narrowing| self.audit.narrowed(narrowing, "signal", &reply.by));
                }
                Effect::Attribute(attribute) => {
                    self.audit.attribute(&attribute, "signal", &reply.by);
                    attributes.push(attribute);
                }
                Effect::Hold(held) => self.registry.hold(held),
                Effect::Unreceived(_) => {}
                Effect::Unblock { held, .. } => {
                    for block in held.iter().filter(|block| self.registry.unblock(block)) {
                        is_matched = true;
                        self.audit.block_lifted(block, &reply.by);
                    }
                }
            }
        }
        if !attributes.is_empty() {
            self.registry.set_attributes(&attributes);
        }
        let id = signal.receipt.map(|receipt| receipt.id);
        match made {
            Ok(()) => {
                signal.releases.iter().for_each(|id| self.registry.unhold(id));
                let mut unsettled = self.unsettled();
                unsettled.retain(|held| Some(held) != id.as_ref());
                drop(unsettled);
                let (transmitter, line) = (signal.transmitter, signal.line);
                late.answers.push(Box::new(move |made| {
                    let decided = line.as_ref().and_then(|line| line.fate);
                    let by_effect = if is_matched || ended > 0 { Fate::Applied } else { Fate::Unmatched };
                    let fate = decided.unwrap_or(by_effect);
                    // It is committed, also where what is to be written after it fails.
                    if let Some(line) = line {
                        line.say(&transmitter, fate, ended, &reply.by);
                    }
                    answer(reply, made.map(|()| Applied::Now { fate, ended }));
                }));
            }
            Err(error) => {
                // Its receipt is on disk, and the last of its effects is not: it is made again when it comes again. One that was
                // held stays held, and is made again when it is released again.
                self.unsettled().extend(id);
                answer(reply, Err(NotWritten::Failed(error)));
            }
        }
    }
}
