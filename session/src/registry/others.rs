//! What other replicas have changed, applied in memory. The store has it already, and one thread applies it all, in the
//! order of the log: nothing is written again, and the replica that made a change has reported it.

use super::Registry;
use crate::audit::EndedBy;
use crate::intern::ScopeSet;
use crate::judge::{End, Reason};
use crate::life::{Stage, Write};
use crate::session::Session;
use crate::store::{Change, Record};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Registry {
    /// Applies one change. Applied again, or when a part of it was loaded before, it changes nothing.
    pub fn apply(&self, change: Change) {
        match change {
            Change::Write(record) => self.take_over(&record),
            Change::Open(record) => {
                self.take_over(&record);
                self.openings_epoch.fetch_add(1, Ordering::SeqCst);
            }
            Change::Seen(id, marks) => {
                if let Some(session) = self.find(id) {
                    let known_ms = session.marks().authenticated_ms;
                    session.merge(marks);
                    if marks.authenticated_ms > known_ms {
                        self.followers.changed(id);
                    }
                }
            }
            Change::Tombstone(record) => self.bury(&record),
            Change::Revocation(revocation) => {
                self.publish(&revocation, &mut Vec::new(), EndedBy::Replica);
            }
            Change::Lift(revocation) => {
                self.lift(&revocation);
            }
            Change::Block(block) => {
                self.block(&block);
            }
            Change::Unblock(block) => {
                self.unblock(&block);
            }
            Change::Narrowing(narrowing) => self.narrow(&[narrowing]),
            Change::Attribute(attribute) => {
                self.set_attributes(&[attribute]);
            }
            Change::Hold(signal) => self.hold(signal),
            Change::Unhold(id) => self.unhold(&id),
            Change::Request(request) => self.put_requests(&[*request]),
            Change::ForgetRequest(id) => self.forget_requests(&[id]),
            Change::Issuers(issuers) => self.issuers().load(issuers),
            Change::Leads(leads) => self.leads.load(leads),
            // Of no replica's memory.
            Change::Forget(..)
            | Change::Rules(_)
            | Change::Received(_)
            | Change::ForgetReceived(_)
            | Change::Unreceived(_)
            | Change::Used(_)
            | Change::ForgetUsed(_) => {}
        }
    }

    /// A session that lives elsewhere lives here as well, with the scopes and the activity of both.
    fn take_over(&self, record: &Record) {
        let id = record.id();
        let mut sessions = self.in_memory(id);
        if let Some(held) = sessions.by_id.get(&id).cloned() {
            match (held.ended(), record.returned.filter(|end| held.returned.is_none_or(|own| own.at_ms < end.at_ms))) {
                // It has ended and come back elsewhere, in one commit: tokens from before that end must not outlive it here.
                (None, Some(end)) => self.written_under_lock(&held, end),
                (None, None) => {
                    drop(sessions);
                    let generation = held.generation();
                    self.merge(&held, record);
                    if held.generation() != generation {
                        self.followers.changed(id);
                    }
                    return;
                }
                // What ended here only is a limit that the others have not heard of: the session has come back after another end.
                (Some(_), Some(_)) => {}
                (Some(ended), None) if !record.may_replace(Some(ended)) => return,
                (Some(_), None) => {}
            }
        }
        let session = Arc::new(self.restore(record));
        self.narrow_session(&session);
        self.count_logins(&session);
        self.grant_session(&session);
        sessions.put(&session);
        drop(sessions);
        self.audit.opened_elsewhere(&session);
        self.end_if_revoked(&session);
    }

    /// Ends a session whose successor takes its place at once.
    fn written_under_lock(&self, session: &Arc<Session>, end: End) {
        let (before, after) = session.life().change(|stage| stage.written(Write::Tombstone(end)));
        self.ended(session, before, after, EndedBy::Replica);
    }

    fn merge(&self, held: &Session, record: &Record) {
        held.merge(record.marks);
        if let Some(email) = record.email {
            held.set_email(email);
        }
        let granted = ScopeSet::new(&record.granted);
        if !granted.is_within(&held.granted()) {
            held.grant(&granted, &self.names);
        }
    }

    /// Takes back an idle end that nothing has but memory, if another replica has seen later activity. Called by the writer,
    /// to whom the store has told everything.
    pub(crate) fn confirm_end(&self, session: &Arc<Session>) {
        let Some(end) = session.ended().filter(|end| end.reason == Reason::IdleTimeout && self.lease.is_shared())
        else {
            return;
        };
        if session.expiry(end.at_ms).is_none() {
            let (before, after) = session.life().change(Stage::revived);
            if before.end().is_some() && after.end().is_none() {
                self.audit.end_withdrawn(session);
                self.followers.changed(session.id);
            }
        }
    }

    /// A session that ended elsewhere is over here, unless it is one that came back after that end.
    fn bury(&self, record: &Record) {
        let id = record.id();
        let mut sessions = self.in_memory(id);
        sessions.forgotten += 1;
        let held = sessions.by_id.get(&id).cloned();
        drop(sessions);
        let (Some(session), Some(end)) = (held, record.ended) else {
            return;
        };
        if session.returned.is_none_or(|returned| end.at_ms > returned.at_ms) {
            self.written_by(&session, Write::Tombstone(end), EndedBy::Replica);
        }
    }
}
