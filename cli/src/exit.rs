//! How the program ends.

use crate::{output, report};
use std::{fmt, process::ExitCode};

/// What `--help` says of it.
pub const HELP: &str = "\
Exit codes:
  0  done, and nothing is wrong
  1  it could not be done, or a test case failed
  2  what was given is wrong: arguments, a policy, another file
  3  `policy diff`: the policy becomes easier, and nobody approved it";

/// How the program ends, if not by an error; of several files, the greatest says how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, and nothing is wrong.
    Done,
    /// It could not be done, or a test case failed.
    Failed,
    /// What was given is wrong. Clap ends so for arguments, too.
    Faulty,
    /// A policy becomes easier, and nobody approved it.
    Easier,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Faulty => 2,
            Exit::Easier => 3,
        })
    }
}

/// How a command ends.
pub type Outcome = Result<Exit, Trouble>;

/// Why a command could not go on: in an operator's words, lower case and without a full stop.
#[derive(Debug)]
pub enum Trouble {
    /// It could not be done.
    Failed(String),
    /// What was given is wrong. The text is a report of every fault, as it is to be shown.
    Faulty(String),
}

impl Trouble {
    /// It could not be done.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }

    /// What was given is wrong, in a way that has no place in a file.
    pub fn faulty(message: impl fmt::Display) -> Self {
        Self::Faulty(report::plain(&message.to_string()))
    }

    /// Says it on standard error.
    pub fn tell(self) -> Exit {
        match self {
            Self::Failed(message) => {
                output::tell(&report::plain(&message));
                Exit::Failed
            }
            Self::Faulty(report) => {
                output::tell(&report);
                Exit::Faulty
            }
        }
    }
}
