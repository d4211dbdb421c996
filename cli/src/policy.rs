//! `portcullis policy …`: the commands on policy files.

pub mod cases;
mod check;
mod claim_pointer;
mod coverage;
pub(crate) mod date;
pub mod diff;
mod digest;
mod enforced;
mod explain;
mod import;
mod init;
mod lint;
pub mod load;
mod manifest;
mod matching;
mod name_list;
mod openapi;
mod render;
mod requirement;
mod schema;
pub(crate) mod simulator;
pub mod test;
pub mod tighten;

pub(crate) use requirement::{Alternative, describe, of_route};

use crate::exit::Outcome;
use clap::Subcommand;

/// A command on policy files.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Report every error in policies, and warn about risky settings
    Check(check::Args),
    /// Explain how a request is decided, and why
    Explain(explain::Args),
    /// Run test cases against a policy, with the filter's own code
    Test(test::Args),
    /// Find changes that make a policy more permissive, and require their approval
    Diff(diff::Args),
    /// Propose a policy without the scopes that nobody uses
    Tighten(tighten::Args),
    /// Print the digest that names a policy in the filter's log
    Digest(digest::Args),
    /// Write a first policy for the tokens of an identity provider
    Init(init::Args),
    /// Generate a policy from another source, such as an OpenAPI document
    #[command(subcommand)]
    Import(import::Command),
    /// Report which operations of an API, or which Envoy routes, a policy covers
    Coverage(coverage::Args),
    /// Render a policy as a manifest that loads it
    Render(render::Args),
    /// Print the JSON Schema (2020-12) of policies
    Schema(schema::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Check(args) => args.run(),
            Self::Explain(args) => args.run(),
            Self::Test(args) => args.run(),
            Self::Diff(args) => args.run(),
            Self::Tighten(args) => args.run(),
            Self::Digest(args) => args.run(),
            Self::Init(args) => args.run(),
            Self::Import(command) => command.run(),
            Self::Coverage(args) => args.run(),
            Self::Render(args) => args.run(),
            Self::Schema(args) => args.run(),
        }
    }
}
