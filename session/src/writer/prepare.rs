//! First step of a commit: the changes of a group, or of a chunk of what is written later, gathered from memory.

use super::approval::{Approved, Made};
use super::attribute::Set;
use super::commit::Commit;
use super::op::{Changed, NotWritten, Op, Opened, Opening, Reply, Revoking, Unseen, answer};
use super::retention::Forgotten;
use super::signal::{Applied, Signal};
use crate::attributes::Attribute;
use crate::audit::EndedBy;
use crate::blocks::Block;
use crate::judge::End;
use crate::life::{OnDisk, Stage, Write};
use crate::made_by::MadeBy;
use crate::narrowings::{Narrowing, ScopeChange};
use crate::registry::{Candidate, LookedUp};
use crate::revocations::{Revocation, RevokedParty};
use crate::session::Session;
use crate::store::{Change, Lead, Record, StoreError};
use portcullis_contract::SessionId;
use std::sync::Arc;

/// A group of changes, ready for the store.
#[derive(Default)]
pub(crate) struct Group {
    pub(super) changes: Vec<Change>,
    /// After all others: the record of a session that comes back must not be followed by the tombstone that it replaces.
    pub(super) openings: Vec<Change>,
    pub(super) steps: Vec<Step>,
    /// Leads of issuers that first uses have shown.
    pub(super) leads: Vec<Lead>,
}

/// Sessions that are written later, ready for the store.
pub(crate) struct Behind {
    pub(super) changes: Vec<Change>,
    pub(super) pending: Vec<Pending>,
}

/// A write of a session that is under way.
pub(super) struct Pending {
    pub(super) session: Arc<Session>,
    pub(super) write: Write,
    /// The session in whose place it came, which is over once this is on disk.
    pub(super) replaced: Option<Arc<Session>>,
}

/// What is left to do for an operation when its commit is made.
pub(super) enum Step {
    Revoke(Box<Record>, Revoking, Option<Pending>, Reply<Option<Box<Record>>>),
    /// The revocation of an id that no session has, or one whose tombstone cannot be read.
    RevokeUnseen(SessionId, Revocation, Reply<Option<Box<Record>>>),
    Narrow(Vec<Narrowing>, Reply<()>),
    /// The first narrowing is that of the party of the change.
    ChangeScopes(Vec<Narrowing>, ScopeChange, Reply<Changed>),
    /// The session that it opens, if it opens one.
    Enrol(Option<Arc<Session>>, Arc<Candidate>, LookedUp, Reply<LookedUp>),
    Open(Arc<Session>, u64, Reply<Opened>),
    Revocation(Revocation, Reply<usize>),
    Lift(Revocation, Reply<bool>),
    Block(Block, Reply<Option<Block>>),
    Unblock(Block, Reply<bool>),
    Attribute(Attribute, Reply<Set>),
    Approval(Made, Reply<Approved>),
    /// Whether it is new.
    Signal(Box<Signal>, bool, Reply<Applied>),
    Forget(Forgotten, Option<SessionId>, Reply<Option<SessionId>>),
    MakeDurable(Vec<Pending>, Reply<()>),
}

impl Group {
    /// The end that this group brings to a session.
    pub(super) fn end_of(&self, id: SessionId) -> Option<End> {
        let ends = self.steps.iter().filter_map(|step| match step {
            Step::Revoke(record, ..) if record.id() == id => record.ended,
            _ => None,
        });
        ends.reduce(End::merged)
    }

    /// The sessions that it opens.
    pub(super) fn opened(&self) -> Vec<SessionId> {
        let opened = self.steps.iter().filter_map(|step| match step {
            Step::Open(session, ..) | Step::Enrol(Some(session), ..) => Some(session.id),
            _ => None,
        });
        opened.collect()
    }
}

