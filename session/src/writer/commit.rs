//! The commits of the writer's thread: a group of durable changes, or a chunk of what is written later. Each is prepared
//! from memory, applied to the store and then finished in memory. There is no loop and no clock here, so that tests can
//! try every order of these three steps and of what happens in between.

use super::op::{NotWritten, Op, Opened, Opening, Reply, answer};
use crate::audit::{Audit, EndedBy};
use crate::judge::End;
use crate::life::{OnDisk, Stage, Write};
use crate::log::Sampler;
use crate::metrics::Metrics;
use crate::narrowings::Narrowing;
use crate::registry::{NotOpened, Registry};
use crate::revocations::Revocation;
use crate::session::Session;
use crate::store::{Change, Record, Store, StoreError};
use portcullis_contract::SessionId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tracing::{info, warn};

/// Makes commits.
pub(crate) struct Commit {
    pub(super) registry: Arc<Registry>,
    pub(super) store: Arc<dyn Store>,
    audit: Arc<Audit>,
    metrics: Arc<Metrics>,
    is_healthy: Arc<AtomicBool>,
}

/// A group of changes, ready for the store.
#[derive(Default)]
pub(crate) struct Group {
    pub(super) changes: Vec<Change>,
    /// After all others: the record of a session that comes back must not be followed by the tombstone that it replaces.
    openings: Vec<Change>,
    pub(super) steps: Vec<Step>,
}

/// Sessions that are written later, ready for the store.
pub(crate) struct Behind {
    pub(super) changes: Vec<Change>,
    pending: Vec<Pending>,
}

/// A write of a session that is under way.
pub(super) struct Pending {
    session: Arc<Session>,
    write: Write,
    /// The session in whose place it came, which is over once this is on disk.
    replaced: Option<Arc<Session>>,
}

/// What is left to do for an operation when its commit is made.
pub(super) enum Step {
    Revoke(Box<Record>, u64, Option<Pending>, Reply<Option<Box<Record>>>),
    Narrow(Narrowing, Reply<()>),
    Open(Arc<Session>, u64, Reply<Opened>),
    Revocation(Revocation, Reply<usize>),
    Lift(Revocation, Reply<bool>),
    Forget(Vec<Revocation>, Option<SessionId>, Reply<Option<SessionId>>),
    MakeDurable(Vec<Pending>, Reply<()>),
}

/// Answers a change whose group is written, or could not be.
type Answer = Box<dyn FnOnce(Result<(), NotWritten>)>;

/// The sessions that a group leaves to be written, and the answers that wait for them. They are written once the whole
/// group is in memory: until then, an ended session must not leave memory, because a session that the group opens would
/// take its place. A revocation can leave hundreds of thousands, so they are written in chunks, between which other
/// changes proceed.
#[derive(Default)]
#[must_use = "answers wait until it is written"]
pub(crate) struct Late {
    sessions: Vec<Arc<Session>>,
    answers: Vec<Answer>,
}

impl Group {
    /// The end that this group brings to a session.
    fn end_of(&self, id: SessionId) -> Option<End> {
        let ends = self.steps.iter().filter_map(|step| match step {
            Step::Revoke(record, ..) if record.id() == id => record.ended,
            _ => None,
        });
        ends.reduce(End::merged)
    }

    /// The sessions that it opens.
    fn opened(&self) -> Vec<SessionId> {
        let opened = self.steps.iter().filter_map(|step| match step {
            Step::Open(session, ..) => Some(session.id),
            _ => None,
        });
        opened.collect()
    }
}

impl Commit {
    pub(crate) fn new(
        registry: Arc<Registry>,
        store: Arc<dyn Store>,
        audit: Arc<Audit>,
        metrics: Arc<Metrics>,
        is_healthy: Arc<AtomicBool>,
    ) -> Self {
        Self { registry, store, audit, metrics, is_healthy }
    }

    pub(super) fn take_opened(&self) -> Vec<Arc<Session>> {
        self.registry.take_opened()
    }

    pub(crate) fn take_changed(&self) -> Vec<Arc<Session>> {
        self.registry.take_changed()
    }

    /// Makes a group of changes with one commit. What it leaves to be written is for [`Commit::write_late`].
    pub(crate) fn make(&self, ops: Vec<Op>) -> Late {
        let group = self.prepare(ops);
        let made = self.apply(&group.changes);
        self.finish(group, made)
    }

    /// Writes at most `max` of the sessions that a group has left; answers, and returns `true`, when all are written. Those
    /// that could not be written are queued, and no answer waits for them: they are over after a crash as well.
    pub(crate) fn write_late(&self, late: &mut Late, max: usize) -> bool {
        let rest = late.sessions.len().saturating_sub(max);
        let is_written = self.write_behind(&late.sessions.split_off(rest));
        if !is_written {
            late.sessions.drain(..).for_each(|session| self.registry.enqueue(&session));
        }
        if late.sessions.is_empty() {
            let made = if is_written { Ok(()) } else { Err(NotWritten::Late) };
            late.answers.drain(..).for_each(|answer| answer(made.clone()));
        }
        late.sessions.is_empty()
    }

