//! The arguments of `portcullis policy coverage`, and the run.

use super::{
    entry::{Judged, judged},
    envoy, operations, show,
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
    policy::{
        load::Loaded,
        matching::{Extent, Rules},
        openapi::{Api, Shape, load},
    },
};
use std::path::PathBuf;

const HELP: &str = "\
An Envoy configuration is a bootstrap, an LDS or RDS file, or a config dump of Envoy's admin
interface. All its route configurations are considered; each request belongs to the first route
that matches it. Routes with a regular expression are checked with sample paths.

Examples:
  portcullis policy coverage policy.yaml --openapi openapi.yaml
  portcullis policy coverage policy.yaml --envoy-config envoy.yaml --output json

Exit codes:
  0  every operation or route is covered (with --allow-partial: at least partially)
  1  some requests have no route and would be refused with `no_route`, or a file cannot be read
  2  the policy or another file is invalid";

/// Report which operations of an API, or which Envoy routes, a policy covers
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Policy, or a manifest that contains it (see `policy check`); `-` reads standard input
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    #[command(flatten)]
    against: Against,
    /// Accept partial coverage: a route that matches only some of an operation's requests is enough
    #[arg(long)]
    allow_partial: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Against {
    /// OpenAPI document (3.0, 3.1 or 3.2) with operations to check
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
    /// Envoy configuration with routes to check
    #[arg(long, value_name = "FILE")]
    envoy_config: Option<PathBuf>,
}

impl Args {
    pub(in crate::policy) fn run(self) -> Outcome {
        let loaded = Loaded::read(&self.policy)?;
        let rules = Rules::of(&loaded.policy);
        let (what, judged) = match (&self.against.openapi, &self.against.envoy_config) {
            (Some(file), _) => (show::OPERATIONS, judged(operations::described(&Api::read(file)?, &rules), &rules)),
            (None, Some(file)) => {
                let configuration = envoy::read(&load(file, Shape::All)?)
                    .map_err(|message| Error::invalid(format_args!("`{}`: {message}", file.display())))?;
                (show::ROUTES, judged(envoy::described(&configuration, &rules), &rules))
            }
            // Clap requires one of the two.
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
