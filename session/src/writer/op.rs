//! The changes that are durable before they are answered.

use super::approval::{Approved, Approving};
use super::attribute::Set;
use super::signal::{Applied, Signal};
use crate::access::Access;
use crate::attributes::Attribute;
use crate::audit::Actor;
use crate::blocks::Block;
use crate::narrowings::{Narrowing, ScopeChange};
use crate::registry::{Candidate, LookUp, LookedUp, NotOpened};
use crate::revocations::Revocation;
use crate::session::Session;
use crate::store::{Record, StoreError};
use crate::token::Token;
use portcullis_contract::SessionId;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Why a durable change was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotWritten {
    /// The store failed.
    Failed(StoreError),
    /// Too many changes wait, or the service is stopping.
    Busy,
    /// It was not made in time, and may still be.
    Late,
}

/// Who has asked for a change, and where its answer goes.
pub(crate) struct Reply<T> {
    /// Who has asked.
    pub(super) by: Actor,
    /// Who waits.
    pub(super) to: oneshot::Sender<Result<T, NotWritten>>,
}

/// The answer to an opening.
pub(super) type Opened = Result<Arc<Session>, NotOpened>;

/// The answer to a change of a party's scopes: the narrowing as it is then, or the scopes that cannot be given back.
pub(super) type Changed = Result<Narrowing, HeldBack>;

/// The scopes that a change cannot give back to one client, because they are taken from every client of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack(pub Vec<String>);

/// A change that is durable before it is answered.
pub(crate) enum Op {
    /// Ends a session as revoked, wherever it is, and moves its end if it has one; answers its record, if there is such a
    /// session.
    Revoke(Revoking, Reply<Option<Box<Record>>>),
    /// Narrows the scopes of a party, or lifts that.
    Narrow(Narrowing, Reply<()>),
    /// Takes scopes from a party or gives them back, whatever others have changed meanwhile.
    ChangeScopes(ScopeChange, Reply<Changed>),
    /// Decides a first use in a shared store; answers what the store said about the session.
    Enrol(LookUp, Arc<Candidate>, Reply<LookedUp>),
    /// Applies what other replicas have changed.
    CatchUp(Option<Reply<()>>),
    /// Opens a session.
    Open(Box<Opening>, Reply<Opened>),
    /// Revokes a party; answers the number of sessions that this ended.
    Revocation(Revocation, Reply<usize>),
    /// Takes a revocation back, unless another of its party has come since; answers whether it was there.
    Lift(Revocation, Reply<bool>),
    /// Blocks a party; answers the block whose place it takes.
    Block(Block, Reply<Option<Block>>),
    /// Takes a block back, unless another of its party has come since; answers whether it was there.
    Unblock(Block, Reply<bool>),
    /// Sets an attribute, or removes it; answers what was known before.
    Attribute(Attribute, Reply<Set>),
    /// Makes a request for access, decides about one, or ends what is over; answers the request.
    Approval(Approving, u64, Reply<Approved>),
    /// Makes the effects of a signal, unless it was received before.
    Signal(Box<Signal>, Reply<Applied>),
    /// Drops receipts of signals that are kept until before an instant.
    ForgetReceived(u64),
    /// Drops counts of what was used before a day.
    ForgetUsed(u32),
    /// Drops, from the next page of tombstones, those that ended before an instant; answers where to go on.
    Forget(Option<SessionId>, u64, Reply<Option<SessionId>>),
    /// Writes sessions whose end, or return from one, the disk does not know yet.
    MakeDurable(Vec<Arc<Session>>, Reply<()>),
}

/// The revocation of one session.
#[derive(Debug, Clone)]
pub(crate) struct Revoking {
    /// The session.
    pub(crate) id: SessionId,
    /// Why; may be empty.
    pub(crate) reason: String,
    /// What becomes of an id that no session has.
    pub(crate) unseen: Unseen,
    /// Now.
    pub(crate) now_ms: u64,
}

/// What becomes of an id that no session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// Nothing.
    Ignored,
    /// A revocation of the id is made: its first token is refused.
    Revoked,
}

/// A session that the admin API asks for.
pub struct Opening {
    /// What stands for the token.
    pub token: Token,
    /// Its access type.
    pub access: Arc<Access>,
    /// Now.
    pub now_ms: u64,
}

/// Answers a change.
pub(super) fn answer<T>(reply: Reply<T>, with: Result<T, NotWritten>) {
    // The caller may have gone away: the change was made all the same.
    drop(reply.to.send(with));
}
