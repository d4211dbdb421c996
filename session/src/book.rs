//! The book of sessions: the authority on which session a token belongs to, and on which sessions live.
//!
//! Memory holds the live sessions, and the ended ones until their tombstone is on disk; other tombstones are looked
//! up in the store when a token is bound. So an id that is not in memory has its whole truth on disk.
//!
//! One race decides how this is written: a rule that is made while a token it is against is bound for the first time.
//! The rules are asked under the lock of the session's shard, under which the session is entered as well; a rule is
//! published first, and the shards are scanned after. So either the rule is seen here, or the session there.

mod change;
mod load;
mod scan;
#[cfg(test)]
mod tests;

use crate::access::{Access, AccessTypes};
use crate::audit::Audit;
use crate::followers::Followers;
use crate::id::{KeyKind, SessionId};
use crate::intern::{Interner, ScopeSet};
use crate::judge::{End, Reason};
use crate::metrics::Opened;
use crate::rules::Rules;
use crate::session::{Origin, Session};
use crate::store::{Record, Store, StoreError};
use crate::token::Token;
pub use scan::{Filter, Page};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Parts of the map that are locked apart; a power of two.
pub const SHARDS: usize = 64;

/// Who opens sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enrolment {
    /// The first verified token of a session.
    FirstUse,
    /// The admin API only.
    Explicit,
}

/// What a token is bound to.
#[derive(Debug, Clone)]
pub enum Binding {
    /// A session that lived when it was bound.
    Live(Arc<Session>),
    /// Its session is over for this token.
    Gone(Reason),
    /// It names no session, and may open none.
    Unknown,
}

/// Why the admin API cannot open a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpened {
    /// It lives.
    Lives,
    /// It has ended, and does not come back.
    Ended(Reason),
    /// A not-before rule stands against it.
    RuledOut,
}

/// An ended session: its end, and what its key was made from.
#[derive(Debug, Clone, Copy)]
struct Grave {
    end: End,
    kind: KeyKind,
}

impl Grave {
    /// Whether a token opens the session anew. Both kinds must allow it, should two kinds of keys ever be equal.
    fn opens_for(self, kind: KeyKind, issued_at_ms: u64) -> bool {
        self.kind.returns() && kind.returns() && issued_at_ms > self.end.at_ms
    }
}

type Live = HashMap<SessionId, Arc<Session>>;

#[derive(Default)]
struct Shard {
    live: Mutex<Live>,
    /// Opened by a first use, and not on disk: these are written sooner than the rest.
    opened: Mutex<Vec<Arc<Session>>>,
    unwritten: Mutex<Vec<Arc<Session>>>,
}

/// The book.
pub struct Book {
    shards: [Shard; SHARDS],
    rules: RwLock<Rules>,
    rules_epoch: AtomicU64,
    openings_epoch: AtomicU64,
    access: AccessTypes,
    enrolment: Enrolment,
    store: Arc<dyn Store>,
    /// Shared copies of names and scope sets.
    pub names: Interner,
    /// Where its decisions are told.
    pub audit: Arc<Audit>,
    /// Who is told when a session ends or its scopes change.
    pub followers: Arc<Followers>,
}