impl Commit {
    /// Answers a group that the store could not take.
    pub(super) fn refuse(&self, ops: Vec<Op>, error: &StoreError) {
        for op in ops {
            let failed = NotWritten::Failed(error.clone());
            match op {
                Op::Revoke(_, reply) => answer(reply, Err(failed)),
                Op::Narrow(_, reply) => answer(reply, Err(failed)),
                Op::ChangeScopes(_, reply) => answer(reply, Err(failed)),
                Op::Enrol(_, _, reply) => answer(reply, Err(failed)),
                Op::CatchUp(reply) => reply.into_iter().for_each(|reply| answer(reply, Err(failed.clone()))),
                Op::Open(_, reply) => answer(reply, Err(failed)),
                Op::Revocation(_, reply) => answer(reply, Err(failed)),
                Op::Lift(_, reply) => answer(reply, Err(failed)),
                Op::Block(_, reply) => answer(reply, Err(failed)),
                Op::Unblock(_, reply) => answer(reply, Err(failed)),
                Op::Attribute(_, reply) => answer(reply, Err(failed)),
                Op::Approval(_, _, reply) => answer(reply, Err(failed)),
                Op::Signal(_, reply) => answer(reply, Err(failed)),
                Op::ForgetReceived(_) | Op::ForgetUsed(_) => {}
                Op::Forget(_, _, reply) => answer(reply, Err(failed)),
                Op::MakeDurable(_, reply) => answer(reply, Err(failed)),
            }
        }
    }

    /// Gathers the changes of a group. An operation that needs none is answered here.
    pub(crate) fn prepare(&self, ops: Vec<Op>) -> Group {
        let mut group = Group::default();
        let buried = self.buried(&ops);
        let mut received = self.received(&ops);
        for op in ops {
            match op {
                Op::Enrol(look_up, candidate, reply) => {
                    self.prepare_enrolment(&mut group, &buried, look_up, candidate, reply);
                }
                // It was done when the commit began.
                Op::CatchUp(reply) => reply.into_iter().for_each(|reply| answer(reply, Ok(()))),
                Op::Revoke(revoking, reply) => self.prepare_revocation(&mut group, revoking, reply),
                Op::Narrow(narrowing, reply) => {
                    let made = self.set_narrowing(&group, narrowing);
                    group.changes.extend(made.iter().cloned().map(Change::Narrowing));
                    group.steps.push(Step::Narrow(made, reply));
                }
                Op::ChangeScopes(change, reply) => self.prepare_scope_change(&mut group, change, reply),
                Op::Open(opening, reply) => self.prepare_opening(&mut group, &opening, reply),
                Op::Revocation(revocation, reply) => {
                    group.changes.push(Change::Revocation(revocation.clone()));
                    group.steps.push(Step::Revocation(revocation, reply));
                }
                Op::Lift(revocation, reply) => {
                    group.changes.push(Change::Lift(revocation.clone()));
                    group.steps.push(Step::Lift(revocation, reply));
                }
                Op::Block(block, reply) => {
                    group.changes.push(Change::Block(block.clone()));
                    group.steps.push(Step::Block(block, reply));
                }
                Op::Unblock(block, reply) => {
                    group.changes.push(Change::Unblock(block.clone()));
                    group.steps.push(Step::Unblock(block, reply));
                }
                Op::ForgetReceived(before_ms) => group.changes.push(Change::ForgetReceived(before_ms)),
                Op::ForgetUsed(before) => group.changes.push(Change::ForgetUsed(before)),
                Op::Attribute(attribute, reply) => self.prepare_attribute(&mut group, attribute, reply),
                Op::Approval(approving, now_ms, reply) => {
                    self.prepare_approval(&mut group, approving, now_ms, reply);
                }
                Op::Signal(signal, reply) => self.prepare_signal(&mut group, &mut received, signal, reply),
                Op::Forget(after, before_ms, reply) => {
                    self.prepare_forgetting(&mut group, after, before_ms, reply);
                }
                Op::MakeDurable(sessions, reply) => {
                    let over = |session: &Arc<Session>| self.prepare_durable(&mut group.changes, session);
                    let pending = sessions.iter().filter_map(over).collect();
                    group.steps.push(Step::MakeDurable(pending, reply));
                }
            }
        }
        if group.steps.iter().any(|step| matches!(step, Step::Enrol(..)))
            && let Some(leads) = self.registry.leads().take_unwritten()
        {
            group.changes.push(Change::Leads(leads.clone()));
            group.leads = leads;
        }
        group.changes.append(&mut group.openings);
        group
    }

    /// Gathers the changes of a chunk.
    pub(crate) fn prepare_behind(&self, sessions: &[Arc<Session>]) -> Behind {
        let mut behind = Behind { changes: Vec::with_capacity(sessions.len()), pending: Vec::new() };
        for session in sessions {
            session.life().dequeue();
            self.registry.confirm_end(session);
            if let Some(write) = session.life().stage().to_write() {
                behind.pending.push(put(&mut behind.changes, session, write, None));
            }
        }
        behind
    }

