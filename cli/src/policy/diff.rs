//! `portcullis policy diff`: what becomes easier, and whether somebody approved it.
//!
//! Policies are compared by what they mean, not by how they are written. The parts:
//!
//! - `meaning` is what a rule means, `change` how two rules differ, `frame` and `issuers` how the rest of a policy does;
//! - `forest` and `walk` find every kind of request that the two policies could treat differently;
//! - `set` gives the requests of a change a digest, so that an approval holds for them and no others;
//! - `renames` finds routes that are only called otherwise;
//! - [`Comparison`] is all that was found, [`Approvals`] what somebody agreed to, [`Verdict`] both together.
//!
//! Three things are decided so: routes are compared as if refused requests were refused, whatever the `mode`, for shadow mode
//! is not meant to stay; two routes that mean the same are the same as one, though in an outage a `grace` is for one route
//! only; and what can't be compared counts as easier.

mod approvals;
mod budget;
mod change;
mod finding;
mod forest;
mod frame;
mod hosts;
mod issuers;
mod meaning;
mod renames;
mod set;
mod show;
mod verdict;
mod walk;
mod words;

pub use approvals::{Approval, Approvals};
pub use change::{Change, Direction};
pub use finding::{Comparison, Finding};
pub use show::{json, markdown, text};
pub use verdict::{Standing, Verdict};
pub use walk::Example;

use super::{day, load::Loaded};
use crate::{
    exit::{Exit, Outcome, Trouble},
    output,
};
use clap::ValueEnum;
use portcullis_engine::scope::Date;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Policies are compared by what they mean. Something is easier when a request passes that was
refused, or lasts longer, or when somebody else is believed: other keys, another issuer, another
session service.

Examples:
  portcullis policy diff old.yaml new.yaml
  git show main:policy.yaml | portcullis policy diff - policy.yaml --approved approved.yaml
  portcullis policy diff old.yaml new.yaml --output markdown

Exit codes:
  0  nothing becomes easier, or all of it is approved
  1  a file can't be read
  2  a policy or the file of approvals is wrong
  3  something becomes easier, and no approval that still counts names it";

/// Find what a change makes easier, and whether it is approved
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The policy as it was, or a file that holds it (see `policy check`); `-` is standard input
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The policy as it is to be; `-` is standard input
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Approved changes, YAML or JSON: `approvals`, a list of `change`, `by`, `reason` and `expires`
    #[arg(long, value_name = "FILE")]
    approved: Option<PathBuf>,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    /// The day to compare `expires` of approvals with [default: today, in UTC]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day::day)]
    today: Option<Date>,
}

/// How findings are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// For a comment on a pull request
    Markdown,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        self.refuse_input_twice()?;
        let (old, new, approvals) = self.read()?;
        let comparison = Comparison::of(&old.policy, &new.policy);
        let verdict = Verdict::of(&comparison, &approvals, day::or_today(self.today)?);
        match self.output {
            Format::Text => output::write_styled(&text(&verdict))?,
            Format::Json => output::write(json(&verdict))?,
            Format::Markdown => output::write(markdown(&verdict))?,
        };
        Ok(if verdict.open().next().is_some() { Exit::Easier } else { Exit::Done })
    }

    /// Reads all files, so that the faults of all are told at once.
    fn read(&self) -> Result<(Loaded, Loaded, Approvals), Trouble> {
        let (old, new) = (Loaded::read(&self.old), Loaded::read(&self.new));
        let approvals = self.approved.as_deref().map_or_else(|| Ok(Approvals::default()), Approvals::read);
        match (old, new, approvals) {
            (Ok(old), Ok(new), Ok(approvals)) => Ok((old, new, approvals)),
            (old, new, approvals) => {
                let mut troubles: Vec<_> = [old.err(), new.err(), approvals.err()].into_iter().flatten().collect();
                let last = troubles.pop().unwrap_or_else(|| Trouble::failed("nothing was compared"));
                for trouble in troubles {
                    trouble.tell();
                }
                Err(last)
            }
        }
    }

    fn refuse_input_twice(&self) -> Result<(), Trouble> {
        let files = [Some(&self.old), Some(&self.new), self.approved.as_ref()];
        match files.into_iter().flatten().filter(|file| file.as_path() == Path::new("-")).count() {
            0 | 1 => Ok(()),
            _ => Err(Trouble::faulty("standard input can be read once; give a file instead of `-`")),
        }
    }
}
