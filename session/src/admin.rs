//! The admin listener: sessions, revocations, blocks, attributes, signals, events, metrics and health. Everything except health and readiness needs
//! the credential.

mod admit;
mod attributes;
mod blocks;
mod body;
mod conditions;
mod events;
mod filters;
mod grants;
mod held;
mod page;
mod party;
mod permissions;
mod problem;
mod replicas;
mod requests;
mod revocations;
mod router;
mod scopes;
mod seen;
mod sessions;
mod signals;
mod usage;
mod view;
mod waits;
mod webhooks;
mod whoami;

pub(crate) use requests::RequestView;
pub(crate) use router::router;
