//! `portcullis policy schema`: the JSON Schema of policies, for editors.

use crate::{
    exit::{Exit, Outcome},
    output,
};

const HELP: &str = "\
Examples:
  portcullis policy schema > policy.schema.json

Editors with a YAML language server then complete and check policies that begin with
  # yaml-language-server: $schema=policy.schema.json";

/// Print the JSON Schema (2020-12) of policies
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {}

impl Args {
    pub(super) fn run(self) -> Outcome {
        output::write_json(&portcullis_engine::policy::schema())?;
        Ok(Exit::Done)
    }
}
