//! Which session a token belongs to, and whether its first use opens one.
//!
//! One race determines the order: a revocation can be made while a token that it covers is bound for the first time.
//! Revocations are read under the lock of the session's shard, under which the session is entered as well. A revocation is
//! published before the shards are scanned. So either the revocation is seen here, or the scan sees the session. Blocks are
//! read under the same lock.
//!
//! The disk is never read under that lock. The caller looks up a session that is not in memory, where waiting delays
//! nothing else, and binds the token again with the result.

use super::Enrolment;
use super::sessions::{InMemory, Registry, Tombstone, UndatedLogins, origin, revoked};
use crate::audit::{Actor, EndedBy};
use crate::judge::{End, expiry};
use crate::life::Stage;
use crate::metrics::Opened;
use crate::revocations::Bearer;
use crate::session::Session;
use crate::store::{Record, StoreError};
use crate::token::Token;
use portcullis_contract::{KeyKind, SessionId};
use std::sync::{Arc, PoisonError};

/// The session of a token.
#[derive(Debug, Clone)]
pub enum Binding {
    /// It is in memory: live, or ended.
    Session(Arc<Session>),
    /// It is over, and no longer in memory.
    Over(End),
    /// There is none in memory, and the token is blocked until that instant.
    Blocked(u64),
    /// There is none, and a revocation covers the token.
    Revoked,
    /// There is none, and the token may not open one.
    Unknown,
    /// There is none, and only activity may open it.
    Absent,
    /// The token is an undated login, and these are refused.
    Undated,
}

/// What the first use of a token does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstUse {
    /// It opens a session, and is activity.
    Touches,
    /// It opens a session, and is not activity.
    Opens,
    /// It opens a session so that it can be ended. Nobody has verified the token: it does not show how far its issuer's clock
    /// is ahead.
    Ends,
    /// It does not open a session: nobody has verified the token.
    Nothing,
}

impl FirstUse {
    /// Whether the token is presented to be judged, by somebody who has verified it. A block refuses that; it does not keep its
    /// party from ending a session.
    const fn is_judged(self) -> bool {
        matches!(self, Self::Touches | Self::Opens)
    }
}

/// A session that is not in memory: only the store knows whether it has ended.
#[derive(Debug, Clone)]
pub struct LookUp {
    /// The session.
    pub id: SessionId,
    forgotten: u64,
    /// The first use that a shared store has to decide.
    pub candidate: Option<Arc<Candidate>>,
}

/// A first use that a store shared by replicas has to decide: another replica may be opening the same session, and all of
/// them judge by the one that the store has.
#[derive(Debug)]
pub struct Candidate {
    /// The token.
    pub token: Token,
    /// What its first use does.
    pub first_use: FirstUse,
    /// When it was presented.
    pub now_ms: u64,
}

/// What the store says about a session.
#[derive(Debug, Clone)]
pub struct LookedUp {
    /// What was asked.
    pub asked: LookUp,
    tombstone: Option<Tombstone>,
}

impl LookUp {
    /// The answer to it.
    pub(crate) fn answered(self, tombstone: Option<&Record>) -> LookedUp {
        LookedUp { asked: self, tombstone: tombstone.and_then(Tombstone::read) }
    }

    fn is(&self, id: SessionId, sessions: &InMemory) -> bool {
        self.id == id && self.forgotten == sessions.forgotten
    }
}

impl Registry {
    /// Reads what the disk says about a session. Blocks. If its entry cannot be read, a revocation of its id stands for that.
    pub fn look_up(&self, asked: &LookUp) -> Result<LookedUp, StoreError> {
        match self.store.tombstones_of(&[asked.id])?.pop() {
            Some((_, None)) => {
                let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
                let made = revocations.of_session(asked.id).ok_or_else(StoreError::damage)?;
                let tombstone = Some(Tombstone::unreadable(revoked(made.ends_at_ms)));
                Ok(LookedUp { asked: asked.clone(), tombstone })
            }
            found => Ok(asked.clone().answered(found.and_then(|(_, record)| record).as_ref())),
        }
    }

    /// The session that a token belongs to, which opens if this is its first use. The error is a look-up that must be made
    /// first; its result is passed as `looked_up`.
    pub fn bind(
        &self,
        token: &Token,
        first_use: FirstUse,
        looked_up: Option<&LookedUp>,
        now_ms: u64,
    ) -> Result<Binding, LookUp> {
        // A token may have `"sid": ""`. It must neither share a session with others nor cost the filter its stream.
        if token.issuer.is_empty() || token.key.is_empty() {
            return Ok(Binding::Unknown);
        }
        if token.kind == KeyKind::LoginUndated && self.terms.undated_logins == UndatedLogins::Refuse {
            let blocked = self.block_at(token, first_use, now_ms);
            return Ok(blocked.map_or(Binding::Undated, Binding::Blocked));
        }
        let shows_lead = matches!(first_use, FirstUse::Touches | FirstUse::Opens)
            && self.leads.note(&token.issuer, token.newest_ms(), now_ms);
        let mut sessions = self.in_memory(token.id);
        let ask_store = |sessions: &InMemory, decides: bool| LookUp {
            id: token.id,
            forgotten: sessions.forgotten,
            candidate: decides.then(|| Arc::new(Candidate { token: token.clone(), first_use, now_ms })),
        };
        // Every replica has to know it before it is used: it determines the instants of revocations.
        if shows_lead && self.lease.is_shared() && self.block_at(token, first_use, now_ms).is_none() {
            return Err(ask_store(&sessions, true));
        }
        let held = sessions.by_id.get(&token.id).cloned();
        let tombstone = match &held {
            Some(session) => match self.settle(session, now_ms, EndedBy::Judge) {
                None => return Ok(Binding::Session(Arc::clone(session))),
                Some(end) => Some(Tombstone::of(session, end)),
            },
            None if first_use == FirstUse::Nothing => return Ok(Binding::Unknown),
            // Before the look-up: a store that cannot be read must not keep a block from answering.
            None => match (self.block_at(token, first_use, now_ms), looked_up) {
                (Some(until_ms), _) => return Ok(Binding::Blocked(until_ms)),
                (None, Some(found)) if found.asked.is(token.id, &sessions) => found.tombstone,
                // One from before another session left this shard may have missed its tombstone, and is made again.
                (None, _) => return Err(ask_store(&sessions, false)),
            },
        };
        let opened = match self.open_by(token, tombstone, first_use, now_ms) {
            Ok(_) if self.lease.is_shared() => return Err(ask_store(&sessions, true)),
            Ok(session) => Arc::new(session),
            // The session itself, while it is in memory: its tombstone may have to be written before it is answered.
            Err(refused) => return Ok(held.map_or(refused, Binding::Session)),
        };
        sessions.put(&opened);
        drop(sessions);
        self.audit.opened(&opened, Opened::FirstUse, &Actor::Nobody, now_ms);
        self.enqueue_opened(&opened);
        Ok(Binding::Session(opened))
    }

