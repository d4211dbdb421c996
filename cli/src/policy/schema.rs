//! `portcullis policy schema`: a JSON Schema of the policy, for editors.

use crate::{
    exit::{Exit, Outcome},
    output,
};

const HELP: &str = "\
Examples:
  portcullis policy schema > policy.schema.json

Editors with the YAML language server then complete and check a policy that begins with
  # yaml-language-server: $schema=policy.schema.json";

/// Print a JSON Schema (2020-12) of the policy
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {}

impl Args {
    pub(super) fn run(self) -> Outcome {
        output::write_json(&portcullis_engine::policy::schema())?;
        Ok(Exit::Done)
    }
}
