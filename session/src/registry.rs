//! The session registry: the authority on which session a token belongs to, and on which sessions are live.

mod approvals;
mod attributes;
mod bind;
mod block;
#[cfg(test)]
mod block_tests;
mod held;
mod load;
mod narrow;
mod notices;
mod open;
mod order;
mod others;
#[cfg(test)]
mod others_tests;
mod party;
mod replay;
mod revoke;
mod scan;
mod sessions;
mod taken_back;
#[cfg(test)]
mod tests;

pub use bind::{Binding, Candidate, FirstUse, LookUp, LookedUp};
pub use open::NotOpened;
pub use order::{Ids, Order, Place};
pub use scan::{Filter, Page};
pub use sessions::{Enrolment, Registry, SHARDS, Terms, UndatedLogins, revoked};
