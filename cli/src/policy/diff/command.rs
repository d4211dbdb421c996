//! The arguments of `portcullis policy diff`, and the run.

use super::{
    approvals::Approvals,
    comparison::Comparison,
    show::{json, markdown, text},
    verdict::Verdict,
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output,
    policy::{date, enforced, load::Loaded},
};
use clap::ValueEnum;
use portcullis_engine::scope::Date;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Policies are compared by meaning, not by notation. A change makes the policy more permissive if it
admits a request that was refused, lets one stay open longer, or trusts another key, issuer or
session service.

If a file is a manifest (see `policy check`), only the policy inside it is compared. A manifest
whose filter fails open is rejected; the rest of the manifest is ignored.

Examples:
  portcullis policy diff old.yaml new.yaml
  portcullis policy diff --envoy http://127.0.0.1:9901 new.yaml
  git show main:policy.yaml | portcullis policy diff - policy.yaml --approved approved.yaml
  portcullis policy diff old.yaml new.yaml --output markdown

Exit codes:
  0  no change makes the policy more permissive, or all such changes are approved
  1  a file cannot be read
  2  a policy or the file of approvals is invalid
  3  a change makes the policy more permissive, and no valid approval covers it";

/// Find changes that make a policy more permissive, and require their approval
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Old and new policy, or manifests that contain them; `-` reads standard input. With --envoy, only the new one
    #[arg(value_names = ["OLD", "NEW"], num_args = 1..=2, required = true)]
    policies: Vec<PathBuf>,
    /// Compare with the policy that a running proxy has: URL of Envoy's admin interface
    #[arg(long, value_name = "URL")]
    envoy: Option<String>,
    /// Choose the policy of a proxy that has several, by the first digits of its digest
    #[arg(long, value_name = "DIGEST", requires = "envoy")]
    digest: Option<String>,
    /// File of approved changes (YAML or JSON): `approvals`, a list of `change`, `by`, `reason`, `expires`
    #[arg(long, value_name = "FILE")]
    approved: Option<PathBuf>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    /// Date to compare the `expires` of approvals with [default: today in UTC]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date::date)]
    today: Option<Date>,
}

/// The output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Human-readable text
    #[default]
    Text,
    /// JSON
    Json,
    /// Markdown, for a comment on a pull request
    Markdown,
}

impl Args {
    pub(in crate::policy) fn run(self) -> Outcome {
        self.refuse_input_twice()?;
        self.refuse_wrong_count()?;
        let (old, new, approvals) = self.read()?;
        let comparison = Comparison::of(&old.policy, &new.policy);
        let verdict = Verdict::of(&comparison, &approvals, date::or_today(self.today)?);
        match self.output {
            Format::Text => output::write_styled(&text(&verdict))?,
            Format::Json => output::write(json(&verdict))?,
            Format::Markdown => output::write(markdown(&verdict))?,
        };
        Ok(if verdict.open().next().is_some() { Exit::MorePermissive } else { Exit::Done })
    }

    /// Reads all files before it fails, so that the faults of all are reported together.
    fn read(&self) -> Result<(Loaded, Loaded, Approvals), Error> {
        let (old, new) = match (&self.envoy, self.policies.as_slice()) {
            (Some(url), [new, ..]) => (enforced::policy(url, self.digest.as_deref()), Loaded::read(new)),
            (None, [old, new, ..]) => (Loaded::read(old), Loaded::read(new)),
            _ => return Err(Error::invalid("specify two policies, or one with `--envoy`")),
        };
        let approvals = self.approved.as_deref().map_or_else(|| Ok(Approvals::default()), Approvals::read);
        match (old, new, approvals) {
            (Ok(old), Ok(new), Ok(approvals)) => Ok((old, new, approvals)),
            (old, new, approvals) => {
                Err(Error::Several([old.err(), new.err(), approvals.err()].into_iter().flatten().collect()))
            }
        }
    }

    fn refuse_wrong_count(&self) -> Result<(), Error> {
        match (&self.envoy, self.policies.len()) {
            (Some(_), 1) | (None, 2) => Ok(()),
            (Some(_), _) => {
                Err(Error::invalid("with `--envoy`, the old policy is that of the proxy: specify only the new one"))
            }
            (None, _) => Err(Error::invalid("specify the old and the new policy, or the new one with `--envoy`")),
        }
    }

    fn refuse_input_twice(&self) -> Result<(), Error> {
        let files = self.policies.iter().chain(&self.approved);
        match files.filter(|file| file.as_path() == Path::new("-")).count() {
            0 | 1 => Ok(()),
            _ => Err(Error::invalid("`-` can be used only once: standard input can be read only once")),
        }
    }
}
