//! `portcullis policy …`: the commands that work on files.

mod check;
mod coverage;
mod import;
pub mod load;
mod openapi;
mod reach;

use crate::exit::Outcome;
use clap::Subcommand;

/// A command that works on files.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find everything that is wrong with policies
    Check(check::Args),
    /// Show which operations of an API, or routes of an Envoy, have a rule
    Coverage(coverage::Args),
    /// Make a policy of what is known elsewhere
    #[command(subcommand)]
    Import(import::Command),
}

impl Command {
    /// Does what was asked.
    pub fn run(self) -> Outcome {
        match self {
            Self::Check(args) => args.run(),
            Self::Coverage(args) => args.run(),
            Self::Import(command) => command.run(),
        }
    }
}
