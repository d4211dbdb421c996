//! The leases of filters: for how long which worker may decide by itself, taken back before an answer promises something.
//!
//! A lease is in the book from before its question is judged until its filter has dropped it or it has run out, and there is no
//! other way out. A change marks the leases that it can concern, after it is applied in memory: so either the judgement of a
//! lease has seen the change, or the lease is marked. What is marked is judged again by its stream, which takes back what no
//! longer stands. A stream that does not get to that is waited out.

mod book;
mod keep;
mod line;
mod metrics;
#[cfg(test)]
mod model;
#[cfg(test)]
mod orders;
mod waits;

pub(crate) use keep::{hold_after_start, keep};
pub(crate) use line::Line;
pub(crate) use metrics::LeaseMetrics;
pub(crate) use waits::{Leases, waited_for};
