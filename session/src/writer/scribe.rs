//! What the writer's thread does with a group of changes and with a chunk of what is written behind. It has no loop
//! and no clock, so that every order of changes can be tried.

use super::{NotWritten, Op, Opening, Reply};
use crate::book::{Book, NotOpened, revoked};
use crate::intern::ScopeSet;
use crate::judge::End;
use crate::rules::Rule;
use crate::session::{Session, Stored};
use crate::store::{Change, Record, Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub(super) struct Scribe {
    book: Arc<Book>,
    store: Arc<dyn Store>,
    is_healthy: Arc<AtomicBool>,
}

/// A change that has been put into a commit: what is left to do when that is made.
enum Step {
    Revoke(Arc<Session>, End, Reply<End>),
    Scopes(Arc<Session>, ScopeSet, Reply<Option<End>>),
    Open(Arc<Session>, u64, Reply<Result<Arc<Session>, NotOpened>>),
    Rule(Rule, Reply<usize>),
    Bury(Arc<Session>, Reply<()>),
}

impl Scribe {
    pub(super) fn new(book: Arc<Book>, store: Arc<dyn Store>, is_healthy: Arc<AtomicBool>) -> Self {
        Self { book, store, is_healthy }
    }

    pub(super) fn take_opened(&self) -> Vec<Arc<Session>> {
        self.book.take_opened()
    }

    pub(super) fn take_unwritten(&self) -> Vec<Arc<Session>> {
        self.book.take_unwritten()
    }

    /// Makes a group of changes with one commit.
    pub(super) fn make(&self, group: Vec<Op>) {
        let mut changes = Vec::with_capacity(group.len());
        let mut steps = Vec::with_capacity(group.len());
        for op in group {
            if let Some((change, step)) = self.prepare(op) {
                changes.push(change);
                steps.push(step);
            }
        }
        match self.commit(&changes) {
            Ok(()) => steps.into_iter().for_each(|step| self.finish(step)),
            Err(error) => steps.into_iter().for_each(|step| refuse(step, &error)),
        }
    }

    /// Writes sessions as memory has them now; `false` when the store failed. One that ends meanwhile has been marked
    /// again, and is written again.
    pub(super) fn write_behind(&self, sessions: &[Arc<Session>]) -> bool {
        let mut changes = Vec::with_capacity(sessions.len());
        let mut written = Vec::with_capacity(sessions.len());
        for session in sessions {
            session.take_unwritten();
            if let Some((change, stored)) = self.change_behind(session) {
                changes.push(change);
                written.push((session, stored));
            }
        }
        let is_made = self.commit(&changes).is_ok();
        for (session, stored) in written {
            if is_made {
                self.wrote(session, stored);
            } else {
                self.book.mark_unwritten(session);
            }
        }
        is_made
    }

    fn change_behind(&self, session: &Arc<Session>) -> Option<(Change, Stored)> {
        let scopes = || session.scopes().1;
        match (session.stored(), session.ended()) {
            (Stored::Tombstone, _) => None,
            // It came back before it was buried, with its end in the new record. Its tombstone would hide that.
            (_, Some(_)) if self.book.is_replaced(session) => None,
            (_, Some(end)) => Some((Change::Bury(session.record_with(Some(end), &scopes())), Stored::Tombstone)),
            (Stored::Nothing, None) => Some((Change::Write(session.record_with(None, &scopes())), Stored::Record)),
            (Stored::Record, None) => Some((Change::Seen(session.id, session.last_seen_ms()), Stored::Record)),
        }
    }

    fn wrote(&self, session: &Arc<Session>, stored: Stored) {
        session.set_stored(stored);
        if stored == Stored::Tombstone {
            self.book.forget(session);
        }
    }

    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let metrics = &self.book.audit.metrics;
        let started = Instant::now();
        let made = self.store.apply(changes);
        self.is_healthy.store(made.is_ok(), Ordering::Relaxed);
        match &made {
            Ok(()) => metrics.committed(started.elapsed()),
            Err(error) => {
                metrics.store_failures.inc();
                tracing::error!(%error, changes = changes.len(), "the store could not write");
            }
        }
        made
    }

    /// The change to commit for an operation; `None` when it was answered without one.
    fn prepare(&self, op: Op) -> Option<(Change, Step)> {
        match op {
            Op::Revoke(session, now_ms, reply) => {
                // One that has ended keeps its end; it is written all the same, for the caller is told it is over.
                let end = self.book.settle(&session, now_ms, "judge").unwrap_or(revoked(now_ms));
                let record = session.record_with(Some(end), &session.scopes().1);
                self.unless_buried(session, record, end, reply)
            }
            Op::Scopes(session, scopes, reply) => {
                if let Some(end) = session.ended() {
                    answer(reply, Ok(Some(end)));
                    return None;
                }
                let change = Change::Write(session.record_with(None, &scopes));
                Some((change, Step::Scopes(session, scopes, reply)))
            }
            Op::Open(opening, reply) => self.prepare_opening(&opening, reply),
            Op::Rule(rule, reply) => Some((Change::Rule(rule.clone()), Step::Rule(rule, reply))),
            Op::Bury(session, reply) => match self.change_behind(&session) {
                Some((change @ Change::Bury(_), _)) => Some((change, Step::Bury(session, reply))),
                _ => {
                    answer(reply, Ok(()));
                    None
                }
            },
        }
    }

    fn unless_buried(
        &self,
        session: Arc<Session>,
        record: Record,
        end: End,
        reply: Reply<End>,
    ) -> Option<(Change, Step)> {
        if session.stored() == Stored::Tombstone || self.book.is_replaced(&session) {
            answer(reply, Ok(session.ended().unwrap_or(end)));
            return None;
        }
        Some((Change::Bury(record), Step::Revoke(session, end, reply)))
    }

    fn prepare_opening(
        &self,
        opening: &Opening,
        reply: Reply<Result<Arc<Session>, NotOpened>>,
    ) -> Option<(Change, Step)> {
        let draft = self.book.draft(&opening.token, &opening.access, opening.now_ms);
        match draft {
            Ok(Ok(session)) => {
                let session = Arc::new(session);
                Some((Change::Write(session.record()), Step::Open(session, opening.now_ms, reply)))
            }
            Ok(Err(refused)) => {
                answer(reply, Ok(Err(refused)));
                None
            }
            Err(error) => {
                answer(reply, Err(NotWritten::Failed(error)));
                None
            }
        }
    }

    /// Brings a committed change into memory, and answers it.
    fn finish(&self, step: Step) {
        match step {
            Step::Revoke(session, end, reply) => {
                // A tombstone is on disk, whichever end memory comes to: whoever sees it need not wait for another.
                session.set_stored(Stored::Record);
                self.book.end(&session, end, "admin");
                let stands = session.ended().unwrap_or(end);
                // When the judge found another end during the commit, that one is still to be written.
                if stands == end {
                    self.wrote(&session, Stored::Tombstone);
                }
                answer(reply, Ok(stands));
            }
            Step::Scopes(session, scopes, reply) => {
                let ended = session.ended();
                if ended.is_none() {
                    self.book.audit.scopes_changed(&session, &scopes.to_vec());
                    self.book.set_scopes(&session, scopes);
                    session.set_stored(Stored::Record);
                }
                answer(reply, Ok(ended));
            }
            Step::Open(session, now_ms, reply) => answer(reply, Ok(self.finish_opening(session, now_ms))),
            Step::Rule(rule, reply) => {
                let ended = self.book.publish(&rule);
                self.book.audit.rule_made(&rule, ended.len());
                // The rule is durable, and holds against all of them after a crash. Their tombstones are written here
                // so that a newer token cannot open them again after one.
                self.write_behind(&ended);
                answer(reply, Ok(ended.len()));
            }
            Step::Bury(session, reply) => {
                self.wrote(&session, Stored::Tombstone);
                answer(reply, Ok(()));
            }
        }
    }

    fn finish_opening(&self, session: Arc<Session>, now_ms: u64) -> Result<Arc<Session>, NotOpened> {
        session.set_stored(Stored::Record);
        match self.book.enter(&session, now_ms) {
            // A rule of the same commit was published before the session was there to be found.
            Ok(()) if self.book.end_if_ruled_out(&session) => {
                self.write_behind(&[session]);
                Err(NotOpened::RuledOut)
            }
            Ok(()) => Ok(session),
            Err(held) => {
                // A first use came between: the disk has the record of the other one.
                held.rewrite();
                self.book.mark_unwritten(&held);
                Err(NotOpened::Lives)
            }
        }
    }
}

fn refuse(step: Step, error: &StoreError) {
    let failed = NotWritten::Failed(error.clone());
    match step {
        Step::Revoke(_, _, reply) => answer(reply, Err(failed)),
        Step::Scopes(_, _, reply) => answer(reply, Err(failed)),
        Step::Open(_, _, reply) => answer(reply, Err(failed)),
        Step::Rule(_, reply) => answer(reply, Err(failed)),
        Step::Bury(_, reply) => answer(reply, Err(failed)),
    }
}

fn answer<T>(reply: Reply<T>, with: Result<T, NotWritten>) {
    // Nobody waits any more: the change was made all the same.
    drop(reply.send(with));
}
