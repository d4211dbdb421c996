//! `portcullis conditions …`: the commands on conditions, Cedar policies that the session service decides with.

mod check;
mod diff;
mod explain;
mod generated;
mod load;
mod play;
mod schema;
mod test;

pub(crate) use load::Optional;

use crate::exit::Outcome;
use clap::Subcommand;

/// A command on conditions.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Report every fault in conditions, and warn about those that never apply
    Check(check::Args),
    /// Run test cases against a policy and conditions
    Test(test::Args),
    /// Show which conditions decide a case, and what each of them says
    Explain(explain::Args),
    /// Find requests that new conditions no longer refuse
    Diff(diff::Args),
    /// Print the Cedar schema of conditions
    Schema(schema::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Check(args) => args.run(),
            Self::Test(args) => args.run(),
            Self::Explain(args) => args.run(),
            Self::Diff(args) => args.run(),
            Self::Schema(args) => args.run(),
        }
    }
}
