//! The thread that notes proofs as used: questions wait for it, and no connection's thread waits for a disk.

use super::{Batches, Memory, PROOFS_MAX, UsedProof};
use crate::check_stream::Taken;
use crate::clock::Clock;
use crate::log::Sampler;
use crate::store::{Store, StoreError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// Proofs that wait. With more, there is no verdict.
const WAITING_MAX: usize = 65_536;

/// Proofs that are noted together.
const GROUP_MAX: usize = 1_024;

/// What the thread is asked.
enum Asked {
    /// To note a proof, and to tell who has used it.
    Proof(UsedProof, oneshot::Sender<Taken>),
    /// To let go of the store.
    Stop,
}

/// Notes proofs as used.
#[derive(Clone)]
pub(crate) struct Proofs {
    sender: mpsc::Sender<Asked>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Proofs {
    /// Reads what is kept, and starts the thread.
    pub(crate) fn start(store: Arc<dyn Store>, clock: Clock) -> Result<Self, StoreError> {
        let batches = Batches::open(store, Memory::of(PROOFS_MAX), clock.now_ms())
            .map_err(|error| StoreError(format!("the proofs that were used: {error}")))?;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let run = move || run(receiver, batches, &clock);
        let started = thread::Builder::new().name("proofs".to_owned()).spawn(run);
        let thread = started.map_err(|error| StoreError(format!("cannot start the thread of the proofs: {error}")))?;
        Ok(Self { sender, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Ends the thread, so that the store is free for another process. Blocks.
    pub(crate) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && self.sender.blocking_send(Asked::Stop).is_ok()
        {
            // It answers what it has been asked before.
            let _ = thread.join();
        }
    }

    /// Notes a proof as used by a question.
    pub(crate) async fn take(&self, proof: UsedProof) -> Taken {
        let (answer, answered) = oneshot::channel();
        match self.sender.try_send(Asked::Proof(proof, answer)) {
            Ok(()) => answered.await.unwrap_or(Taken::Unknown),
            Err(_) => Taken::Unknown,
        }
    }
}

fn run(mut receiver: mpsc::Receiver<Asked>, mut batches: Batches, clock: &Clock) {
    static FAILURES: Sampler = Sampler::new();
    let mut group = Vec::new();
    let mut is_over = false;
    while !is_over && receiver.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let (mut proofs, mut answers) = (Vec::new(), Vec::new());
        for asked in group.drain(..) {
            match asked {
                Asked::Proof(proof, answer) => {
                    proofs.push(proof);
                    answers.push(answer);
                }
                Asked::Stop => is_over = true,
            }
        }
        let (taken, error) = batches.take(&proofs, clock.now_ms());
        if let Some((error, not_logged)) = error.and_then(|error| Some((error, FAILURES.admit()?))) {
            warn!(%error, not_logged, "could not note that proofs of possession are used: no verdict");
        }
        for (answer, taken) in answers.into_iter().zip(taken) {
            // Whoever has asked may be gone.
            let _ = answer.send(taken);
        }
    }
}
