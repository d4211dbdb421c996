//! Conditions: whether access that scopes and session grant is right at this moment, by device, place, risk and time.
//!
//! Operators write Cedar policies against a schema that is ours. They can only forbid: the one `permit` is shipped
//! ([`BASELINE`]), so conditions never release what scopes or session refuse.
//!
//! A question is decided in four steps, each with more known and less left to evaluate: [`Set::load`] parses and validates,
//! [`Set::for_route`] leaves out what can never concern a route, [`Sliced::prepare`] evaluates what a session and a method
//! decide until either changes, and [`Prepared::decide`] evaluates the rest. Nothing here reads a clock, and nothing is read
//! from outside but the policies' directory.

mod annotations;
mod bounds;
mod change;
mod condition;
mod declared;
mod entities;
mod facts;
mod fault;
mod literals;
mod load;
mod members;
mod method;
mod parsed;
mod prepared;
mod read;
mod reduce;
mod set;
mod sliced;
mod undeclared;
mod vocabulary;

pub use change::Change;
pub use condition::{Answer, Refusal};
pub use declared::{BASELINE, Declared, Kind, Typed, schema};
pub use facts::{Device, Place, Request, Route, Session};
pub use fault::Fault;
pub use literals::Literals;
pub use method::METHODS;
pub use prepared::{Decision, Prepared};
pub use read::{Source, read};
pub use set::Set;
pub use sliced::{Finding, Sliced};
