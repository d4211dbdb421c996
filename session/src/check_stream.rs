//! The check stream: a verdict for every question, and for every followed session whenever its verdict changes.

mod answers;
#[cfg(test)]
#[cfg(feature = "conditions")]
mod conditions_tests;
mod follows;
#[cfg(test)]
#[cfg(feature = "conditions")]
mod lease_conditions_tests;
#[cfg(test)]
mod lease_tests;
mod leases;
#[cfg(test)]
mod minting_tests;
#[cfg(test)]
mod once_tests;
mod point;
#[cfg(test)]
mod point_tests;
#[cfg(test)]
mod proof_tests;
mod redeemed;
mod routes;
mod rpc;
mod state;
#[cfg(test)]
mod usage_tests;

pub use answers::{Answers, Broken, Destination, Held, Proving, Using};
pub(crate) use routes::Described;
pub use routes::RouteTables;
pub use rpc::{Checks, DRAIN_MAX};
pub use state::{StreamState, Taken};
