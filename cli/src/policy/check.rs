//! `portcullis policy check`: everything that is wrong with policies, and what should be looked at.

use super::{
    day,
    lint::{Bounds, Warning, lint},
    load::Loaded,
};
use crate::{
    document,
    exit::{Exit, Outcome, Trouble},
    output::{self, Format},
    report::{self, Diagnostic, Record, Report, Severity, counted},
};
use clap::ValueEnum;
use portcullis_engine::scope::Date;
use std::path::{Path, PathBuf};

/// The most warnings of a file that are shown; the rest are counted.
const WARNINGS_MAX: usize = 100;

const HELP: &str = "\
A file is a policy, or something that holds one: an Envoy configuration, Istio's
WasmPlugin or TrafficExtension, Envoy Gateway's EnvoyExtensionPolicy. Other YAML
documents may stand beside it.

Examples:
  portcullis policy check policy.yaml
  portcullis policy check envoy.yaml manifests/*.yaml
  portcullis policy check --deny warnings --allow public_subtree policy.yaml
  portcullis policy check --output json policy.yaml | jq '.[].message'

Exit codes:
  0  no fault, and no warning that is denied
  1  a file can't be read
  2  a policy has a fault, or a warning that is denied";

/// Find everything that is wrong with policies
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Policies, or files that hold one, YAML or JSON; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Make a warning (see `--allow`) an error; `warnings` stands for all of them
    #[arg(long, value_name = "WARNING", value_parser = deny)]
    deny: Vec<Deny>,

    /// Leave a warning out
    #[arg(long, value_name = "WARNING")]
    allow: Vec<Warning>,

    /// For whom to write: `text` goes to standard error, `json` is one array on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,

    /// Warn of a scope that alone opens more rules than this
    #[arg(long, value_name = "N", default_value_t = 50)]
    routes_per_scope_max: usize,

    /// The day to compare `review_by` with [default: today, in UTC]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day::day)]
    today: Option<Date>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deny {
    All,
    One(Warning),
}

fn deny(text: &str) -> Result<Deny, String> {
    if text == "warnings" {
        return Ok(Deny::All);
    }
    Warning::from_str(text, false).map(Deny::One).map_err(|_| {
        let known: Vec<_> = Warning::value_variants().iter().map(|warning| warning.code()).collect();
        format!("expected `warnings` or one of {}", known.join(", "))
    })
}

/// What was found in a file.
struct Checked {
    report: Report,
    /// How many routes the policy has, if it can be read.
    routes: Option<usize>,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let today = day::or_today(self.today)?;
        let mut exit = Exit::Done;
        let mut checked = Vec::new();
        for file in &self.files {
            match self.check(file, today) {
                Ok(found) => {
                    exit = exit.max(found.exit());
                    if self.output == Format::Text {
                        found.tell();
                    }
                    checked.push(found);
                }
                Err(trouble) => exit = exit.max(trouble.tell()),
            }
        }
        if self.output == Format::Json {
            print_json(&checked)?;
        }
        Ok(exit)
    }

    fn check(&self, file: &Path, today: Date) -> Result<Checked, Trouble> {
        let (name, text) = document::source(file)?;
        let loaded = match Loaded::parse(name, text) {
            Ok(loaded) => loaded,
            Err(report) => return Ok(Checked { report: *report, routes: None }),
        };
        let bounds = Bounds { routes_per_scope_max: self.routes_per_scope_max };
        let mut diagnostics: Vec<_> = lint(&loaded, today, bounds)
            .into_iter()
            .filter_map(|(warning, found)| self.judged(warning, found))
            .collect();
        diagnostics.sort_by_key(|diagnostic| (diagnostic.severity, diagnostic.span.start));
        let more = diagnostics.len().saturating_sub(WARNINGS_MAX);
        diagnostics.truncate(WARNINGS_MAX);
        let routes = Some(loaded.policy.rules.len());
        Ok(Checked { report: Report { document: loaded.document, diagnostics, more }, routes })
    }

    fn judged(&self, warning: Warning, found: Diagnostic) -> Option<Diagnostic> {
        if self.allow.contains(&warning) {
            return None;
        }
        let is_denied = self.deny.contains(&Deny::All) || self.deny.contains(&Deny::One(warning));
        let severity = if is_denied { Severity::Error } else { found.severity };
        Some(Diagnostic { severity, ..found })
    }
}

impl Checked {
    fn count(&self, severity: Severity) -> usize {
        self.report.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    fn exit(&self) -> Exit {
        if self.count(Severity::Error) > 0 { Exit::Faulty } else { Exit::Done }
    }

    /// Says it, and a line that sums it up, on standard error.
    fn tell(&self) {
        let name = self.report.document.name();
        if self.report.diagnostics.is_empty() {
            let routes = counted(self.routes.unwrap_or_default(), "route");
            output::tell(&format!("{name}: {routes}, no fault"));
            return;
        }
        output::tell(&(self.report.render() + "\n"));
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let (severity, found) = match (errors, warnings) {
            (0, warnings) => (Severity::Warning, counted(warnings, "warning")),
            (errors, 0) => (Severity::Error, counted(errors, "error")),
            (errors, warnings) => {
                (Severity::Error, format!("{} and {}", counted(errors, "error"), counted(warnings, "warning")))
            }
        };
        let more = if self.report.more > 0 { ", and more" } else { "" };
        output::tell(&(report::titled(severity, &format!("`{name}`: {found}{more}")) + "\n"));
    }
}

fn print_json(checked: &[Checked]) -> Result<(), Trouble> {
    let records: Vec<_> =
        checked.iter().flat_map(|found| Record::of(&found.report.document, &found.report.diagnostics)).collect();
    output::write_json(&records).map(drop)
}
