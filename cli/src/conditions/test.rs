//! `portcullis conditions test`: runs cases against a policy and conditions.

use super::play::OfCases;
use crate::{
    exit::{Exit, Outcome},
    output,
    policy::test::{Run, show_text},
};

const HELP: &str = "\
The cases are those of `policy test`, which describes them. Conditions are judged as the session
service does: once everything else about a request is good.

Examples:
  portcullis conditions test ./conditions --policy policy.yaml cases.yaml
  portcullis conditions test ./conditions --policy policy.yaml --session session.yaml cases/*.yaml

Exit codes:
  0  all cases pass
  1  a case fails, or a file cannot be read
  2  a condition, the policy or a file of cases is invalid";

/// Run test cases against a policy and conditions
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    of: OfCases,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let (set, loaded, cases) = self.of.read()?;
        let run = Run::with_conditions(loaded, cases, Some(set))?;
        output::write_styled(&(show_text(&run) + "\n"))?;
        Ok(if run.failed() == 0 { Exit::Done } else { Exit::Failed })
    }
}
