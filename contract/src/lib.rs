//! What the filter and the session service must agree on, defined once.
//!
//! - [`wire`] holds the messages of the check stream between them;
//! - [`bounds`] holds their bounds;
//! - [`token`] reads an access token's claims and verifies its signature;
//! - [`SessionId`], [`token::SessionKey`] and [`KeyKind`] identify the session of a token;
//! - [`Requirement`] specifies which scopes a route requires;
//! - [`introspection`] and [`code`] hold names that both sides use;
//! - `signing` (with the feature of that name) holds the keys that sign tokens for upstreams;
//! - [`Jitter`] spreads the retries of several parties.
//!
//! Nothing here needs a host, a network or a clock: time is an argument.

pub mod bounds;
pub mod code;
#[cfg(feature = "grpc")]
pub mod codec;
pub mod introspection;
mod jitter;
mod key_kind;
mod requirement;
mod session_id;
#[cfg(feature = "signing")]
pub mod signing;
pub mod token;
pub mod wire;

pub use jitter::Jitter;
pub use key_kind::KeyKind;
pub use requirement::Requirement;
pub use session_id::{ID_BYTES, NotAnId, SessionId};
