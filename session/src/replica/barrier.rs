//! The barrier before an answer that promises something: no other replica can still judge by what was before. Each has
//! applied the entry of the log, or its serve lease has run out by this replica's own clock.

use super::engine::{Appended, Engine, Peer, Place};
use super::lease::Lease;
use crate::clock::{steady_ms, waited_out_ms};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long the store may take to list the replicas.
const LIST_MAX: Duration = Duration::from_secs(5);

/// Nobody can say which replicas there are.
#[derive(Debug, PartialEq, Eq)]
pub struct Unlisted;

/// The replicas, and when the list was asked for: by tickets, for two of these can fall into one millisecond.
#[derive(Debug, Clone, Default)]
struct Listed {
    asked: u64,
    peers: Arc<[Peer]>,
}

/// The newest entry that this replica has appended, and when that was answered.
#[derive(Debug, Clone, Default)]
struct Newest {
    appended: Appended,
    answered: u64,
    answered_ms: u64,
}

/// A replica that has let its lease run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overdue {
    pub(super) run: String,
    pub(super) beat: u64,
}

/// The barrier of one replica.
pub struct Barrier {
    engine: Arc<dyn Engine>,
    lease: Arc<Lease>,
    tickets: AtomicU64,
    newest: Mutex<Newest>,
    listed: watch::Sender<Listed>,
    waiting: AtomicUsize,
    overdue: Mutex<Vec<Overdue>>,
}

impl Barrier {
    /// The barrier of a replica that has appended nothing; its lease knows what it has applied.
    pub fn new(engine: Arc<dyn Engine>, lease: Arc<Lease>) -> Self {
        let listed = watch::Sender::new(Listed::default());
        let (tickets, waiting) = (AtomicU64::new(0), AtomicUsize::new(0));
        Self { engine, lease, tickets, newest: Mutex::default(), listed, waiting, overdue: Mutex::default() }
    }

    /// A number that is larger than every one before it.
    pub fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// An append was answered, just now.
    pub fn appended(&self, appended: Appended) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if appended.number > newest.appended.number {
            *newest = Newest { appended, answered: self.ticket(), answered_ms: steady_ms() };
        }
    }

    /// The list of replicas, as it was asked for after that ticket was drawn.
    pub fn listed(&self, asked: u64, peers: Vec<Peer>) {
        self.listed.send_if_modified(|listed| {
            let is_newer = asked > listed.asked;
            if is_newer {
                *listed = Listed { asked, peers: peers.into() };
            }
            is_newer
        });
    }

    /// The replicas that were listed last.
    pub fn peers(&self) -> Arc<[Peer]> {
        Arc::clone(&self.listed.borrow().peers)
    }

    /// The run of this process.
    pub fn run(&self) -> &str {
        self.engine.run()
    }

    /// Has the others learn for how long this replica gives leases to filters, before it does.
    pub fn gives_leases_of(&self, ms: u64) {
        self.engine.stated().gives_leases_of(ms);
        self.engine.wake();
    }

    /// Has the others learn which conditions this replica judges by.
    pub fn judges_by(&self, digest: &str) {
        self.engine.stated().judges_by(digest);
    }

    /// Whether somebody waits.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// The replicas that were waited out and can be taken off the list.
    pub(super) fn take_overdue(&self) -> Vec<Overdue> {
        std::mem::take(&mut *self.overdue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until everything that this replica has appended or applied so far holds at every other one; at the latest,
    /// their leases have run out. The error: the store does not say who they are.
    pub async fn passed(&self) -> Result<(), Unlisted> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _guard = Waiting(&self.waiting);
        let mut listed = self.listed.subscribe();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let applied = self.lease.applied_to();
        if applied > newest.appended.number {
            // What somebody else has appended may be what the answer rests on, and may still be on its way to others.
            newest = self.as_of_now(applied, &mut listed).await?;
        }
        loop {
            let now_ms = steady_ms();
            let left: Vec<_> = {
                let listed = listed.borrow_and_update();
                newest.others(self.engine.run()).filter(|member| !newest.is_settled(member, &listed)).collect()
            };
            let Some(next_ms) = left.iter().map(|member| newest.over_at_ms(member)).min() else {
                return Ok(());
            };
            if next_ms <= now_ms {
                let all_over = left.iter().all(|member| newest.over_at_ms(member) <= now_ms);
                let overdue = left.iter().filter(|member| newest.over_at_ms(member) <= now_ms);
                self.evict(overdue.map(|member| Overdue { run: member.run.clone(), beat: member.beat }));
                if all_over {
                    return Ok(());
                }
            }
            let later = left.iter().map(|member| newest.over_at_ms(member)).filter(|at_ms| *at_ms > now_ms).min();
            let sleep = tokio::time::sleep(Duration::from_millis(later.unwrap_or(now_ms).saturating_sub(now_ms)));
            tokio::select! {
                // The sender lives as long as this.
                _ = listed.changed() => {}
                () = sleep => {}
            }
        }
    }

    /// An entry that another replica has appended, as if that had been answered now: whoever is listed from now on has it.
    async fn as_of_now(&self, number: Place, listed: &mut watch::Receiver<Listed>) -> Result<Newest, Unlisted> {
        let before = self.ticket();
        self.engine.wake();
        let newer = tokio::time::timeout(LIST_MAX, listed.wait_for(|listed| listed.asked > before));
        let members = match newer.await {
            Ok(Ok(listed)) => listed.peers.to_vec(),
            Ok(Err(_)) | Err(_) => return Err(Unlisted),
        };
        Ok(Newest { appended: Appended { number, members }, answered: self.ticket(), answered_ms: steady_ms() })
    }

    fn evict(&self, overdue: impl Iterator<Item = Overdue>) {
        let mut held = self.overdue.lock().unwrap_or_else(PoisonError::into_inner);
        for one in overdue {
            if !held.contains(&one) {
                held.push(one);
            }
        }
        drop(held);
        self.engine.wake();
    }
}

