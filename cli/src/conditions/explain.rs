//! `portcullis conditions explain`: shows which conditions decide cases.

use super::play::{OfCases, play, simulator};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output,
    policy::{cases::Case, simulator::Judged},
    report::counted,
};
use portcullis_conditions::{Decision, Finding};
use std::fmt::Write;

const HELP: &str = "\
For each case, the output names the conditions that can concern its route, and says of each whether
it forbids the request. The first of these lines is the condition that answers.

Examples:
  portcullis conditions explain ./conditions --policy policy.yaml cases.yaml
  portcullis conditions explain ./conditions --policy policy.yaml cases.yaml --case 'a lost laptop'

Exit codes:
  0  the cases were explained, whatever the decisions
  1  a file cannot be read
  2  a condition, the policy or a file of cases is invalid, or no case has that name";

/// Show which conditions decide a case, and what each of them says
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    of: OfCases,
    /// Only explain the case with this name
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let (set, loaded, cases) = self.of.read()?;
        let mut worker = simulator(loaded, &set)?;
        let chosen = cases.iter().flat_map(|file| &file.list);
        let chosen = chosen.filter(|case| self.case.as_ref().is_none_or(|name| case.name == *name));
        let explained: Vec<_> = chosen
            .map(|case| {
                let (decision, judged) = play(&mut worker, case);
                text(case, &decision, judged)
            })
            .collect();
        if explained.is_empty() {
            return Err(Error::invalid("no case has this name"));
        }
        output::write(explained.join("\n"))?;
        Ok(Exit::Done)
    }
}

fn text(case: &Case, decision: &str, judged: Option<Judged>) -> String {
    let mut text = format!("{}: {decision}\n", case.name);
    let Some(judged) = judged else {
        text += "  conditions were not asked\n";
        return text;
    };
    // Writing to a text cannot fail.
    let concerned = counted(judged.findings.len(), "condition");
    let _ = writeln!(text, "  {concerned} can concern the route `{}`", judged.route);
    let answers = match &judged.decision {
        Decision::Refused(refusal) => Some(refusal),
        Decision::Allowed => None,
    };
    if let Some(refusal) = answers {
        let told = if refusal.tell { ", which the client is told" } else { "" };
        let _ = writeln!(text, "  `{}` answers: {}{told}", refusal.id, refusal.reason);
    }
    let first = |id: &str| answers.is_none_or(|refusal| refusal.id != id);
    let mut findings: Vec<_> = judged.findings.iter().collect();
    findings.sort_by_key(|(id, finding)| (first(id), *finding == Finding::DoesNotApply));
    for (id, finding) in findings {
        let _ = match finding {
            Finding::Forbids => writeln!(text, "  forbids         {id}"),
            Finding::DoesNotApply => writeln!(text, "  does not apply  {id}"),
            Finding::Fails(error) => writeln!(text, "  fails           {id}: {error}"),
        };
    }
    text
}
