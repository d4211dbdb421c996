//! Last step of a commit: what is on disk is made true in memory, and its callers are answered.

use super::commit::Commit;
use super::late::Late;
use super::op::{NotWritten, Revoking, answer};
use super::prepare::{Behind, Group, Pending, Step};
use crate::audit::{Actor, EndedBy};
use crate::life::{Stage, Write};
use crate::metrics::Opened;
use crate::registry::{NotOpened, revoked};
use crate::revocations::Revocation;
use crate::session::Session;
use crate::store::{Change, Record, StoreError};
use portcullis_contract::SessionId;
use std::sync::Arc;

impl Commit {
    /// Applies a group in memory, if its commit was made, and answers what does not wait for sessions that are left to
    /// write.
    pub(crate) fn finish(&self, group: Group, made: Result<(), StoreError>) -> Late {
        let mut late = Late::default();
        let opened = group.opened();
        match &made {
            Ok(()) => self.registry.leads().load(group.leads),
            Err(_) if group.leads.is_empty() => {}
            Err(_) => self.registry.leads().unwritten(),
        }
        for step in group.steps {
            match &made {
                Ok(()) => self.finish_step(step, &opened, &mut late),
                Err(error) => self.refuse_step(step, error),
            }
        }
        late
    }

    /// Notes in memory that a chunk is on disk; returns whether its commit was made.
    pub(crate) fn finish_behind(&self, behind: Behind, made: Result<(), StoreError>) -> bool {
        for pending in behind.pending {
            match &made {
                Ok(()) => self.written(&pending),
                Err(_) => self.registry.enqueue(&pending.session),
            }
        }
        made.is_ok()
    }

    fn finish_step(&self, step: Step, opened: &[SessionId], late: &mut Late) {
        match step {
            Step::Revoke(mut record, Revoking { reason, now_ms, .. }, pending, reply) => {
                // Its record, in the same commit, carries the end as it was.
                let is_opened = opened.contains(&record.id());
                let moved = if is_opened { Ok(()) } else { self.move_end(&mut record, now_ms, pending.as_ref()) };
                // What the first commit has made stands, also where the second one has failed.
                pending.iter().for_each(|pending| self.written_for(pending, reply.by.revokes_as()));
                let also_ended = record.ended.and_then(|end| self.registry.ended_on_disk(record.id(), end));
                late.sessions.extend(also_ended);
                if let Err(error) = moved {
                    return answer(reply, Err(NotWritten::Failed(error)));
                }
                // Here and not by its caller, who may have given up: it holds from now on.
                self.audit.session_revoked(&record, &reason, &reply.by);
                late.answers.push(Box::new(move |made| answer(reply, made.map(|()| Some(record)))));
            }
            Step::RevokeUnseen(id, mut revocation, reply) => {
                if let Err(error) = self.publish(&mut revocation, reply.by.revokes_as().as_str(), &reply.by, late) {
                    return answer(reply, Err(NotWritten::Failed(error)));
                }
                // One may have opened meanwhile, and its limits may have ended it: it is revoked all the same.
                late.sessions.extend(self.registry.ended_on_disk(id, revoked(revocation.ends_at_ms)));
                let ended = self.registry.find(id).map(|session| Box::new(session.record()));
                late.answers.push(Box::new(move |made| answer(reply, made.map(|()| ended))));
            }
            Step::Narrow(made, reply) => {
                self.registry.narrow(&made);
                made.iter().for_each(|narrowing| self.audit.narrowed(narrowing, "admin", &reply.by));
                answer(reply, Ok(()));
            }
            Step::ChangeScopes(narrowings, change, reply) => {
                self.registry.narrow(&narrowings);
                self.audit.scopes_changed(&narrowings, &change, &reply.by);
                let made = narrowings.into_iter().next();
                answer(reply, made.map(Ok).ok_or(NotWritten::Busy));
            }
            Step::Enrol(session, candidate, found, reply) => {
                if let Some(session) = session {
                    // Its caller binds the token again, and finds whatever this comes to.
                    let _ = self.finish_opening(&session, (Opened::FirstUse, &reply.by), candidate.now_ms, late);
                }
                answer(reply, Ok(found));
            }
            Step::Open(session, now_ms, reply) => {
                match self.finish_opening(&session, (Opened::Explicit, &reply.by), now_ms, late) {
                    Ok(()) => answer(reply, Ok(Ok(session))),
                    Err(refused) => late.answers.push(Box::new(move |made| answer(reply, made.map(|()| Err(refused))))),
                }
            }
            Step::Revocation(mut revocation, reply) => match self.publish(&mut revocation, "admin", &reply.by, late) {
                Ok(ended) => late.answers.push(Box::new(move |made| answer(reply, made.map(|()| ended)))),
                Err(error) => answer(reply, Err(NotWritten::Failed(error))),
            },
            Step::Lift(revocation, reply) => {
                let is_lifted = self.registry.lift(&revocation);
                if is_lifted {
                    self.audit.revocation_lifted(&revocation, &reply.by);
                }
                answer(reply, Ok(is_lifted));
            }
            Step::Block(block, reply) => {
                let replaced = self.registry.block(&block);
                self.audit.block_made(&block, replaced.is_some(), &reply.by);
                answer(reply, Ok(replaced));
            }
            Step::Unblock(block, reply) => {
                let is_lifted = self.registry.unblock(&block);
                if is_lifted {
                    self.audit.block_lifted(&block, &reply.by);
                }
                answer(reply, Ok(is_lifted));
            }
            Step::Attribute(attribute, reply) => {
                let set = self.finish_attribute(&attribute, &reply.by);
                answer(reply, set);
            }
            Step::Approval(made, reply) => self.finish_approval(made, reply),
            Step::Signal(signal, is_new, reply) => self.finish_signal(*signal, is_new, late, reply),
            Step::Forget(forgotten, next, reply) => {
                forgotten.leave(&self.registry);
                answer(reply, Ok(next));
            }
            Step::MakeDurable(pending, reply) => {
                pending.iter().for_each(|pending| self.written(pending));
                answer(reply, Ok(()));
            }
        }
    }

