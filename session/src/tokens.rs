//! The token endpoint: clients come here in place of their issuer's.
//!
//! Grants are passed on to the issuer with the client's own authentication, which is never judged here. What changes is the
//! refresh token: the issuer's stays here, sealed, and the client gets a handle that is another one after each use.
//!
//! - `form` and `client` read a request, `fault` has the errors of RFC 6749;
//! - `handle` makes handles; `rotation` says what becomes of one that is shown, and is pure;
//! - `family` is all that follows from one login: the issuer's refresh token, the handle, what both are bound to; `vault` seals
//!   it, and `keep` reads and writes it;
//! - `upstream` calls issuers;
//! - `granted` opens a session and a family with an issuer's answer, `refresh` and `exchange` serve the other grants;
//! - `standing` asks the judge about the session, without touching it;
//! - `proof` reads what a client shows besides its authentication;
//! - `issue` says what our own short-lived tokens contain;
//! - `attempt` asks an issuer for the next tokens of a family;
//! - `browser` serves those that hold a cookie in place of tokens;
//! - `ending` ends families, and tells their issuers.
//!
//! No token and no handle leaves this module except in an answer: not into logs, the audit, metrics or, unsealed, the store.

mod attempt;
mod browser;
mod client;
mod ending;
mod endpoint;
mod exchange;
mod family;
mod fault;
pub mod form;
mod granted;
mod handle;
mod issue;
mod keep;
mod keeper;
mod metrics;
mod proof;
mod refresh;
mod rotation;
mod said;
mod settings;
mod standing;
mod state;
mod upstream;
mod vault;

pub use browser::Redemption;
pub(crate) use browser::redeem;
pub(crate) use endpoint::router;
pub use family::{FamilyId, StoredFamily};
pub(crate) use keeper::keep;
pub(crate) use metrics::TokenMetrics;
pub(crate) use settings::Endpoints;
pub use settings::{IssueSettings, IssuerSettings, TokenSettings};
pub use state::Tokens;
pub(crate) use vault::{KEY_BYTES, SealingKey};
