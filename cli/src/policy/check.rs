//! `portcullis policy check`: everything that is wrong with policies.

use super::load::Loaded;
use crate::exit::{Exit, Outcome};
use std::path::PathBuf;

/// Find everything that is wrong with policies
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Policies, YAML or JSON; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let mut exit = Exit::Done;
        for file in &self.files {
            match Loaded::read(file) {
                Ok(loaded) => anstream::println!("{}: {} routes, no fault", file.display(), loaded.policy.rules.len()),
                Err(trouble) => exit = trouble.tell(),
            }
        }
        Ok(exit)
    }
}
