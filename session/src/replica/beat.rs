//! The beats of a replica: one thread that tells the store that this replica is there and how far it has applied the log,
//! learns where the log ends, and wakes whoever waits for either.

use super::barrier::{Barrier, Overdue};
use super::engine::{Engine, NoBeat, Peer, Place, Woken};
use super::lease::Lease;
use super::stated::apart;
use crate::clock::{steady_ms, waited_out_ms};
use crate::leases::Leases;
use crate::log::Sampler;
use crate::metrics::Metrics;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{error, info, warn};

/// Beats in each serve lease.
const BEATS_PER_LEASE: u64 = 6;

/// A replica that has not beaten for this long is taken off the list: otherwise one that has died would keep the store from
/// dropping old entries of its log.
const SILENT_MS_MAX: u64 = 60_000;

/// Serve leases for which a replica may beat without applying what the log had.
const STUCK_LEASES: u64 = 2;

/// Replicas may judge by different conditions for this long before it is said: a change reaches one before the other.
const APART_MS_MAX: u64 = 15_000;

/// The clocks of replicas may differ by this much before it is said.
const CLOCK_LEAD_MS_MAX: u64 = 1_000;

/// The thread, while it runs.
pub struct Beats {
    engine: Arc<dyn Engine>,
    is_stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    outdated: Arc<Notify>,
}

struct Beating {
    engine: Arc<dyn Engine>,
    lease: Arc<Lease>,
    barrier: Arc<Barrier>,
    leases: Arc<Leases>,
    metrics: Arc<Metrics>,
    serve_lease_ms: u64,
    /// Has the log applied to its end, soon.
    catch_up: Box<dyn Fn() + Send>,
    outdated: Arc<Notify>,
    /// What the last beat has said: what is settled, and the longest lease for filters.
    reported: Option<(Place, u64)>,
    was_serving: bool,
    silent: Silent,
    /// Since when it beats in vain: it cannot apply what the log has.
    stuck: Option<(u64, Place)>,
    /// Since when others judge by other conditions.
    apart_since_ms: Option<u64>,
}

/// When each replica was last seen to beat, by this replica's own clock.
#[derive(Debug, Default)]
struct Silent {
    seen: HashMap<String, (u64, u64)>,
    gone: Vec<Overdue>,
}

impl Silent {
    /// Notes a list that was asked for at `now_ms` of the steady clock.
    fn note(&mut self, peers: &[Peer], now_ms: u64) {
        self.seen.retain(|run, _| peers.iter().any(|peer| peer.run == *run));
        for peer in peers {
            let (beat, since_ms) = self.seen.entry(peer.run.clone()).or_insert((peer.beat, now_ms));
            if *beat != peer.beat {
                (*beat, *since_ms) = (peer.beat, now_ms);
            }
            // Far longer than it can judge.
            if now_ms.saturating_sub(*since_ms) > SILENT_MS_MAX.max(2 * peer.relied_on_ms) {
                self.gone.push(Overdue { run: peer.run.clone(), beat: peer.beat });
            }
        }
    }

    fn take(&mut self) -> Vec<Overdue> {
        std::mem::take(&mut self.gone)
    }
}

impl Beats {
    /// Starts the thread. The serve lease is in milliseconds.
    pub(crate) fn start(
        engine: Arc<dyn Engine>,
        lease: Arc<Lease>,
        barrier: Arc<Barrier>,
        leases: Arc<Leases>,
        metrics: Arc<Metrics>,
        serve_lease_ms: u64,
        catch_up: Box<dyn Fn() + Send>,
    ) -> std::io::Result<Self> {
        let (is_stopping, outdated) = (Arc::<AtomicBool>::default(), Arc::<Notify>::default());
        let (stopping, engine_here) = (Arc::clone(&is_stopping), Arc::clone(&engine));
        let mut beating = Beating {
            engine,
            lease,
            barrier,
            leases,
            metrics,
            serve_lease_ms,
            catch_up,
            outdated: Arc::clone(&outdated),
            reported: None,
            was_serving: false,
            silent: Silent::default(),
            stuck: None,
            apart_since_ms: None,
        };
        let thread = std::thread::Builder::new().name("beats".to_owned()).spawn(move || beating.run(&stopping))?;
        Ok(Self { engine: engine_here, is_stopping, thread: Mutex::new(Some(thread)), outdated })
    }

