//! The embedded store: one redb file, ACID, no server.

mod database;
mod file;
mod tables;

pub use database::Embedded;