    /// The session that a first use opens in a shared store, or none: it is there, or it opens none. Called by the writer,
    /// to whom the store has told everything that other replicas have done; `buried` is the tombstone that the store has,
    /// and `ends` an end that the same commit brings.
    pub(crate) fn decide(&self, candidate: &Candidate, buried: Option<&Record>, ends: Option<End>) -> Option<Session> {
        let Candidate { token, first_use, now_ms } = candidate;
        let tombstone = match self.find(token.id) {
            Some(held) => Some(Tombstone::of(&held, self.settle(&held, *now_ms, EndedBy::Judge)?)),
            None => buried.and_then(Tombstone::read),
        };
        let tombstone = tombstone.map(|tombstone| ends.map_or(tombstone, |end| tombstone.and(end)));
        self.open_by(token, tombstone, *first_use, *now_ms).ok()
    }

    /// The session that the first use of a token opens, or why it opens none.
    fn open_by(
        &self,
        token: &Token,
        tombstone: Option<Tombstone>,
        first_use: FirstUse,
        now_ms: u64,
    ) -> Result<Session, Binding> {
        if let Some(until_ms) = self.block_at(token, first_use, now_ms) {
            return Err(Binding::Blocked(until_ms));
        }
        let tombstone = tombstone.map(|tombstone| tombstone.on(self.terms.undated_logins));
        let may_open = self.terms.enrolment == Enrolment::FirstUse && first_use != FirstUse::Nothing;
        if let Some(tombstone) = tombstone
            && !(may_open && tombstone.opens_for(token))
        {
            return Err(Binding::Over(tombstone.end));
        }
        if self.is_revoked(token) {
            return Err(Binding::Revoked);
        }
        let access = self.terms.access.of(&token.scopes, &token.client, &token.grant);
        let Some(access) = access.filter(|_| may_open) else {
            return Err(Binding::Unknown);
        };
        // A person who is there may have been active elsewhere; of background traffic nobody knows, and it must not end for
        // good what was not seen alive here.
        let is_over = expiry(token.start_ms, token.start_ms, access.limits, now_ms).is_some();
        if first_use == FirstUse::Opens && is_over {
            return Err(Binding::Absent);
        }
        // Background traffic is not presence, not even as the first question: nor after an enrolment was lost.
        let last_seen_ms =
            if first_use == FirstUse::Touches { self.agreement.activity_ms(now_ms) } else { token.start_ms };
        let session =
            Session::opened(origin(token, access, tombstone), token.scopes.clone(), token.marks(last_seen_ms));
        self.note_email(&session, token);
        self.narrow_session(&session);
        self.count_logins(&session);
        self.grant_session(&session);
        Ok(session)
    }

    /// Until when a block refuses this use of a token.
    fn block_at(&self, token: &Token, first_use: FirstUse, now_ms: u64) -> Option<u64> {
        first_use.is_judged().then(|| self.blocked_until_ms(token, now_ms))?
    }

    /// Whether a revocation covers the token.
    pub fn is_revoked(&self, token: &Token) -> bool {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        revocations.against(self.judged(token.kind, token.bearer())).is_some()
    }

    /// What revocations are compared with. For an undated login, a revocation holds for a while, because the next token
    /// may be a refreshed one.
    pub(super) fn judged<'a>(&self, kind: KeyKind, bearer: Bearer<'a>) -> Bearer<'a> {
        match self.terms.undated_logins {
            UndatedLogins::Reopen { revoked_for_ms } if kind == KeyKind::LoginUndated => {
                Bearer { start_ms: bearer.start_ms.saturating_sub(revoked_for_ms), ..bearer }
            }
            UndatedLogins::Refuse | UndatedLogins::Reopen { .. } => bearer,
        }
    }
}

impl InMemory {
    /// Enters a session, in the place of an ended one if there is one.
    pub(super) fn put(&mut self, session: &Arc<Session>) {
        // In this order: the writer must not find the new session queued while it could still write the old tombstone.
        if let Some(old) = self.by_id.get(&session.id) {
            old.life().change(Stage::replaced);
        }
        self.by_id.insert(session.id, Arc::clone(session));
    }
}
