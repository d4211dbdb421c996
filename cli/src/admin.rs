//! The commands that work on a running session service, through its admin API.

mod client;
mod connection;
pub mod events;
mod plain;
pub mod revoke;
pub mod sessions;
mod table;
mod when;

use clap::ValueEnum;

/// Where the admin API's address comes from, unless it is given.
const URL_ENV: &str = "PORTCULLIS_ADMIN_URL";
/// Where its credential comes from, unless a file is given. An argument would be for everybody to see.
const CREDENTIAL_ENV: &str = "PORTCULLIS_ADMIN_CREDENTIAL";

/// For whom is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Text,
    /// For scripts
    Json,
}
