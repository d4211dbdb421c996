//! The commands that work on a running session service, through its admin API.

mod client;
mod connection;
pub mod events;
mod plain;
pub mod revoke;
pub mod sessions;
mod table;
mod when;

/// Where the admin API's address comes from, unless it is given.
const URL_ENV: &str = "PORTCULLIS_ADMIN_URL";
/// Where its credential comes from, unless a file is given. An argument would be for everybody to see.
const CREDENTIAL_ENV: &str = "PORTCULLIS_ADMIN_CREDENTIAL";
