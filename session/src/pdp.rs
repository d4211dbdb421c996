//! Another decision point (`conditions: {authzen: …}`): any that speaks the OpenID AuthZEN Authorization API 1.0 is asked whether
//! a request that nothing else refuses may go on.
//!
//! Questions that wait at the same time are asked together. A decision is not kept; what is no decision in time is none, and
//! `on_outage` says what follows. Nothing beyond the standard is sent.

mod client;
mod endpoints;
mod metrics;
mod query;
mod ruling;
mod settings;
#[cfg(test)]
mod tests;

pub(crate) use client::Pdp;
pub(crate) use metrics::PdpMetrics;
pub(crate) use query::Query;
pub(crate) use ruling::Ruling;
pub use settings::{OnOutage, PdpSettings};
