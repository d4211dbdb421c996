//! The handle by which the rest of the service asks for durable changes.

use super::approval::{Approved, Approving, Using};
use super::attribute::Set;
use super::commit::Commit;
use super::op::{Changed, NotWritten, Op, Opened, Opening, Reply, Revoking, Unseen};
use super::signal::{Applied, Signal};
use super::thread::{FLUSH_INTERVAL, run};
use crate::attributes::Attribute;
use crate::audit::{Actor, Audit};
use crate::blocks::Block;
use crate::leases::Leases;
use crate::metrics::Metrics;
use crate::narrowings::{Narrowing, ScopeChange};
use crate::notices::Noticing;
use crate::registry::{Candidate, LookUp, LookedUp, Registry};
use crate::replica::{Barrier, Engine, Unlisted};
use crate::revocations::Revocation;
use crate::session::Session;
use crate::store::{Record, Store};
use portcullis_contract::SessionId;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Changes that wait for the writer. More are refused: the disk cannot keep up.
const WAITING_MAX: usize = 4096;

/// How long a caller waits for its change. A later one is still made, but nobody is told that it holds.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The handle to the writer. What is asked for through it is asked for by one actor.
pub struct Writer {
    shared: Arc<Shared>,
    by: Actor,
}

struct Shared {
    ops: Mutex<Option<SyncSender<Op>>>,
    thread: Mutex<Option<JoinHandle<usize>>>,
    is_healthy: Arc<AtomicBool>,
    is_suspect: Arc<AtomicBool>,
    ended: Arc<Notify>,
    barrier: Option<Arc<Barrier>>,
    leases: Arc<Leases>,
    metrics: Arc<Metrics>,
}

