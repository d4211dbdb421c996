//! `portcullis scopes …`: which scopes and routes are used, and which of them nobody needs.

mod findings;
mod list;
mod show;
mod stale;

use crate::exit::Outcome;
use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use portcullis_engine::policy::document::duration;

/// A command on the use of scopes.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List how often each scope and each route was used, and by which clients
    Usage(list::Args),
    /// Find scopes, sets and routes that nobody uses, and overdue reviews
    Stale(stale::Args),
}

impl Command {
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Usage(args) => args.run(),
            Self::Stale(args) => args.run(),
        }
    }
}

/// The output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Human-readable text
    #[default]
    Text,
    /// JSON
    Json,
    /// Markdown, for an issue or a comment on a pull request
    Markdown,
}

/// Checks an argument that says how far to go back: a duration such as `90d`, or an instant.
pub(crate) fn since(text: &str) -> Result<String, String> {
    match duration(text).is_ok() || text.parse::<Timestamp>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err("expected a duration such as `90d`, or an instant such as `2026-08-01T00:00:00Z`".to_owned()),
    }
}

/// The instant that such an argument means.
pub(super) fn instant(since: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(instant) = since.parse() {
        return Some(instant);
    }
    let ago = jiff::SignedDuration::try_from(duration(since).ok()?).ok()?;
    now.checked_sub(ago).ok()
}
