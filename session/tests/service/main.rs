//! The service over real sockets, and the real program.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking, and its helpers are tests too"
)]

mod admin;
mod admins;
mod approvals;
mod audit_log;
mod authzen;
mod checks;
mod client;
#[cfg(feature = "conditions")]
mod conditions;
mod docs;
mod drain;
mod fixtures;
mod follows;
mod leases;
mod logins;
mod oauth;
mod places;
mod program;
mod proofs;
mod signals;
mod tls;
mod tokens;
mod upstream_tokens;
mod webhooks;