    /// Publishes a revocation that is on disk; returns how many sessions it has ended. It covers all of them after a crash,
    /// too. Their tombstones are written before the answer so that a newer token cannot open them again after one.
    pub(super) fn publish(
        &self,
        revocation: &mut Revocation,
        by: &'static str,
        actor: &Actor,
        late: &mut Late,
    ) -> Result<usize, StoreError> {
        let moved = self.move_instant(revocation);
        // What the first commit has made stands, also where the second one has failed.
        let ended = self.registry.publish(revocation, &mut late.sessions, EndedBy::Revocation);
        self.audit.revocation_made(revocation, ended, by, actor);
        moved.map(|()| ended)
    }

    /// Moves the end of a session that is being revoked behind the tokens that were seen while the disk was written: the
    /// first of them may have shown how far its issuer's clock is ahead.
    fn move_end(&self, record: &mut Record, now_ms: u64, pending: Option<&Pending>) -> Result<(), StoreError> {
        let marks = pending.map_or(record.marks, |pending| pending.session.marks());
        let end = self.registry.revoked_now(&record.issuer, marks.newest_ms(), now_ms);
        let moved = record.ended.map_or(end, |own| own.merged(end));
        if record.ended == Some(moved) {
            return Ok(());
        }
        (record.ended, record.marks) = (Some(moved), marks);
        self.apply(&[Change::Tombstone(record.clone())])
    }

    /// The same for a revocation of a party, and its instant if that was not given.
    fn move_instant(&self, revocation: &mut Revocation) -> Result<(), StoreError> {
        let Revocation { issuer, party, made_at_ms, .. } = &*revocation;
        let later_ms = self.registry.instant_of(issuer, party, *made_at_ms);
        if later_ms <= revocation.ends_at_ms {
            return Ok(());
        }
        if revocation.before_ms == revocation.ends_at_ms {
            revocation.before_ms = later_ms;
        }
        revocation.ends_at_ms = later_ms;
        self.apply(&[Change::Revocation(revocation.clone())])
    }

    fn finish_opening(
        &self,
        session: &Arc<Session>,
        (by, actor): (Opened, &Actor),
        now_ms: u64,
        late: &mut Late,
    ) -> Result<(), NotOpened> {
        self.registry.written(session, Write::Record);
        match self.registry.enter(session, by, actor, now_ms) {
            // A revocation in the same commit was published before the session could be found.
            Ok(()) if self.registry.end_if_revoked(session) => {
                late.sessions.push(Arc::clone(session));
                Err(NotOpened::Revoked)
            }
            Ok(()) => Ok(()),
            Err(held) => {
                // A first use came in between: its session stands, and the disk has the record of the other one.
                held.life().change(Stage::overwritten);
                self.registry.enqueue(&held);
                let refused = held.ended().map_or(NotOpened::Lives, |end| NotOpened::Ended(end.reason));
                late.sessions.push(held);
                Err(refused)
            }
        }
    }

    fn written(&self, pending: &Pending) {
        self.written_for(pending, EndedBy::Admin);
    }

    /// The same, for whom the write was.
    fn written_for(&self, pending: &Pending, by: EndedBy) {
        self.registry.written_by(&pending.session, pending.write, by);
        if let Some(replaced) = &pending.replaced {
            replaced.life().change(Stage::succeeded);
        }
    }
}

impl Commit {
    /// Answers a step whose commit has failed. It may be on disk all the same.
    fn refuse_step(&self, step: Step, error: &StoreError) {
        // A log that replicas share brings what was committed.
        if let Step::Signal(signal, true, _) = &step
            && !self.registry.lease().is_shared()
        {
            self.unsettled().extend(signal.receipt.as_ref().map(|receipt| receipt.id.clone()));
        }
        refuse(step, error);
    }
}

fn refuse(step: Step, error: &StoreError) {
    let failed = NotWritten::Failed(error.clone());
    match step {
        Step::Revoke(_, _, _, reply) => answer(reply, Err(failed)),
        Step::RevokeUnseen(_, _, reply) => answer(reply, Err(failed)),
        Step::Narrow(_, reply) => answer(reply, Err(failed)),
        Step::ChangeScopes(_, _, reply) => answer(reply, Err(failed)),
        Step::Enrol(_, _, _, reply) => answer(reply, Err(failed)),
        Step::Open(_, _, reply) => answer(reply, Err(failed)),
        Step::Revocation(_, reply) => answer(reply, Err(failed)),
        Step::Lift(_, reply) => answer(reply, Err(failed)),
        Step::Block(_, reply) => answer(reply, Err(failed)),
        Step::Unblock(_, reply) => answer(reply, Err(failed)),
        Step::Attribute(_, reply) => answer(reply, Err(failed)),
        Step::Approval(_, reply) => answer(reply, Err(failed)),
        Step::Signal(_, _, reply) => answer(reply, Err(failed)),
        Step::Forget(_, _, reply) => answer(reply, Err(failed)),
        Step::MakeDurable(_, reply) => answer(reply, Err(failed)),
    }
}
