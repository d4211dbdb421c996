//! `portcullis policy import …`: policies made of what is known elsewhere.

mod access;
mod openapi;
mod plan;
mod register;
mod text;
mod write;

use crate::exit::Outcome;
use clap::Subcommand;

/// Make a policy of what is known elsewhere
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a policy of an OpenAPI document
    Openapi(openapi::Args),
}

impl Command {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Openapi(args) => args.run(),
        }
    }
}

#[cfg(test)]
mod tests;
