//! The people and programs that call the admin API: who they are, and what they may do.

mod caller;
mod keeper;
mod metrics_access;
mod oauth;
mod roster;
mod scope;
mod signed_in;

pub use caller::{Caller, Subject};
pub(crate) use keeper::keep;
pub use metrics_access::MetricsAccess;
pub(crate) use oauth::{Granted, OauthSettings, Verifier};
pub use roster::Admins;
pub(crate) use roster::{ADMIN_CREDENTIAL, Named, Pass, Refused};
pub use scope::{Scope, Scopes};
pub(crate) use signed_in::SignedIn;
