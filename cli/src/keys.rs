//! `portcullis keys …`: the keys with which the session service signs tokens for upstreams. None of these commands calls the
//! service.

mod file;
mod new;
mod rotate;

use crate::exit::Outcome;
use clap::Subcommand;

/// A command on signing keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Generate a signing key
    New(new::Args),
    /// Generate the successor of a signing key, with the times at which it takes over
    Rotate(rotate::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::New(args) => args.run(),
            Self::Rotate(args) => args.run(),
        }
    }
}