/// Says that the thread has ended, in whatever way.
struct Ending(Arc<Notify>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// The writer of one of several replicas.
pub struct Among {
    /// The store's list of replicas.
    pub engine: Arc<dyn Engine>,
    /// What answers wait for.
    pub barrier: Arc<Barrier>,
    /// How often activity is written, so that the others learn of it.
    pub flush_every: Duration,
}

impl Writer {
    /// Starts the writer's thread.
    pub fn start(
        registry: Arc<Registry>,
        store: Arc<dyn Store>,
        audit: Arc<Audit>,
        metrics: Arc<Metrics>,
        replica: Option<Among>,
    ) -> std::io::Result<Self> {
        let (sender, ops) = sync_channel(WAITING_MAX);
        let is_healthy = Arc::new(AtomicBool::new(true));
        let barrier = replica.as_ref().map(|among| Arc::clone(&among.barrier));
        let flush_every = replica.as_ref().map_or(FLUSH_INTERVAL, |among| among.flush_every);
        let (leases, counted) = (Arc::clone(registry.followers().leases()), Arc::clone(&metrics));
        let commit = Commit::new(registry, store, audit, metrics, Arc::clone(&is_healthy)).among(replica);
        let is_suspect = Arc::<AtomicBool>::default();
        let ended = Arc::<Notify>::default();
        let (suspect, ending) = (Arc::clone(&is_suspect), Ending(Arc::clone(&ended)));
        let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let _ending = ending;
            run(&commit, &ops, &suspect, flush_every)
        })?;
        let (ops, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        let shared = Shared { ops, thread, is_healthy, is_suspect, ended, barrier, leases, metrics: counted };
        Ok(Self { shared: Arc::new(shared), by: Actor::Nobody })
    }

    /// A handle to the same writer, for what somebody else asks for.
    pub fn by(&self, by: Actor) -> Self {
        Self { shared: Arc::clone(&self.shared), by }
    }

    /// To be set by whoever could not read the store: the writer then finds out whether it can write.
    pub fn suspicion(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.shared.is_suspect)
    }

    /// Waits for the end of the thread. Without it nothing is durable any more.
    pub async fn ended(&self) {
        self.shared.ended.notified().await;
    }

    /// Whether the store could write when it was last tried.
    pub fn is_healthy(&self) -> bool {
        self.shared.is_healthy.load(Ordering::Relaxed)
    }

    /// Revokes the session with that id, live or ended; returns its record, if there is such a session.
    pub async fn revoke(&self, id: SessionId, reason: &str, now_ms: u64) -> Result<Option<Box<Record>>, NotWritten> {
        self.revoke_as(Revoking { id, reason: reason.to_owned(), unseen: Unseen::Ignored, now_ms }).await
    }

    /// The same. If there is no such session, the id itself is revoked, so that the first token of one is refused.
    pub async fn revoke_id(&self, id: SessionId, reason: &str, now_ms: u64) -> Result<Option<Box<Record>>, NotWritten> {
        self.revoke_as(Revoking { id, reason: reason.to_owned(), unseen: Unseen::Revoked, now_ms }).await
    }

    async fn revoke_as(&self, revoking: Revoking) -> Result<Option<Box<Record>>, NotWritten> {
        self.ask_all(|reply| Op::Revoke(revoking, reply)).await
    }

    /// Narrows the scopes of a party, or lifts that.
    pub async fn narrow(&self, narrowing: Narrowing) -> Result<(), NotWritten> {
        self.ask_all(|reply| Op::Narrow(narrowing, reply)).await
    }

    /// Takes scopes from a party or gives them back; returns what the narrowing is then.
    pub async fn change_scopes(&self, change: ScopeChange) -> Result<Changed, NotWritten> {
        self.ask_all(|reply| Op::ChangeScopes(change, reply)).await
    }

    /// Opens a session.
    pub async fn open(&self, opening: Opening) -> Result<Opened, NotWritten> {
        self.ask_all(|reply| Op::Open(Box::new(opening), reply)).await
    }

    /// Revokes a party; returns the number of sessions that this ended.
    pub async fn revoke_party(&self, revocation: Revocation) -> Result<usize, NotWritten> {
        self.ask_all(|reply| Op::Revocation(revocation, reply)).await
    }

    /// Takes a revocation back, unless another of its party has come since; returns whether it was there.
    pub async fn lift(&self, revocation: Revocation) -> Result<bool, NotWritten> {
        self.ask_all(|reply| Op::Lift(revocation, reply)).await
    }

    /// Blocks a party; returns the block whose place it takes.
    pub async fn block(&self, block: Block) -> Result<Option<Block>, NotWritten> {
        self.ask_all(|reply| Op::Block(block, reply)).await
    }

    /// Takes a block back, unless another of its party has come since; returns whether it was there.
    pub async fn unblock(&self, block: Block) -> Result<bool, NotWritten> {
        self.ask_all(|reply| Op::Unblock(block, reply)).await
    }

    /// Sets an attribute, or removes it.
    pub async fn attribute(&self, attribute: Attribute) -> Result<Set, NotWritten> {
        self.ask_all(|reply| Op::Attribute(attribute, reply)).await
    }

    /// Makes a request for access, decides about one, or ends what is over. A grant holds at every replica when this is answered.
    pub(crate) async fn approve(&self, approving: Approving, now_ms: u64) -> Result<Approved, NotWritten> {
        self.ask_all(|reply| Op::Approval(approving, now_ms, reply)).await
    }

    /// Notes grants for one request as used. Another replica that would use them, too, learns of this first: so nobody waits
    /// until it holds there.
    pub(crate) async fn use_grants(&self, using: Using, now_ms: u64) -> Result<Approved, NotWritten> {
        self.ask(|reply| Op::Approval(Approving::Use(using), now_ms, reply)).await
    }

    /// Notes what becomes of a notice: the request, and whether this has changed it.
    pub(crate) async fn notice(&self, noticing: Noticing, now_ms: u64) -> Result<Approved, NotWritten> {
        self.ask(|reply| Op::Approval(Approving::Notice(Box::new(noticing)), now_ms, reply)).await
    }

    /// Notes that webhooks are reminded of a review that is open.
    pub(crate) async fn remind(&self, request: String, now_ms: u64) -> Result<Approved, NotWritten> {
        self.ask(|reply| Op::Approval(Approving::Remind(request), now_ms, reply)).await
    }

    /// Makes the effects of a signal, unless it was received before.
    pub(crate) async fn signal(&self, signal: Signal) -> Result<Applied, NotWritten> {
        self.ask_all(|reply| Op::Signal(Box::new(signal), reply)).await
    }

    /// Drops receipts of signals that are kept until before an instant, soon.
    pub fn forget_received(&self, before_ms: u64) {
        drop(self.send(Op::ForgetReceived(before_ms)));
    }

    /// Drops some of the counts of what was used before a day, soon.
    pub fn forget_used(&self, before: u32) {
        drop(self.send(Op::ForgetUsed(before)));
    }

    /// Drops what ended before an instant among the next tombstones after `after`; returns where to go on, `None` at the end.
    pub async fn forget(&self, after: Option<SessionId>, before_ms: u64) -> Result<Option<SessionId>, NotWritten> {
        self.ask(|reply| Op::Forget(after, before_ms, reply)).await
    }

    /// Decides a first use in a shared store; returns what the store said about the session.
    pub async fn enrol(&self, look_up: LookUp, candidate: Arc<Candidate>) -> Result<LookedUp, NotWritten> {
        self.ask(|reply| Op::Enrol(look_up, candidate, reply)).await
    }

    /// Has what other replicas have changed applied soon. It need not be asked for again while the writer has more to do.
    pub fn catch_up(&self) {
        drop(self.send(Op::CatchUp(None)));
    }

    /// Waits until it is applied.
    pub async fn caught_up(&self) -> Result<(), NotWritten> {
        self.ask(|reply| Op::CatchUp(Some(reply))).await
    }

    /// Writes sessions whose end, or return from one, the disk does not know yet.
    pub async fn make_durable(&self, sessions: Vec<Arc<Session>>) -> Result<(), NotWritten> {
        self.ask(|reply| Op::MakeDurable(sessions, reply)).await
    }

    /// Waits until everything that holds here holds at every replica, and for every filter that decides by a lease.
    pub async fn everywhere(&self) -> Result<(), NotWritten> {
        let others = async {
            match &self.shared.barrier {
                None => Ok(()),
                Some(barrier) => barrier.passed().await.map_err(|Unlisted| NotWritten::Late),
            }
        };
        let ((), others) = tokio::join!(self.unleased(), others);
        others
    }

    /// Waits until it holds for every filter that decides by a lease of this replica.
    pub async fn unleased(&self) {
        let waited = self.shared.leases.passed().await;
        self.shared.metrics.leases.waited(waited);
    }

    /// Asks for a change that holds at every replica when it is answered.
    async fn ask_all<T>(&self, op: impl FnOnce(Reply<T>) -> Op) -> Result<T, NotWritten> {
        let answer = self.ask(op).await?;
        self.everywhere().await?;
        Ok(answer)
    }

    async fn ask<T>(&self, op: impl FnOnce(Reply<T>) -> Op) -> Result<T, NotWritten> {
        let (to, answer) = oneshot::channel();
        self.send(op(Reply { by: self.by.clone(), to }))?;
        match tokio::time::timeout(ANSWER_MAX, answer).await {
            // A dropped reply: the thread has died, and the change may be on disk.
            Ok(answer) => answer.unwrap_or(Err(NotWritten::Late)),
            Err(_) => Err(NotWritten::Late),
        }
    }

    fn send(&self, op: Op) -> Result<(), NotWritten> {
        let ops = self.shared.ops.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = ops.as_ref().ok_or(NotWritten::Busy)?;
        sender.try_send(op).map_err(|refused| match refused {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => NotWritten::Busy,
        })
    }

    /// Writes everything and ends the thread. Blocks; later changes are refused. The error is the number of sessions whose
    /// last changes could not be written.
    pub fn stop(&self) -> Result<(), usize> {
        drop(self.shared.ops.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread.map(JoinHandle::join) {
            None | Some(Ok(0)) => Ok(()),
            Some(Ok(lost)) => Err(lost),
            // A panic of the thread has been printed. Nobody knows what it had still to write.
            Some(Err(_)) => Err(usize::MAX),
        }
    }
}
