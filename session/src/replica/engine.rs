//! What a store that replicas share must give, besides its data: a log with an order, beats, and the list of replicas.

use super::stated::Stated;
use crate::store::StoreError;
use std::time::Duration;

/// A place in the log: the entries up to it are known.
pub type Place = u64;

/// A replica as the store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The run of the process: random, made at its start.
    pub run: String,
    /// For people: the name of its host.
    pub name: String,
    /// Its version, and what it judges by: see [`Stated`].
    pub version: String,
    /// All entries of the log up to this one are applied there, and no filter can use a lease of it that they concern.
    pub settled: Place,
    /// How long somebody may rely on what it says, in milliseconds: it judges for its serve lease after a beat, and a filter
    /// decides by a lease of it after that.
    pub relied_on_ms: u64,
    /// The number of its last beat.
    pub beat: u64,
    /// How long ago that was when the list was read, in milliseconds.
    pub beaten_ago_ms: u64,
    /// Its wall clock less the store's at its last beat, in milliseconds.
    pub clock_lead_ms: i64,
}

/// What an append has seen, in the same transaction.
#[derive(Debug, Clone, Default)]
pub struct Appended {
    /// The number of the entry.
    pub number: Place,
    /// The replicas that were listed then.
    pub members: Vec<Peer>,
}

/// What a beat has seen.
#[derive(Debug, Clone)]
pub struct Beaten {
    /// The last entry of the log.
    pub head: Place,
    /// All replicas.
    pub peers: Vec<Peer>,
    /// This replica's wall clock less the store's, in milliseconds.
    pub clock_lead_ms: i64,
    /// What a store that may lose changes has gone through.
    pub failovers: Option<Failovers>,
}

/// What a store that may lose changes has gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failovers {
    /// The number of the epoch.
    pub epoch: u64,
    /// Entries of the log that the store had lost and got again from this process.
    pub given_back: u64,
}

/// Why there is no beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoBeat {
    /// The store failed. It may answer again.
    Failed(StoreError),
    /// The store is not the one that this replica has its sessions from, or has lost entries that it had.
    Foreign(String),
    /// The store may lack changes until others have reported, who are named.
    Waiting(String),
    /// The log no longer has what this replica has missed.
    Outdated,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Another replica has appended to the log.
    Appended,
    /// Another replica has applied what it had not.
    Settled,
    /// Somebody here has woken the waiter.
    Here,
    /// The time is over.
    Late,
}

/// The part of a shared store that one thread of each replica drives.
pub trait Engine: Send + Sync + 'static {
    /// The run of this process.
    fn run(&self) -> &str;

    /// What this replica states about itself when it joins, and with each beat.
    fn stated(&self) -> &Stated;

    /// Lists this replica, so that every later append waits for it; one write, in the order of the appends.
    fn join(&self, settled: Place, relied_on_ms: u64) -> Result<(), StoreError>;

    /// Says what is settled here, and how long it may be relied on; one durable write. `None`: the replica is not listed.
    fn beat(&self, settled: Place, relied_on_ms: u64) -> Result<Option<Beaten>, NoBeat>;

    /// The replicas that are listed.
    fn peers(&self) -> Result<Vec<Peer>, StoreError>;

    /// Takes a replica off the list, unless it has beaten since; returns whether it did.
    fn evict(&self, run: &str, beat: u64) -> Result<bool, StoreError>;

    /// Takes this replica off the list.
    fn leave(&self) -> Result<(), StoreError>;

    /// Waits for news, at most this long.
    fn wait(&self, at_most: Duration) -> Woken;

    /// Wakes the waiter.
    fn wake(&self);
}