    /// Writes sessions as memory has them now; `false` when the store failed. One that ends meanwhile is queued again
    /// and written again.
    pub(crate) fn write_behind(&self, sessions: &[Arc<Session>]) -> bool {
        let behind = self.prepare_behind(sessions);
        let made = self.apply(&behind.changes);
        self.finish_behind(behind, made)
    }

    /// Writes the issuers that filters have described, if the disk lacks some.
    pub(super) fn write_issuers(&self) {
        let issuers = self.registry.issuers();
        if let Some(unwritten) = issuers.take_unwritten()
            && self.apply(&[Change::Issuers(unwritten)]).is_err()
        {
            issuers.unwritten();
        }
    }

    /// Whether the store could not write when it was last tried.
    pub(super) fn is_failing(&self) -> bool {
        !self.is_healthy.load(Ordering::Relaxed)
    }

    /// Tries a store that has failed. If it had to be reopened, it is unknown whether the last commits are on disk.
    /// Memory is then the authority, and all of it is written again: the rules before this returns, the sessions later.
    pub(crate) fn recover(&self) -> Result<(), StoreError> {
        let recovered = self.store.recover().and_then(|is_opened_again| match is_opened_again {
            true => self.replay(),
            false => Ok(()),
        });
        self.is_healthy.store(recovered.is_ok(), Ordering::Relaxed);
        match &recovered {
            Ok(()) => info!("the store can write"),
            Err(error) => self.failed(error, 0),
        }
        recovered
    }

    fn replay(&self) -> Result<(), StoreError> {
        let rules = self.registry.rules();
        let count = rules.revocations.len() + rules.narrowings.len();
        self.store.apply(&[Change::Rules(rules)])?;
        self.registry.issuers().unwritten();
        let sessions = self.registry.requeue_all();
        self.metrics.store_reopened.inc();
        warn!(sessions, rules = count, "reopened the store; everything in memory will be written to it again");
        Ok(())
    }

    fn failed(&self, error: &StoreError, changes: usize) {
        static FAILURES: Sampler = Sampler::new();
        self.metrics.store_failures.inc();
        if let Some(not_logged) = FAILURES.admit() {
            tracing::error!(%error, changes, not_logged, "the store could not write");
        }
    }

    /// Answers a group that the store could not take.
    pub(super) fn refuse(&self, ops: Vec<Op>, error: &StoreError) {
        for op in ops {
            let failed = NotWritten::Failed(error.clone());
            match op {
                Op::Revoke(_, _, reply) => answer(reply, Err(failed)),
                Op::Narrow(_, reply) => answer(reply, Err(failed)),
                Op::Open(_, reply) => answer(reply, Err(failed)),
                Op::Revocation(_, reply) => answer(reply, Err(failed)),
                Op::Lift(_, reply) => answer(reply, Err(failed)),
                Op::Forget(_, _, reply) => answer(reply, Err(failed)),
                Op::MakeDurable(_, reply) => answer(reply, Err(failed)),
            }
        }
    }

