//! `portcullis policy …`: the commands that work on files.

mod check;
pub mod load;
mod render;

use crate::exit::Outcome;
use clap::Subcommand;

/// A command that works on files.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find everything that is wrong with policies
    Check(check::Args),
    /// Write a policy into a manifest that loads it
    Render(render::Args),
}

impl Command {
    /// Does what was asked.
    pub fn run(self) -> Outcome {
        match self {
            Self::Check(args) => args.run(),
            Self::Render(args) => args.run(),
        }
    }
}
