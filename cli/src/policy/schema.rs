//! `portcullis policy schema`: a JSON Schema of the policy, for editors.

use crate::exit::{Exit, Outcome, Trouble};

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
        let schema = portcullis_filter::policy::schema();
        let text = serde_json::to_string_pretty(&schema)
            .map_err(|error| Trouble::failed(format_args!("the schema can't be written: {error}")))?;
        crate::output::print(format!("{text}\n").as_bytes())?;
        Ok(Exit::Done)
    }
}
