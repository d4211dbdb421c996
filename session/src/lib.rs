//! The session service: judges, on every request, whether the session behind a token is still good.

pub mod access;
mod admin;
pub mod admins;
pub mod anomalies;
pub mod approvals;
pub mod attributes;
pub mod audit;
pub mod audit_log;
mod authzen;
pub mod blocks;
mod bound_token;
pub mod check_stream;
pub mod clock;
pub mod conditions;
pub mod config;
mod credential;
pub mod email;
mod fact_epochs;
pub mod filters;
mod followers;
pub mod geoip;
pub mod held;
pub mod intern;
pub mod issuers;
pub mod judge;
mod leads;
mod life;
mod listener;
pub mod log;
pub mod made_by;
pub mod metrics;
pub mod narrowings;
pub mod notices;
mod oauth;
pub mod pdp;
pub mod per_party;
pub mod place;
pub mod registry;
pub mod replica;
pub mod revocations;
mod run;
mod service;
pub mod session;
mod signals;
mod spread;
pub mod store;
pub mod store_tool;
pub mod token;
pub mod usage;
pub mod webhooks;
mod whereabouts;
mod writer;

#[cfg(test)]
mod fixtures;

pub use run::{Failure, Listeners, run};
