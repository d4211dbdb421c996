//! Approvals: requests for access, who decides them by which rule, and the grants that come of them. Pure: the writer makes
//! what is decided here durable, and the judge asks whether a grant holds.

mod grant;
mod keep;
mod request;
mod requests;
mod rules;
#[cfg(test)]
mod tests;

pub use grant::{Grant, Grants, Instance, Used, Why};
pub(crate) use keep::keep;
pub use request::{AccessRequest, Asked, Decision, For, NotDone, Person, Review, State, Step, User};
pub use requests::Requests;
pub use rules::{BreakGlass, People, Rule, Rules};