    /// Waits until the log no longer has what this replica has missed: only a restart helps.
    pub async fn outdated(&self) {
        self.outdated.notified().await;
    }

    /// Ends the serve lease, takes this replica off the list, and ends the thread. Blocks.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.engine.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(_)) = thread.map(JoinHandle::join) {
            error!("the thread of the beats has died");
        }
    }
}

impl Beating {
    fn run(&mut self, is_stopping: &AtomicBool) {
        let every = Duration::from_millis((self.serve_lease_ms / BEATS_PER_LEASE).max(1));
        let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        let mut due_ms = steady_ms();
        while !is_stopping.load(Ordering::SeqCst) {
            let left = Duration::from_millis(due_ms.saturating_sub(steady_ms()));
            let woken = if left.is_zero() { Woken::Late } else { self.engine.wait(left) };
            match woken {
                Woken::Appended => (self.catch_up)(),
                Woken::Settled | Woken::Here if self.barrier.is_waiting() => self.list(),
                Woken::Settled | Woken::Here | Woken::Late => {}
            }
            self.evict();
            let is_news = self.reported.is_some_and(|(settled, leases_ms)| {
                self.settled() > settled || self.engine.stated().leases_ms() > leases_ms
            });
            if woken == Woken::Late || is_news {
                self.beat();
                due_ms = steady_ms().saturating_add(every_ms);
            }
            self.say();
        }
        self.lease.close();
        // Nobody waits for one that is not listed.
        while let Some(until_ms) = self.leases.until_ms() {
            std::thread::sleep(Duration::from_millis(until_ms.saturating_sub(steady_ms())));
        }
        if let Err(error) = self.engine.leave() {
            warn!(%error, "could not leave the other replicas: they will wait for the end of the serve lease");
        }
    }

    /// What is settled here.
    fn settled(&self) -> Place {
        let applied = self.lease.applied_to();
        self.leases.settled(applied)
    }

    fn relied_on_ms(&self) -> u64 {
        self.serve_lease_ms.saturating_add(self.engine.stated().leases_ms())
    }

    /// A replica that cannot apply the log leaves the list until it can: all others would wait for it.
    fn is_stuck(&mut self) -> bool {
        let Some((since_ms, head)) = self.stuck else {
            return false;
        };
        if self.lease.applied_to() >= head {
            self.stuck = None;
            return false;
        }
        if steady_ms().saturating_sub(since_ms) <= STUCK_LEASES * waited_out_ms(self.relied_on_ms()) {
            return false;
        }
        (self.catch_up)();
        if let Err(error) = self.engine.leave() {
            self.lease.failed(format!("the store does not answer: {error}"));
        }
        true
    }

