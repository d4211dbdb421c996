//! `portcullis policy coverage`: which operations of an API, or routes of an Envoy, have a rule.

mod envoy;
mod matcher;
mod operations;
mod samples;
mod show;

use super::{
    load::Loaded,
    openapi::{Api, Shape, load},
    reach::{Coverage, Entry, Extent, Rules, judge},
};
use crate::{
    exit::{Exit, Outcome, Trouble},
    output::{self, Format},
};
use std::path::PathBuf;

const HELP: &str = "\
An Envoy configuration is a bootstrap, an LDS or RDS file, or a dump of Envoy's admin interface:
all route configurations in it count, and of each request the first route that takes it. Routes
by regular expression are judged by samples.

Examples:
  portcullis policy coverage policy.yaml --openapi openapi.yaml
  portcullis policy coverage policy.yaml --envoy-config envoy.yaml --output json

Exit codes:
  0  every operation or route has a rule for all of its requests (with --allow-partial: for some)
  1  one hasn't: Portcullis would refuse requests of it with `no_route`; or a file can't be read
  2  what was given is wrong";

/// Show which operations of an API, or routes of an Envoy, have a rule
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The policy, or a file that holds it (see `policy check`); `-` is standard input
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    #[command(flatten)]
    against: Against,
    /// Take a rule for a part of the requests for enough
    #[arg(long)]
    allow_partial: bool,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Against {
    /// An OpenAPI document (3.0, 3.1 or 3.2)
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
    /// An Envoy configuration with routes
    #[arg(long, value_name = "FILE")]
    envoy_config: Option<PathBuf>,
}

/// What is to be covered, as people know it.
#[derive(Debug)]
struct Described<'a> {
    /// The requests, in short.
    label: String,
    /// Its name, or where it stands.
    place: String,
    /// Its requests, or why nobody can say which they are.
    entry: Result<Entry<'a>, String>,
}

/// What is to be covered, and how far it is.
#[derive(Debug)]
struct Judged {
    label: String,
    place: String,
    coverage: Coverage,
    /// Why nobody can say, or how it was found out.
    remark: Option<String>,
}

impl Judged {
    fn extent(&self) -> Extent {
        self.coverage.extent
    }
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let loaded = Loaded::read(&self.policy)?;
        let rules = Rules::of(&loaded);
        let (what, judged) = match (&self.against.openapi, &self.against.envoy_config) {
            (Some(file), _) => (show::OPERATIONS, judged(operations::described(&Api::read(file)?, &rules), &rules)),
            (None, Some(file)) => {
                let configuration = envoy::read(&load(file, Shape::All)?)
                    .map_err(|message| Trouble::faulty(format_args!("`{}`: {message}", file.display())))?;
                (show::ROUTES, judged(envoy::described(&configuration, &rules), &rules))
            }
            // Clap sees to it that one is given.
            (None, None) => (show::OPERATIONS, Vec::new()),
        };
        let report = show::Report::new(what, &judged, &loaded.policy);
        match self.output {
            Format::Text => output::write_styled(&format!("{report}\n"))?,
            Format::Json => output::write(report.json() + "\n")?,
        };
        let is_enough = |judged: &Judged| match judged.extent() {
            Extent::Full | Extent::Unreached => true,
            Extent::Part => self.allow_partial,
            Extent::Nothing => false,
        };
        Ok(if judged.iter().all(is_enough) { Exit::Done } else { Exit::Failed })
    }
}

fn judged(described: Vec<Described<'_>>, rules: &Rules<'_>) -> Vec<Judged> {
    let judged = described.into_iter().map(|Described { label, place, entry }| match entry {
        Ok(entry) => Judged { label, place, coverage: judge(&entry, rules), remark: entry.paths.remark() },
        Err(trouble) => Judged { label, place, coverage: Coverage::default(), remark: Some(trouble) },
    });
    judged.collect()
}

#[cfg(test)]
mod tests;