    /// Gathers the changes of a group. An operation that needs none is answered here.
    pub(crate) fn prepare(&self, ops: Vec<Op>) -> Group {
        let mut group = Group::default();
        for op in ops {
            match op {
                Op::Revoke(id, now_ms, reply) => self.prepare_revocation(&mut group, id, now_ms, reply),
                Op::Narrow(narrowing, reply) => {
                    group.changes.push(Change::Narrowing(narrowing.clone()));
                    group.steps.push(Step::Narrow(narrowing, reply));
                }
                Op::Open(opening, reply) => self.prepare_opening(&mut group, &opening, reply),
                Op::Revocation(revocation, reply) => {
                    group.changes.push(Change::Revocation(revocation.clone()));
                    group.steps.push(Step::Revocation(revocation, reply));
                }
                Op::Lift(revocation, reply) => {
                    group.changes.push(Change::Lift(revocation.clone()));
                    group.steps.push(Step::Lift(revocation, reply));
                }
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
        group.changes.append(&mut group.openings);
        group
    }

    /// Gathers the changes of a chunk.
    pub(crate) fn prepare_behind(&self, sessions: &[Arc<Session>]) -> Behind {
        let mut behind = Behind { changes: Vec::with_capacity(sessions.len()), pending: Vec::new() };
        for session in sessions {
            session.life().dequeue();
            if let Some(write) = session.life().stage().to_write() {
                behind.pending.push(put(&mut behind.changes, session, write, None));
            }
        }
        behind
    }

    /// Commits changes, if there are any.
    pub(crate) fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let made = self.store.apply(changes);
        self.is_healthy.store(made.is_ok(), Ordering::Relaxed);
        match &made {
            Ok(()) => self.metrics.committed(started.elapsed()),
            Err(error) => self.failed(error, changes.len()),
        }
        made
    }

    /// Applies a group in memory, if its commit was made, and answers what does not wait for sessions that are left to
    /// write.
    pub(crate) fn finish(&self, group: Group, made: Result<(), StoreError>) -> Late {
        let mut late = Late::default();
        let opened = group.opened();
        for step in group.steps {
            match &made {
                Ok(()) => self.finish_step(step, &opened, &mut late),
                Err(error) => refuse(step, error),
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

    /// The end is always written, and an earlier end moves: a token from between the two ends must not open the session
    /// again.
    fn prepare_revocation(&self, group: &mut Group, id: SessionId, now_ms: u64, reply: Reply<Option<Box<Record>>>) {
        let held = self.registry.find(id);
        let record = match &held {
            Some(session) => {
                self.registry.settle(session, now_ms, EndedBy::Judge);
                session.record()
            }
            None => match self.store.tombstone(id) {
                Ok(Some(record)) => record,
                Ok(None) => return answer(reply, Ok(None)),
                Err(error) => return answer(reply, Err(NotWritten::Failed(error))),
            },
        };
        let end = self.registry.revoked_now(&record.issuer, record.marks.newest_ms(), now_ms);
        let end = record.ended.map_or(end, |own| own.merged(end));
        let record = Record { ended: Some(end), ..record };
        group.changes.push(Change::Tombstone(record.clone()));
        let pending = held.map(|session| Pending { session, write: Write::Tombstone(end), replaced: None });
        group.steps.push(Step::Revoke(Box::new(record), now_ms, pending, reply));
    }

    /// The write after which the disk says the same of a session as memory, if it does not yet.
    fn prepare_durable(&self, changes: &mut Vec<Change>, session: &Arc<Session>) -> Option<Pending> {
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
                group.openings.push(Change::Write(session.record()));
                group.steps.push(Step::Open(Arc::new(session), opening.now_ms, reply));
            }
            Ok(Err(refused)) => answer(reply, Ok(Err(refused))),
            Err(error) => answer(reply, Err(NotWritten::Failed(error))),
        }
    }

    fn finish_step(&self, step: Step, opened: &[SessionId], late: &mut Late) {
        match step {
            Step::Revoke(mut record, now_ms, pending, reply) => {
                // Its record, in the same commit, carries the end as it was.
                let is_opened = opened.contains(&record.id());
                if !is_opened && let Err(error) = self.move_end(&mut record, now_ms, pending.as_ref()) {
                    return answer(reply, Err(NotWritten::Failed(error)));
                }
                pending.iter().for_each(|pending| self.written(pending));
                let also_ended = record.ended.and_then(|end| self.registry.ended_on_disk(record.id(), end));
                late.sessions.extend(also_ended);
                late.answers.push(Box::new(move |made| answer(reply, made.map(|()| Some(record)))));
            }
            Step::Narrow(narrowing, reply) => {
                self.registry.narrow(&narrowing);
                self.audit.narrowed(&narrowing);
                answer(reply, Ok(()));
            }
            Step::Open(session, now_ms, reply) => match self.finish_opening(&session, now_ms, late) {
                Ok(()) => answer(reply, Ok(Ok(session))),
                Err(refused) => late.answers.push(Box::new(move |made| answer(reply, made.map(|()| Err(refused))))),
            },
            Step::Revocation(mut revocation, reply) => {
                if let Err(error) = self.move_instant(&mut revocation) {
                    return answer(reply, Err(NotWritten::Failed(error)));
                }
                let ended = self.registry.publish(&revocation, &mut late.sessions);
                self.audit.revocation_made(&revocation, ended);
                // The revocation is durable, and covers all of them after a crash. Their tombstones are written before
                // the answer so that a newer token cannot open them again after one.
                late.answers.push(Box::new(move |made| answer(reply, made.map(|()| ended))));
            }
            Step::Lift(revocation, reply) => {
                let is_lifted = self.registry.lift(&revocation);
                if is_lifted {
                    self.audit.revocation_lifted(&revocation);
                }
                answer(reply, Ok(is_lifted));
            }
            Step::Forget(revocations, next, reply) => {
                for revocation in &revocations {
                    self.registry.lift(revocation);
                }
                answer(reply, Ok(next));
            }
            Step::MakeDurable(pending, reply) => {
                pending.iter().for_each(|pending| self.written(pending));
                answer(reply, Ok(()));
            }
        }
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

    fn finish_opening(&self, session: &Arc<Session>, now_ms: u64, late: &mut Late) -> Result<(), NotOpened> {
        self.registry.written(session, Write::Record);
        match self.registry.enter(session, now_ms) {
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
        self.registry.written(&pending.session, pending.write);
        if let Some(replaced) = &pending.replaced {
            replaced.life().change(Stage::succeeded);
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

fn refuse(step: Step, error: &StoreError) {
    let failed = NotWritten::Failed(error.clone());
    match step {
        Step::Revoke(_, _, _, reply) => answer(reply, Err(failed)),
        Step::Narrow(_, reply) => answer(reply, Err(failed)),
        Step::Open(_, _, reply) => answer(reply, Err(failed)),
        Step::Revocation(_, reply) => answer(reply, Err(failed)),
        Step::Lift(_, reply) => answer(reply, Err(failed)),
        Step::Forget(_, _, reply) => answer(reply, Err(failed)),
        Step::MakeDurable(_, reply) => answer(reply, Err(failed)),
    }
}
