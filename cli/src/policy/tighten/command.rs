//! The arguments of `portcullis policy tighten`, and the run.

use super::{Tightened, tighten};
use crate::{
    admin::{connection::Access, scopes, usage::Usage},
    error::Error,
    exit::{Exit, Outcome},
    output, plain,
    policy::load::Loaded,
    report::{self, counted},
};
use clap::ValueEnum;
use similar::TextDiff;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Removes entries of `any_of` with a scope that no request needed, while another entry remains, and
then the sets and scopes that nothing refers to any more. A route keeps its protection: one whose
alternatives were all unused keeps them, and one without requests is only reported. The result is
compared as by `policy diff`, and is only printed if nothing becomes more permissive.

Examples:
  portcullis policy tighten policy.yaml --usage http://127.0.0.1:7071 | tee tighten.patch
  portcullis policy tighten policy.yaml --usage usage.json --output policy > tightened.yaml

Exit codes:
  0  a proposal was printed, or there is nothing to remove
  1  a file cannot be read, the service does not answer, or there is no safe proposal
  2  an argument, the policy or the file of --usage is invalid";

/// Propose a policy without the scopes that nobody uses
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Policy, or manifest that contains one (YAML or JSON); `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What was used: output of `scopes usage --output json`, or the URL of the session service's admin API
    #[arg(long, value_name = "FILE|URL")]
    usage: String,
    /// With a URL, how far to go back: a duration, or an instant (RFC 3339)
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = scopes::since)]
    since: String,
    /// What to print
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    access: Access,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Unified diff, for `patch` and `git apply`
    #[default]
    Diff,
    /// The whole new policy
    Policy,
}

impl Args {
    pub(in crate::policy) fn run(self) -> Outcome {
        let loaded = Loaded::read(&self.file)?;
        let usage = Usage::of_either(&self.usage, &self.since, &self.access)?;
        if usage.has_unnamed() {
            return Err(Error::failed(
                "there were more scopes, routes and clients than the service keeps apart, so it cannot tell what was \
                 not used",
            ));
        }
        let tightened = tighten(&loaded, &usage.granted())?;
        match self.output {
            Format::Diff => output::write(diff(loaded.document.name(), loaded.document.text(), &tightened.text))?,
            Format::Policy => output::write(&tightened.text)?,
        };
        self.explain(&loaded, &usage, &tightened);
        Ok(Exit::Done)
    }

    /// Says what was done, and what was not, on standard error.
    fn explain(&self, loaded: &Loaded, usage: &Usage, tightened: &Tightened) {
        let since = plain::plain(&usage.since);
        if tightened.removed.is_empty() {
            output::message(&format!("nothing to remove: everything that can go was used since {since}"));
        }
        for removed in &tightened.removed {
            output::message(&format!("removed: {removed}"));
        }
        if !tightened.is_edited {
            output::message(&report::warning("the policy could not be edited in place: its comments are lost"));
        }
        for route in &tightened.kept {
            output::message(&format!("kept: route {route}: no request met any entry of its `any_of`"));
        }
        let used = usage.routes();
        let unused: Vec<&str> =
            loaded.policy.rules.iter().map(|rule| rule.name.as_str()).filter(|name| !used.contains(name)).collect();
        if !unused.is_empty() {
            let count = counted(unused.len(), "route");
            output::message(&format!("kept: {count} without requests since {since}: {}", unused.join(", ")));
        }
    }
}

fn diff(name: &str, old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    diff.unified_diff().context_radius(3).header(&format!("a/{name}"), &format!("b/{name}")).to_string()
}
