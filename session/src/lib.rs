//! The session service: judges, on every request, whether the session behind a token is still good.

pub mod access;
pub mod admin;
pub mod audit;
pub mod book;
pub mod checks;
pub mod clock;
pub mod config;
pub mod credential;
pub mod followers;
pub use portcullis_contract as id;
pub mod intern;
pub mod judge;
pub mod lanes;
pub mod metrics;
pub mod oauth;
pub mod rules;
mod run;
pub mod serve;
pub mod service;
pub mod session;
pub mod store;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod token;
pub use portcullis_contract::wire;
pub mod writer;

pub use run::{Failure, Listeners, run};
