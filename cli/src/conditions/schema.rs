//! `portcullis conditions schema`: prints the schema.

use super::load::DeclaredIn;
use crate::{
    exit::{Exit, Outcome},
    output,
};

const HELP: &str = "\
Conditions are validated against this schema. Editors with support for Cedar can read it, too.

Examples:
  portcullis conditions schema > portcullis.cedarschema
  portcullis conditions schema --session session.yaml

Exit codes:
  0  success
  1  a file cannot be read
  2  the configuration declares an attribute that cannot be";

/// Print the Cedar schema of conditions
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    declared: DeclaredIn,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        output::write(portcullis_conditions::schema(&self.declared.read()?))?;
        Ok(Exit::Done)
    }
}
