//! `portcullis policy …`: the commands that work on files.

mod check;
pub mod diff;
pub mod load;

use crate::exit::Outcome;
use clap::Subcommand;

/// A command that works on files.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find everything that is wrong with policies
    Check(check::Args),
    /// Find what a change makes easier, and whether it is approved
    Diff(diff::Args),
}

impl Command {
    /// Does what was asked.
    pub fn run(self) -> Outcome {
        match self {
            Self::Check(args) => args.run(),
            Self::Diff(args) => args.run(),
        }
    }
}