    fn beat(&mut self) {
        if self.is_stuck() {
            return;
        }
        let (applied, leases_ms) = (self.lease.applied_to(), self.engine.stated().leases_ms());
        let (settled, relied_on_ms) = (self.leases.settled(applied), self.serve_lease_ms.saturating_add(leases_ms));
        let (asked, sent_ms) = (self.barrier.ticket(), steady_ms());
        let beaten = self.engine.beat(settled, relied_on_ms).and_then(|beaten| match beaten {
            Some(beaten) => Ok(Some(beaten)),
            None => {
                self.engine.join(settled, relied_on_ms).map_err(NoBeat::Failed)?;
                info!(run = self.engine.run(), "joined the replicas of the store");
                self.engine.beat(settled, relied_on_ms)
            }
        });
        match beaten {
            Ok(Some(beaten)) => {
                self.reported = Some((settled, leases_ms));
                self.metrics.beaten(applied, &beaten);
                if beaten.clock_lead_ms.unsigned_abs() > CLOCK_LEAD_MS_MAX {
                    static APART: Sampler = Sampler::new();
                    if let Some(not_logged) = APART.admit() {
                        let lead_ms = beaten.clock_lead_ms;
                        warn!(
                            lead_ms,
                            not_logged, "this machine's clock and the store's differ: sessions may end early"
                        );
                    }
                }
                self.compare(&beaten.peers);
                self.silent.note(&beaten.peers, sent_ms);
                self.barrier.listed(asked, beaten.peers);
                self.lease.beaten(sent_ms, beaten.head, leases_ms);
                if beaten.head > applied {
                    self.stuck.get_or_insert((sent_ms, beaten.head));
                    (self.catch_up)();
                }
            }
            // Somebody has taken it off the list in between: the next beat joins again.
            Ok(None) => {}
            Err(NoBeat::Failed(error)) => self.lease.failed(format!("the store does not answer: {error}")),
            Err(NoBeat::Waiting(why)) => self.lease.failed(why),
            Err(NoBeat::Foreign(why)) => self.lease.lost(why),
            Err(NoBeat::Outdated) => {
                self.lease.lost("it was away for longer than the log is kept");
                self.outdated.notify_one();
            }
        }
    }

    /// Says so when replicas judge by different conditions: for a moment after each change of them, or for good.
    fn compare(&mut self, peers: &[Peer]) {
        let apart = apart(peers, self.engine.run());
        self.metrics.conditions.apart(apart);
        let now_ms = steady_ms();
        let since_ms = *self.apart_since_ms.get_or_insert(now_ms);
        if apart == 0 {
            self.apart_since_ms = None;
        } else if now_ms.saturating_sub(since_ms) > APART_MS_MAX {
            static APART: Sampler = Sampler::new();
            if let Some(not_logged) = APART.admit() {
                warn!(
                    replicas = apart,
                    not_logged, "other replicas judge by other conditions: GET /v1/replicas says which"
                );
            }
        }
    }

    fn list(&self) {
        let asked = self.barrier.ticket();
        match self.engine.peers() {
            Ok(peers) => self.barrier.listed(asked, peers),
            Err(error) => self.lease.failed(format!("the store does not answer: {error}")),
        }
    }

    fn evict(&mut self) {
        for overdue in self.barrier.take_overdue().into_iter().chain(self.silent.take()) {
            match self.engine.evict(&overdue.run, overdue.beat) {
                Ok(true) => {
                    warn!(run = overdue.run, "a replica was silent for its serve lease, and is no longer waited for");
                }
                // It has beaten since, or is gone already.
                Ok(false) => {}
                Err(error) => self.lease.failed(format!("the store does not answer: {error}")),
            }
        }
    }

    /// Says when the serve lease is gained or lost.
    fn say(&mut self) {
        let is_serving = self.lease.holds();
        if is_serving == std::mem::replace(&mut self.was_serving, is_serving) {
            return;
        }
        match self.lease.state() {
            super::State::Out(why) => error!(why, "gives no verdicts: the serve lease has run out"),
            super::State::Serving(_) => info!("gives verdicts: the serve lease holds"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(beat: u64) -> Peer {
        Peer {
            run: "a".to_owned(),
            name: String::new(),
            version: String::new(),
            settled: 0,
            relied_on_ms: 3_000,
            beat,
            beaten_ago_ms: 0,
            clock_lead_ms: 0,
        }
    }

    #[test]
    fn a_replica_that_has_not_beaten_for_a_minute_is_gone_and_one_that_beats_never_is() {
        let mut silent = Silent::default();
        for (number, at_ms) in (0..100_000).step_by(10_000).enumerate() {
            silent.note(&[peer(u64::try_from(number).unwrap())], at_ms);
        }
        assert_eq!(silent.take(), []);
        silent.note(&[peer(9)], 90_000 + SILENT_MS_MAX);
        assert_eq!(silent.take(), []);
        silent.note(&[peer(9)], 90_001 + SILENT_MS_MAX);
        assert_eq!(silent.take(), [Overdue { run: "a".to_owned(), beat: 9 }]);
    }
}