/// Counts one who waits, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Newest {
    fn others(&self, run: &str) -> impl Iterator<Item = &Peer> {
        let number = self.appended.number;
        self.appended.members.iter().filter(move |member| member.run != run && member.settled < number)
    }

    /// Whether a replica has applied the entry, or is listed no more: it has left, or was waited out by another.
    fn is_settled(&self, member: &Peer, listed: &Listed) -> bool {
        match listed.peers.iter().find(|peer| peer.run == member.run) {
            Some(peer) => peer.settled >= self.appended.number,
            None => listed.asked > self.answered,
        }
    }

    /// When neither a replica that was silent since before the append can judge any more, nor a filter by a lease of it.
    /// Counted from its answer: the beat that its serve lease runs from was sent before.
    fn over_at_ms(&self, member: &Peer) -> u64 {
        self.answered_ms.saturating_add(waited_out_ms(member.relied_on_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::engine::NoBeat;
    use crate::replica::{Beaten, Stated, Woken};
    use crate::store::StoreError;
    use std::time::Instant;

    #[derive(Default)]
    struct Here(Stated);

    impl Engine for Here {
        fn run(&self) -> &str {
            "here"
        }
        fn stated(&self) -> &Stated {
            &self.0
        }
        fn join(&self, _: Place, _: u64) -> Result<(), StoreError> {
            Ok(())
        }
        fn beat(&self, _: Place, _: u64) -> Result<Option<Beaten>, NoBeat> {
            Ok(None)
        }
        fn peers(&self) -> Result<Vec<Peer>, StoreError> {
            Ok(Vec::new())
        }
        fn evict(&self, _: &str, _: u64) -> Result<bool, StoreError> {
            Ok(true)
        }
        fn leave(&self) -> Result<(), StoreError> {
            Ok(())
        }
        fn wait(&self, _: Duration) -> Woken {
            Woken::Late
        }
        fn wake(&self) {}
    }

    fn peer(run: &str, settled: Place) -> Peer {
        Peer {
            run: run.to_owned(),
            name: String::new(),
            version: String::new(),
            settled,
            relied_on_ms: 200,
            beat: 3,
            beaten_ago_ms: 0,
            clock_lead_ms: 0,
        }
    }

    fn barrier(members: Vec<Peer>) -> Barrier {
        let barrier = Barrier::new(Arc::<Here>::default(), Arc::new(Lease::of(1_000)));
        barrier.appended(Appended { number: 5, members });
        barrier
    }

    async fn passes(barrier: &Barrier) -> bool {
        matches!(tokio::time::timeout(Duration::from_millis(50), barrier.passed()).await, Ok(Ok(())))
    }

    #[tokio::test]
    async fn it_waits_for_others_that_have_not_applied_the_entry_and_not_for_itself() {
        assert!(passes(&barrier(vec![peer("here", 0), peer("a", 5)])).await);
        let waits = barrier(vec![peer("here", 0), peer("a", 4)]);
        assert!(!passes(&waits).await);
        waits.listed(waits.ticket(), vec![peer("a", 4)]);
        assert!(!passes(&waits).await);
        waits.listed(waits.ticket(), vec![peer("a", 5)]);
        assert!(passes(&waits).await);
    }

    #[tokio::test]
    async fn what_another_replica_has_appended_is_waited_for_as_well() {
        let waits = barrier(vec![peer("here", 0)]);
        waits.lease.applied(6);
        assert!(!passes(&waits).await, "nobody has listed the replicas since");
        let waits = Arc::new(waits);
        let passed = {
            let waits = Arc::clone(&waits);
            tokio::spawn(async move { waits.passed().await })
        };
        while !waits.is_waiting() {
            tokio::task::yield_now().await;
        }
        waits.listed(waits.ticket(), vec![peer("here", 0), peer("a", 5)]);
        assert!(!passes(&waits).await && !passed.is_finished());
        waits.listed(waits.ticket(), vec![peer("here", 0), peer("a", 6)]);
        assert_eq!(passed.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn one_that_is_listed_no_more_is_believed_to_be_gone_only_by_a_list_from_after_the_append() {
        let waits = Barrier::new(Arc::<Here>::default(), Arc::new(Lease::of(1_000)));
        let before = waits.ticket();
        waits.appended(Appended { number: 5, members: vec![peer("a", 4)] });
        waits.listed(before, vec![]);
        assert!(!passes(&waits).await);
        waits.listed(waits.ticket(), vec![]);
        assert!(passes(&waits).await);
    }

    #[tokio::test]
    async fn a_silent_one_is_waited_out_by_the_lease_that_it_was_listed_with_and_no_sooner() {
        let waits = barrier(vec![peer("a", 4)]);
        let started = Instant::now();
        waits.passed().await.unwrap();
        let waited = started.elapsed();
        assert!(waited >= Duration::from_millis(200), "{waited:?}");
        assert_eq!(waits.take_overdue(), [Overdue { run: "a".to_owned(), beat: 3 }]);
        assert!(!waits.is_waiting());
    }
}
