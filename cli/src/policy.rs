//! `portcullis policy …`: the commands that work on files.

pub mod cases;
mod check;
mod coverage;
mod day;
pub mod diff;
mod embedded;
pub mod explain;
mod import;
mod lint;
pub mod load;
pub mod needs;
mod openapi;
mod reach;
pub mod rehearsal;
mod render;
mod schema;
pub mod test;

use crate::exit::Outcome;
use clap::Subcommand;

/// A command that works on files.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find everything that is wrong with policies
    Check(check::Args),
    /// Say what becomes of a request, and why
    Explain(explain::Args),
    /// Play cases against a policy, with the filter's own code
    Test(test::Args),
    /// Find what a change makes easier, and whether it is approved
    Diff(diff::Args),
    /// Make a policy of what is known elsewhere
    #[command(subcommand)]
    Import(import::Command),
    /// Show which operations of an API, or routes of an Envoy, have a rule
    Coverage(coverage::Args),
    /// Write a policy into a manifest that loads it
    Render(render::Args),
    /// Print a JSON Schema (2020-12) of the policy
    Schema(schema::Args),
}

impl Command {
    /// Does what was asked.
    pub fn run(self) -> Outcome {
        match self {
            Self::Check(args) => args.run(),
            Self::Explain(args) => args.run(),
            Self::Test(args) => args.run(),
            Self::Diff(args) => args.run(),
            Self::Import(command) => command.run(),
            Self::Coverage(args) => args.run(),
            Self::Render(args) => args.run(),
            Self::Schema(args) => args.run(),
        }
    }
}
