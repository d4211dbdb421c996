//! Commands that call the admin API of a running session service.

pub(crate) mod access;
pub(crate) mod attributes;
pub(crate) mod block;
pub(crate) mod blocks;
mod client;
pub(crate) mod connection;
mod event_text;
pub(crate) mod events;
pub(crate) mod filters;
mod history;
mod pages;
mod party_rules;
pub(crate) mod replicas;
pub(crate) mod revocations;
pub(crate) mod revoke;
pub(crate) mod scopes;
mod seen;
pub(crate) mod sessions;
pub(crate) mod signals;
pub(crate) mod usage;
pub(crate) mod webhooks;
mod when;
pub(crate) mod whoami;
pub(crate) mod why;

use crate::{plain, table};

/// The environment variable with the URL of the admin API; `--url` overrides it.
const URL_ENV: &str = "PORTCULLIS_ADMIN_URL";
/// The environment variable with the admin credential. There is no such argument: every user of the machine can read
/// arguments in the process list.
const CREDENTIAL_ENV: &str = "PORTCULLIS_ADMIN_CREDENTIAL";
