//! Commands that call the admin API of a running session service.

mod client;
mod connection;
pub(crate) mod events;
mod plain;
pub(crate) mod revoke;
pub(crate) mod sessions;
mod table;
mod when;

/// The environment variable with the URL of the admin API; `--url` overrides it.
const URL_ENV: &str = "PORTCULLIS_ADMIN_URL";
/// The environment variable with the admin credential. There is no such argument: every user of the machine can read
/// arguments in the process list.
const CREDENTIAL_ENV: &str = "PORTCULLIS_ADMIN_CREDENTIAL";
