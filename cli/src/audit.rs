//! `portcullis audit …`: the files of the audit log. None of these commands calls the service.

mod files;
mod key;
mod keygen;
mod prove;
mod search;
mod shown;
mod tail;
mod verify;

use crate::exit::Outcome;
use clap::Subcommand;

/// A command on the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Generate the key that signs checkpoints
    Keygen(keygen::Args),
    /// Check that no record was changed, lost, reordered or inserted
    Verify(verify::Args),
    /// Print the proof that one record is in the log
    Prove(prove::Args),
    /// Find records in the files of one or several replicas
    Search(search::Args),
    /// Print the last records of a file, and follow it
    Tail(tail::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Keygen(args) => args.run(),
            Self::Verify(args) => args.run(),
            Self::Prove(args) => args.run(),
            Self::Search(args) => args.run(),
            Self::Tail(args) => args.run(),
        }
    }
}
