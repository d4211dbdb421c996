//! The admin listener: sessions, revocations, events, metrics and health. Everything except health and readiness needs
//! the credential.

mod body;
mod events;
mod filters;
mod page;
mod problem;
mod revocations;
mod router;
mod scopes;
mod seen;
mod sessions;
mod view;

pub(crate) use router::router;