    /// The end is always written, and an earlier end moves: a token from between the two ends must not open the session
    /// again.
    fn prepare_revocation(&self, group: &mut Group, revoking: Revoking, reply: Reply<Option<Box<Record>>>) {
        let Revoking { id, unseen, now_ms, .. } = revoking;
        let held = self.registry.find(id);
        let record = match &held {
            Some(session) => {
                self.registry.settle(session, now_ms, EndedBy::Judge);
                session.record()
            }
            None => match self.store.tombstones_of(&[id]).map(|mut found| found.pop()) {
                Ok(Some((_, Some(record)))) => record,
                // The tombstone cannot be read: what is left to revoke is the id.
                Ok(Some((_, None))) => return self.prepare_unseen(group, revoking, reply),
                Ok(None) => {
                    return match unseen {
                        Unseen::Ignored => answer(reply, Ok(None)),
                        Unseen::Revoked => self.prepare_unseen(group, revoking, reply),
                    };
                }
                Err(error) => return answer(reply, Err(NotWritten::Failed(error))),
            },
        };
        let end = self.registry.revoked_now(&record.issuer, record.marks.newest_ms(), now_ms);
        let end = record.ended.map_or(end, |own| own.merged(end));
        let record = Record { ended: Some(end), ..record };
        group.changes.push(Change::Tombstone(record.clone()));
        let pending = held.map(|session| Pending { session, write: Write::Tombstone(end), replaced: None });
        group.steps.push(Step::Revoke(Box::new(record), revoking, pending, reply));
    }

    fn prepare_unseen(&self, group: &mut Group, revoking: Revoking, reply: Reply<Option<Box<Record>>>) {
        let Revoking { id, reason, now_ms, .. } = revoking;
        let (issuer, party) = (String::new(), RevokedParty::Session(id));
        let at_ms = self.registry.instant_of(&issuer, &party, now_ms);
        let by = reply.by.admin().map(MadeBy::admin).unwrap_or_default();
        let revocation =
            Revocation { issuer, party, before_ms: at_ms, made_at_ms: now_ms, ends_at_ms: at_ms, reason, by };
        group.changes.push(Change::Revocation(revocation.clone()));
        group.steps.push(Step::RevokeUnseen(id, revocation, reply));
    }

    /// The write after which the disk says the same of a session as memory, if it does not yet.
    fn prepare_durable(&self, changes: &mut Vec<Change>, session: &Arc<Session>) -> Option<Pending> {
        self.registry.confirm_end(session);
        let stage = session.life().stage();
        if let Some(write) = stage.to_write() {
            return Some(put(changes, session, write, None));
        }
        if stage.is_durable() {
            return None;
        }
        // Its own tombstone would overwrite the session in its place. That one's record, or tombstone, carries its end.
        while let Some(successor) = self.registry.find(session.id) {
            match successor.life().stage() {
                Stage::Replaced(..) => {}
                Stage::Recorded | Stage::Ended(_, OnDisk::Tombstone) => break,
                stage @ (Stage::Unrecorded | Stage::Ended(..)) => {
                    return stage.to_write().map(|write| put(changes, &successor, write, Some(session)));
                }
            }
        }
        session.life().change(Stage::succeeded);
        None
    }

    fn prepare_opening(&self, group: &mut Group, opening: &Opening, reply: Reply<Opened>) {
        let ends = group.end_of(opening.token.id);
        match self.registry.draft(&opening.token, &opening.access, ends, opening.now_ms) {
            Ok(Ok(session)) => {
                group.openings.push(Change::Open(session.record()));
                group.steps.push(Step::Open(Arc::new(session), opening.now_ms, reply));
            }
            Ok(Err(refused)) => answer(reply, Ok(Err(refused))),
            Err(error) => answer(reply, Err(NotWritten::Failed(error))),
        }
    }
}

/// Puts a write of a session into a commit.
fn put(changes: &mut Vec<Change>, session: &Arc<Session>, write: Write, replaced: Option<&Arc<Session>>) -> Pending {
    changes.push(match write {
        Write::Record => Change::Write(session.record_with(None)),
        Write::LastSeen => Change::Seen(session.id, session.marks()),
        Write::Tombstone(end) => Change::Tombstone(session.record_with(Some(end))),
    });
    Pending { session: Arc::clone(session), write, replaced: replaced.cloned() }
}
