//! Why a command could not do what was asked: data only. `report` prints it.

use crate::document::Diagnosed;
use std::fmt;

/// Why a command failed. Messages are in an operator's words, lower case and without a full stop.
#[derive(Debug)]
pub enum Error {
    /// The command could not do its work: a file cannot be read, the service does not answer.
    Failed(String),
    /// The input is invalid, in a way that has no place in a file.
    Invalid(String),
    /// A file is invalid: every fault, with its place.
    Rejected(Box<Diagnosed>),
    /// The files of an audit log do not fit their checkpoints.
    Unproved(String),
    /// Several of these, each for another input.
    Several(Vec<Error>),
}

impl Error {
    /// The command could not do its work.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }

    /// The input is invalid.
    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::Invalid(message.to_string())
    }
}

impl From<Box<Diagnosed>> for Error {
    fn from(diagnosed: Box<Diagnosed>) -> Self {
        Self::Rejected(diagnosed)
    }
}
