//! `portcullis policy digest`: the digest that names a policy in the filter's log.

use super::load::Loaded;
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use serde_json::json;
use std::path::PathBuf;

const HELP: &str = "\
The digest depends on the content, not on the notation: YAML, JSON and the same policy inside a
manifest have the same digest. Envoy's log has it in the line `policy … is in force`.

Examples:
  portcullis policy digest policy.yaml
  portcullis policy digest policy.yaml envoy.yaml --output json | jq -r '.[].digest'";

/// Print the digest that names a policy in the filter's log
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Policies, or manifests that contain one (YAML or JSON); `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let (mut read, mut errors) = (Vec::new(), Vec::new());
        for file in &self.files {
            match Loaded::read(file) {
                Ok(Loaded { policy, document }) => read.push((policy.digest, document.name().to_owned())),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(Error::Several(errors));
        }
        match self.output {
            Format::Text => {
                let lines: String = read.iter().map(|(digest, file)| format!("{digest}  {file}\n")).collect();
                output::write(lines)?
            }
            Format::Json => {
                let list: Vec<_> = read.iter().map(|(digest, file)| json!({"digest": digest, "file": file})).collect();
                output::write_json(&list)?
            }
        };
        Ok(Exit::Done)
    }
}