impl Book {
    /// An empty book. Tombstones are read from `store`; writing is the writer's.
    pub fn new(access: AccessTypes, enrolment: Enrolment, store: Arc<dyn Store>, audit: Arc<Audit>) -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard::default()),
            rules: RwLock::default(),
            rules_epoch: AtomicU64::new(0),
            openings_epoch: AtomicU64::new(0),
            access,
            enrolment,
            store,
            names: Interner::default(),
            audit,
            followers: Arc::default(),
        }
    }

    /// The access types of the configuration.
    pub fn access(&self) -> &AccessTypes {
        &self.access
    }

    /// Moves when a rule is published: a token that was bound before must be bound again.
    pub fn rules_epoch(&self) -> u64 {
        self.rules_epoch.load(Ordering::SeqCst)
    }

    /// Moves when the admin API opens a session: a token that named none, or an ended one, may now name one.
    pub fn openings_epoch(&self) -> u64 {
        self.openings_epoch.load(Ordering::SeqCst)
    }

    /// The session that a token belongs to; opens it when this is its first use. `touches` says that the question
    /// behind it is activity.
    pub fn bind(&self, token: &Token, touches: bool, now_ms: u64) -> Result<Binding, StoreError> {
        // A token may say `"sid": ""`. It must neither share a session with others nor cost the filter its stream.
        if token.issuer.is_empty() || token.key.is_empty() {
            return Ok(Binding::Unknown);
        }
        let mut live = lock(&self.shard(token.id).live);
        let grave = match live.get(&token.id) {
            Some(session) => match self.settle(session, now_ms, "judge") {
                None if self.is_ruled_out(token) => return Ok(Binding::Gone(Reason::Revoked)),
                None => return Ok(join(session, token)),
                Some(end) => Some(Grave { end, kind: session.kind }),
            },
            None => self.buried(token.id)?,
        };
        let session = match self.first_use(token, grave, touches, now_ms) {
            Ok(session) => Arc::new(session),
            Err(refused) => return Ok(refused),
        };
        live.insert(token.id, Arc::clone(&session));
        drop(live);
        self.audit.opened(&session, Opened::FirstUse, now_ms);
        session.mark_unwritten();
        lock(&self.shard(session.id).opened).push(Arc::clone(&session));
        Ok(Binding::Live(session))
    }

    /// The session that a token opens, or why it opens none.
    fn first_use(&self, token: &Token, grave: Option<Grave>, touches: bool, now_ms: u64) -> Result<Session, Binding> {
        let is_explicit = self.enrolment == Enrolment::Explicit;
        if let Some(grave) = grave
            && (is_explicit || !grave.opens_for(token.kind, token.issued_at_ms))
        {
            return Err(Binding::Gone(grave.end.reason));
        }
        if self.is_ruled_out(token) {
            return Err(Binding::Gone(Reason::Revoked));
        }
        let access = self.access.of(&token.scopes, &token.client, &token.grant);
        let Some(access) = access.filter(|_| !is_explicit) else {
            return Err(Binding::Unknown);
        };
        // Background traffic is no presence, not even as the first question: also not after an enrolment was lost.
        let last_seen_ms = if touches { now_ms } else { token.start_ms };
        let origin = origin(token, access, grave.map(|grave| grave.end));
        Ok(Session::opened(origin, last_seen_ms))
    }

    fn buried(&self, id: SessionId) -> Result<Option<Grave>, StoreError> {
        let grave = |record: Record| Some(Grave { end: record.ended?, kind: record.kind });
        Ok(self.store.tombstone(id)?.and_then(grave))
    }

    fn is_ruled_out(&self, token: &Token) -> bool {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.against(&token.issuer, &token.subject, &token.client, token.start_ms).is_some()
    }

    /// Ends a session that a rule stands against, as of when the rule was made; says whether one does.
    pub fn end_if_ruled_out(&self, session: &Arc<Session>) -> bool {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let against = rules.against(&session.issuer, &session.subject, &session.client, session.opened_at_ms);
        let made_at_ms = against.map(|rule| rule.made_at_ms);
        drop(rules);
        if let Some(made_at_ms) = made_at_ms {
            self.end(session, revoked(made_at_ms), "rule");
        }
        made_at_ms.is_some()
    }

    /// The end of the session by `now_ms`, which is noted when it is news.
    pub fn settle(&self, session: &Arc<Session>, now_ms: u64, by: &'static str) -> Option<End> {
        if let Some(end) = session.ended() {
            return Some(end);
        }
        let end = session.expiry(now_ms)?;
        self.end(session, end, by);
        session.ended()
    }

    /// Ends a session in memory; its tombstone is written behind. `false`: it had ended before. The one place where
    /// sessions end: its followers are told once the end is there to be found.
    pub fn end(&self, session: &Arc<Session>, end: End, by: &'static str) -> bool {
        let is_first = session.end(end);
        if is_first {
            self.followers.changed(session.id);
            self.audit.ended(session, end, by);
            self.mark_unwritten(session);
        }
        is_first
    }

    /// Changes the scopes of a session in memory, where the next verdict finds them.
    pub fn set_scopes(&self, session: &Session, scopes: ScopeSet) {
        session.set_scopes(scopes);
        self.followers.changed(session.id);
    }

    /// Notes activity, to be written behind.
    pub fn touch(&self, session: &Arc<Session>, now_ms: u64) {
        session.touch(now_ms);
        self.mark_unwritten(session);
    }

    /// Has the session written at the next flush.
    pub fn mark_unwritten(&self, session: &Arc<Session>) {
        if session.mark_unwritten() {
            lock(&self.shard(session.id).unwritten).push(Arc::clone(session));
        }
    }

    /// Takes the sessions that the disk does not have at all.
    pub fn take_opened(&self) -> Vec<Arc<Session>> {
        self.shards.iter().flat_map(|shard| std::mem::take(&mut *lock(&shard.opened))).collect()
    }

    /// Takes the sessions that the disk does not have as they are.
    pub fn take_unwritten(&self) -> Vec<Arc<Session>> {
        let mut unwritten = self.take_opened();
        unwritten.extend(self.shards.iter().flat_map(|shard| std::mem::take(&mut *lock(&shard.unwritten))));
        unwritten
    }

    /// The session in memory under that id: live, or ended and not yet buried.
    pub fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        lock(&self.shard(id).live).get(&id).cloned()
    }

    /// Drops an ended session whose tombstone is on disk.
    pub fn forget(&self, session: &Arc<Session>) {
        let mut live = lock(&self.shard(session.id).live);
        if live.get(&session.id).is_some_and(|held| Arc::ptr_eq(held, session)) {
            live.remove(&session.id);
        }
    }

    /// Whether another session has come in this one's place: then its tombstone must not be written any more.
    pub fn is_replaced(&self, session: &Arc<Session>) -> bool {
        self.find(session.id).is_some_and(|held| !Arc::ptr_eq(&held, session))
    }

    fn shard(&self, id: SessionId) -> &Shard {
        let [first, ..] = id.0;
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the array's length")]
        &self.shards[usize::from(first) % SHARDS]
    }
}

/// The end that a revocation gives.
pub fn revoked(at_ms: u64) -> End {
    End { reason: Reason::Revoked, at_ms }
}

fn join(session: &Arc<Session>, token: &Token) -> Binding {
    match session.returned {
        Some(end) if token.issued_at_ms <= end.at_ms => Binding::Gone(end.reason),
        _ => Binding::Live(Arc::clone(session)),
    }
}

fn origin(token: &Token, access: Arc<Access>, returned: Option<End>) -> Origin {
    Origin {
        id: token.id,
        issuer: Arc::clone(&token.issuer),
        key: token.key.clone(),
        kind: token.kind,
        subject: token.subject.clone(),
        client: Arc::clone(&token.client),
        access,
        granted: token.scopes.clone(),
        opened_at_ms: token.start_ms,
        returned,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is under these locks is whole between any two statements: a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
