//! The people and programs that call the admin API: who they are, and what they may do.

mod caller;
mod scope;

pub use caller::{Caller, Subject};
pub use scope::{Scope, Scopes};
