//! `portcullis policy import …`: generates policies from other sources.

mod access;
mod openapi;
mod placeholders;
mod plan;
mod register;
mod text;
mod write;

use crate::exit::Outcome;
use clap::Subcommand;

/// Generate a policy from another source, such as an OpenAPI document
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Generate a policy from an OpenAPI document
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
