//! What the filter and the session service must agree on, written once.
//!
//! - [`wire`] holds the messages of the check stream between them;
//! - [`token`] says what an access token claims and whether it is genuine;
//! - [`SessionId`], [`token::SessionKey`] and [`KeyKind`] name the session behind a token;
//! - [`Requirement`] says which scopes suffice for a route;
//! - [`introspection`] and [`code`] hold names that both sides use.
//!
//! Nothing here needs a host, a network or a clock: time is an argument.

pub mod code;
pub mod introspection;
mod key_kind;
mod requirement;
mod session_id;
pub mod token;
pub mod wire;

pub use key_kind::KeyKind;
pub use requirement::Requirement;
pub use session_id::{ID_BYTES, NotAnId, SessionId};
