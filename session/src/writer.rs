//! The writer: the one thread that changes the store. What must be durable before it is answered is committed in
//! groups, so that concurrent revocations share one fsync; the rest is written behind.
//!
//! A durable change goes to disk, then to memory, then to its caller: a failed commit leaves memory as it was. The
//! memory is changed here and not by the caller, who may have gone away in between.

mod scribe;
#[cfg(test)]
pub(crate) mod tests;

use crate::access::Access;
use crate::book::{Book, NotOpened};
use crate::intern::ScopeSet;
use crate::judge::End;
use crate::rules::Rule;
use crate::session::Session;
use crate::store::{Store, StoreError};
use crate::token::Token;
use scribe::Scribe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often last activity is written behind: how much older than true it can be after a crash.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How often first uses are written behind: those of this time are lost in a crash, and happen again. Short, because until
/// then an operator who has seen the session cannot revoke it by its id.
pub const OPENED_INTERVAL: Duration = Duration::from_millis(50);

/// Changes waiting for the writer. More are refused: the disk cannot follow.
const WAITING_MAX: usize = 4096;

/// Changes that share one commit.
const GROUP_MAX: usize = 512;

/// Sessions written behind in one commit: as long as it takes is what a revocation may have to wait.
const CHUNK: usize = 2048;

/// Why a durable change was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotWritten {
    /// The store failed, as it says.
    Failed(StoreError),
    /// Too many changes wait, or the service is stopping.
    Busy,
}

/// Answers one change.
type Reply<T> = oneshot::Sender<Result<T, NotWritten>>;

/// A change that is durable before it is answered.
enum Op {
    /// Ends a session as revoked; answers its end, which may be an older one.
    Revoke(Arc<Session>, u64, Reply<End>),
    /// Changes a session's scopes; answers its end if it has one.
    Scopes(Arc<Session>, ScopeSet, Reply<Option<End>>),
    /// Opens a session.
    Open(Box<Opening>, Reply<Result<Arc<Session>, NotOpened>>),
    /// Makes a rule; answers how many sessions it ended.
    Rule(Rule, Reply<usize>),
    /// Writes the tombstone of a session that ended before its record was written.
    Bury(Arc<Session>, Reply<()>),
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

/// The handle to the writer.
pub struct Writer {
    ops: Mutex<Option<SyncSender<Op>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    is_healthy: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the writer's thread.
    pub fn start(book: Arc<Book>, store: Arc<dyn Store>) -> std::io::Result<Self> {
        let (sender, ops) = sync_channel(WAITING_MAX);
        let is_healthy = Arc::new(AtomicBool::new(true));
        let scribe = Scribe::new(book, store, Arc::clone(&is_healthy));
        let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(move || work(&scribe, &ops))?;
        Ok(Self { ops: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), is_healthy })
    }

    /// Whether the last commit was made.
    pub fn is_healthy(&self) -> bool {
        self.is_healthy.load(Ordering::Relaxed)
    }

    /// Revokes a session. Its end is an older one when it had ended before.
    pub async fn revoke(&self, session: Arc<Session>, now_ms: u64) -> Result<End, NotWritten> {
        self.ask(|reply| Op::Revoke(session, now_ms, reply)).await
    }

    /// Changes the scopes of a session; answers its end when it has ended, and then changes nothing.
    pub async fn set_scopes(&self, session: Arc<Session>, scopes: ScopeSet) -> Result<Option<End>, NotWritten> {
        self.ask(|reply| Op::Scopes(session, scopes, reply)).await
    }

    /// Opens a session.
    pub async fn open(&self, opening: Opening) -> Result<Result<Arc<Session>, NotOpened>, NotWritten> {
        self.ask(|reply| Op::Open(Box::new(opening), reply)).await
    }

    /// Makes a rule; answers how many sessions it ended.
    pub async fn make_rule(&self, rule: Rule) -> Result<usize, NotWritten> {
        self.ask(|reply| Op::Rule(rule, reply)).await
    }

    /// Writes the tombstone of an ended session.
    pub async fn bury(&self, session: Arc<Session>) -> Result<(), NotWritten> {
        self.ask(|reply| Op::Bury(session, reply)).await
    }

    async fn ask<T>(&self, op: impl FnOnce(Reply<T>) -> Op) -> Result<T, NotWritten> {
        let (reply, answer) = oneshot::channel();
        self.send(op(reply))?;
        // A reply that is dropped is a change that was not made: the writer has stopped.
        answer.await.unwrap_or(Err(NotWritten::Busy))
    }

    fn send(&self, op: Op) -> Result<(), NotWritten> {
        let ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = ops.as_ref().ok_or(NotWritten::Busy)?;
        sender.try_send(op).map_err(|refused| match refused {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => NotWritten::Busy,
        })
    }

    /// Writes everything and ends the thread. Blocks; later changes are refused.
    pub fn stop(&self) {
        drop(self.ops.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the thread has been printed; there is nothing to add when stopping.
            drop(thread.join());
        }
    }
}

fn work(scribe: &Scribe, ops: &Receiver<Op>) {
    let mut behind: Vec<Arc<Session>> = Vec::new();
    let mut flush_at = Instant::now() + FLUSH_INTERVAL;
    let mut opened_at = Instant::now() + OPENED_INTERVAL;
    // After a failure the rest waits for the next flush: a broken disk is asked once a second, not as fast as it fails.
    let mut is_failing = false;
    loop {
        let wait = if behind.is_empty() || is_failing {
            flush_at.min(opened_at).saturating_duration_since(Instant::now())
        } else {
            Duration::ZERO
        };
        match ops.recv_timeout(wait) {
            Ok(first) => {
                let group = std::iter::once(first).chain(ops.try_iter()).take(GROUP_MAX);
                scribe.make(group.collect());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                behind.extend(scribe.take_unwritten());
                for chunk in behind.chunks(CHUNK) {
                    scribe.write_behind(chunk);
                }
                return;
            }
        }
        if Instant::now() >= flush_at {
            behind.extend(scribe.take_unwritten());
            flush_at = Instant::now() + FLUSH_INTERVAL;
            is_failing = false;
        }
        if Instant::now() >= opened_at {
            behind.extend(scribe.take_opened());
            opened_at = Instant::now() + OPENED_INTERVAL;
        }
        if is_failing {
            continue;
        }
        let rest = behind.len().saturating_sub(CHUNK);
        let chunk = behind.split_off(rest);
        is_failing = !scribe.write_behind(&chunk);
    }
}
