//! `portcullis policy diff`: what a change makes more permissive, and whether that is approved.
//!
//! The comparison is by meaning, not by notation. The parts:
//!
//! - `meaning` is the meaning of a rule, `change` how two rules differ, `settings` and `issuers` compare the rest of a policy;
//! - `trees` and `walk` find every kind of request that the two policies could treat differently;
//! - `request_set` gives the requests of a change a digest, so that an approval covers exactly these requests;
//! - `renames` finds routes that only have a new name;
//! - [`Comparison`] is everything that was found, [`Approvals`] what is approved, [`Verdict`] both together.
//!
//! Three decisions: routes are compared as if the policy were enforced, whatever its `mode`, because shadow mode is not meant to
//! last; two routes with the same meaning count as one, although in an outage a `grace` is for one route only; and what cannot
//! be compared counts as more permissive.

mod approvals;
mod budget;
mod change;
mod claims;
mod command;
mod comparison;
mod condition_facts;
mod finding;
mod hosts;
mod issuers;
mod meaning;
mod possession;
mod renames;
mod request_set;
mod settings;
mod show;
mod trees;
mod upstream_token;
mod verdict;
mod walk;
mod words;

pub use approvals::{Approval, Approvals};
pub use change::{Change, Direction};
pub(super) use command::Args;
pub use comparison::Comparison;
pub use finding::Finding;
pub use show::{json, markdown, text};
pub use verdict::{Standing, Verdict};
pub use walk::Example;
