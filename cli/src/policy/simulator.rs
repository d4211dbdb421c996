//! Simulates a worker of the filter: the filter's own gate, with a session service and issuers whose answers are scripted, and
//! a clock that is advanced by hand.
//!
//! Every decision is made by the code that runs in Envoy, from the request's headers to the answer. Only the keys of the issuers
//! are replaced: nobody here can sign with the real ones.

mod judge;
mod service;
mod signer;
mod worker;

pub(crate) use judge::Judged;
#[cfg(test)]
pub(super) use signer::Signer;
pub(crate) use worker::{Decision, Simulator};
pub(super) use worker::{Headers, Outcome};
