//! The embedded store: one redb file, ACID, no server.

mod database;
mod families;
mod file;
mod journal;
mod proofs;
mod tables;

pub use database::Embedded;
pub(in crate::store) use journal::Logged;
