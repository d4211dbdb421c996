//! One of several replicas that share a store. The rules are those of the session service's protocol: a replica judges
//! only while its serve lease holds, and an answer that promises something waits until no other replica can judge by
//! what was before.

mod barrier;
mod beat;
mod engine;
mod lease;
#[cfg(test)]
mod model;
mod stated;

pub use barrier::{Barrier, Unlisted};
pub use beat::Beats;
pub use engine::{Appended, Beaten, Engine, Failovers, NoBeat, Peer, Place, Woken};
pub use lease::{Lease, State};
pub use stated::{Stated, apart};
