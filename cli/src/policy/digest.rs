//! `portcullis policy digest`: the digest that names a policy in the filter's log.

use super::load::Loaded;
use crate::{
    document::Document,
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
};
use serde_json::json;
use std::path::PathBuf;

const HELP: &str = "\
The digest depends on the content, not on the notation: YAML, JSON and the same policy inside a
manifest have the same digest. Envoy's log has it in the line `policy … is in force`. If a file
has several policies, each is named with its line.

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
            match Loaded::read_all(file) {
                Ok(policies) => read.extend(named(policies)),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(Error::Several(errors));
        }
        match self.output {
            Format::Text => {
                let lines: String = read.iter().map(|(digest, place)| format!("{digest}  {place}\n")).collect();
                output::write(lines)?
            }
            Format::Json => {
                let list: Vec<_> =
                    read.iter().map(|(digest, place)| json!({"digest": digest, "file": place})).collect();
                output::write_json(&list)?
            }
        };
        Ok(Exit::Done)
    }
}

/// The digests of a file's policies, and where they are: the file and, if it has several, the line.
fn named(policies: Vec<Loaded>) -> Vec<(String, String)> {
    let is_only = policies.len() == 1;
    let place = |document: &Document| match is_only {
        true => document.name().to_owned(),
        false => format!("{}:{}", document.name(), document.position("$").0),
    };
    policies.into_iter().map(|Loaded { policy, document }| (policy.digest, place(&document))).collect()
}
