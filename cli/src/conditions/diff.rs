//! `portcullis conditions diff`: finds requests that new conditions no longer refuse.

mod compare;
mod example;

use super::{
    check::of_policy,
    load::{DeclaredIn, read},
    play::{Played, cases, simulator},
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output,
    report::counted,
};
use compare::Comparison;
use portcullis_conditions::Change;
use std::{fmt::Write, path::PathBuf};

const HELP: &str = "\
Both sets are asked about the cases, and about generated sessions and requests on every route that a
changed condition concerns: what conditions compare with is tried on both sides. A request that the
old conditions refuse and the new ones release makes them more permissive.

Where a condition was removed or changed and no such request was found, the output says that this is
no proof.

Examples:
  portcullis conditions diff old/ new/ --policy policy.yaml
  portcullis conditions diff old/ new/ --policy policy.yaml cases.yaml --deny unproved

Exit codes:
  0  nothing was found that the new conditions release and the old ones refuse
  1  a file cannot be read
  2  a condition, the policy or a file of cases is invalid
  3  the new conditions release something that the old ones refuse; with `--deny unproved`, also if
     they may";

/// Find requests that new conditions no longer refuse
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Directory with the old conditions
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// Directory with the new conditions
    #[arg(value_name = "NEW")]
    new: PathBuf,
    #[command(flatten)]
    declared: DeclaredIn,
    #[command(flatten)]
    played: Played,
    /// Files of cases (YAML or JSON) to ask both about
    #[arg(value_name = "CASES")]
    cases: Vec<PathBuf>,
    /// Also fail if a change may be more permissive and nothing proves that it is not
    #[arg(long, value_name = "WHAT", value_enum)]
    deny: Option<Deny>,
}

/// What fails besides a request that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Deny {
    /// A removed or changed condition without such a request
    Unproved,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let declared = self.declared.read()?;
        let (old, new) = match (read(&self.old, &declared), read(&self.new, &declared)) {
            (Ok((old, _)), Ok((new, _))) => (old, new),
            (old, new) => return Err(Error::Several([old.err(), new.err()].into_iter().flatten().collect())),
        };
        let loaded = self.played.policy()?;
        let cases = cases(&self.cases, &loaded)?;
        let mut comparison = Comparison::of(&old, &new, &of_policy(&loaded.policy))?;
        let (mut before, mut after) = (simulator(loaded.again()?, &old)?, simulator(loaded, &new)?);
        for case in cases.iter().flat_map(|file| &file.list) {
            comparison.play(case, &mut before, &mut after);
        }
        output::write(text(&comparison))?;
        let is_denied = self.deny.is_some() && comparison.unproved().next().is_some();
        let is_more = !comparison.more.is_empty();
        Ok(if is_more || is_denied { Exit::MorePermissive } else { Exit::Done })
    }
}

fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    for (id, change) in &comparison.changes {
        let _ = match change {
            Change::Removed => writeln!(text, "removed          {id}"),
            Change::Forbids => writeln!(text, "changed          {id}"),
            Change::Answer => writeln!(text, "another answer   {id}"),
            Change::Added => writeln!(text, "added            {id}"),
        };
    }
    for found in &comparison.more {
        let _ = writeln!(text, "more permissive  {}: `{}` refused it\n  {}", found.request, found.id, found.example);
    }
    for found in &comparison.less {
        let _ = writeln!(text, "less permissive  {}: `{}` refuses it\n  {}", found.request, found.id, found.example);
    }
    for id in comparison.unproved() {
        let _ = writeln!(text, "not proved       {id}: no request was found that it refused and that is now released");
    }
    let tried = counted(comparison.generated, "generated request");
    let played = counted(comparison.played, "case");
    let _ = match (comparison.changes.is_empty(), comparison.more.is_empty()) {
        (true, _) => writeln!(text, "no condition has changed"),
        (false, true) => writeln!(text, "nothing more permissive found in {played} and {tried}"),
        (false, false) => writeln!(text, "more permissive, by {played} and {tried}"),
    };
    text
}
