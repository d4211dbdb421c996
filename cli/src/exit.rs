//! Exit codes.

use crate::error::Error;
use std::process::ExitCode;

/// The part of `--help` that lists the exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
  0  success
  1  failure: a file cannot be read, the service does not answer, a test case fails
  2  invalid input: an argument, a policy or another file
  3  `policy diff` or `conditions diff` found a change that makes the policy, or conditions, more
     permissive, and nobody approved it
  4  `scopes stale` found something that nobody uses
  5  `audit verify` or `audit prove` found a record that is not proved";

/// How the program ends. With several inputs, the greatest code counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Success.
    Done,
    /// The command could not do its work, or a test case failed.
    Failed,
    /// The input is invalid. Clap uses the same code for invalid arguments.
    Invalid,
    /// An unapproved change makes a policy more permissive.
    MorePermissive,
    /// Something is used by nobody, or its review is overdue.
    Stale,
    /// The files of an audit log do not fit their checkpoints.
    Unproved,
}

/// The result of a command.
pub type Outcome = Result<Exit, Error>;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Invalid => 2,
            Exit::MorePermissive => 3,
            Exit::Stale => 4,
            Exit::Unproved => 5,
        })
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error {
            Error::Failed(_) => Self::Failed,
            Error::Invalid(_) | Error::Rejected(_) => Self::Invalid,
            Error::Unproved(_) => Self::Unproved,
            Error::Several(errors) => errors.iter().map(Self::from).max().unwrap_or(Self::Failed),
        }
    }
}
