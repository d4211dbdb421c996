//! `portcullis access …`: asks for access, and decides what others ask for.

mod ask;
mod decide;
mod request;

use crate::exit::Outcome;
use clap::Subcommand;

/// A command on requests for access.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask for scopes in a session that somebody has to approve
    Request(ask::Args),
    /// List requests for access, newest first
    List(request::Listing),
    /// Show a request for access
    Show(request::Show),
    /// Approve a request for access, or its next step
    Approve(decide::Approve),
    /// Deny a request for access
    Deny(decide::Deny),
    /// Take back a request of your own
    Cancel(decide::Cancel),
    /// Close the review of an emergency
    Review(decide::Review),
    /// End the grant that a request has led to
    Revoke(decide::Revoke),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Request(args) => args.run(),
            Self::List(args) => args.run(),
            Self::Show(args) => args.run(),
            Self::Approve(args) => args.run(),
            Self::Deny(args) => args.run(),
            Self::Cancel(args) => args.run(),
            Self::Review(args) => args.run(),
            Self::Revoke(args) => args.run(),
        }
    }
}
