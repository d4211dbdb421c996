//! `portcullis shadow …`: what shadow mode would refuse.

mod report;

use crate::exit::Outcome;
use clap::Subcommand;

/// A command on shadow mode.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Report what would have been refused, from access logs: by route, client and missing scope
    Report(report::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Report(args) => args.run(),
        }
    }
}
