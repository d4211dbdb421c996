//! `portcullis policy …`: the commands that work on files.

mod check;
mod embedded;
mod lint;
pub mod load;
mod schema;

use crate::exit::Outcome;
use clap::Subcommand;

/// A command that works on files.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find everything that is wrong with policies
    Check(check::Args),
    /// Print a JSON Schema (2020-12) of the policy
    Schema(schema::Args),
}

impl Command {
    /// Does what was asked.
    pub fn run(self) -> Outcome {
        match self {
            Self::Check(args) => args.run(),
            Self::Schema(args) => args.run(),
        }
    }
}
