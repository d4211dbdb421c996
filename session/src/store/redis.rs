//! The store in Redis or Valkey, which several replicas share. Redis orders the changes: it has a log of them, and the list of
//! replicas. Each replica has a copy of everything in a file of its own, its journal.
//!
//! Redis may lose what it has acknowledged, in a failover or a restart. That begins a new epoch, in which nothing is taken
//! and no serve lease given until every replica has said how far its journal goes, and has given back what Redis lacks.
//!
//! That is right because the journals have one history, and each has a beginning of it: what a replica adds to its journal,
//! it has read or appended in an epoch in which all had reported, so Redis had the whole history then. An entry that no
//! journal has was never answered for.

mod commit;
mod condition;
mod engine;
mod failover;
mod journal;
mod link;
#[cfg(test)]
mod model;
mod news;
mod open;
mod proofs;
mod read;
mod refusal;
mod reply;
mod script;
mod snapshot;
mod source;

pub use condition::{Condition, forget};
pub use open::Redis;
pub use source::{At, REPLICAS_MAX, Source, Target};
