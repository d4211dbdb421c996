//! `portcullis policy check`: reports every error in policies, and warnings.

use super::{
    date,
    lint::{Bounds, Warning, lint},
    load::Loaded,
};
use crate::{
    diagnostic::{Diagnostic, Severity},
    document::Diagnosed,
    error::Error,
    exit::{Exit, Outcome},
    input,
    output::{self, Format},
    report::{self, Record, counted},
};
use clap::ValueEnum;
use portcullis_engine::{
    policy::{Issuer, Policy, Protocol, SessionService},
    scope::Date,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// The most warnings shown for a file; the rest are counted.
const WARNINGS_MAX: usize = 100;

const HELP: &str = "\
A file is a policy or a manifest that contains one: an Envoy configuration, Istio's WasmPlugin
or TrafficExtension, or Envoy Gateway's EnvoyExtensionPolicy. It may contain other YAML documents.

Examples:
  portcullis policy check policy.yaml
  portcullis policy check envoy.yaml manifests/*.yaml
  portcullis policy check --deny warnings --allow public_subtree policy.yaml
  portcullis policy check --output json policy.yaml | jq '.[].message'

Exit codes:
  0  no errors and no denied warnings
  1  a file cannot be read
  2  a policy has an error or a denied warning";

/// Report every error in policies, and warn about risky settings
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Policies, or manifests that contain one (YAML or JSON); `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Choose the policy of a file that has several, by the first digits of its digest
    #[arg(long, value_name = "DIGEST")]
    digest: Option<String>,

    /// Treat a warning (listed under `--allow`) as an error; `warnings` means all of them
    #[arg(long, value_name = "WARNING", value_parser = deny)]
    deny: Vec<Deny>,

    /// Do not report a warning
    #[arg(long, value_name = "WARNING")]
    allow: Vec<Warning>,

    /// Output format: `text` goes to standard error, `json` is an array on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,

    /// Warn if one scope alone grants access to more routes than this
    #[arg(long, value_name = "N", default_value_t = 50)]
    routes_per_scope_max: usize,

    /// Date to compare `review_by` with [default: today in UTC]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date::date)]
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

/// The result for one file.
struct Checked {
    found: Diagnosed,
    /// The number of routes, if the policy is valid.
    routes: Option<usize>,
    /// The session claims of its issuers whose tokens the session service tells apart, each list once.
    undated: BTreeSet<String>,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let today = date::or_today(self.today)?;
        let mut exit = Exit::Done;
        let mut checked = Vec::new();
        for file in &self.files {
            match self.check(file, today) {
                Ok(found) => {
                    exit = exit.max(found.exit());
                    if self.output == Format::Text {
                        found.print();
                    }
                    checked.push(found);
                }
                Err(error) => exit = exit.max(report::error(&error)),
            }
        }
        if self.output == Format::Json {
            print_json(&checked)?;
        }
        Ok(exit)
    }

    fn check(&self, file: &Path, today: Date) -> Result<Checked, Error> {
        let (name, text) = input::text(file)?;
        let loaded = match Loaded::choose(name, text, self.digest.as_deref()) {
            Ok(loaded) => loaded,
            Err(found) => return Ok(Checked { found: *found, routes: None, undated: BTreeSet::new() }),
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
        let undated = session_claims(&loaded.policy);
        Ok(Checked { found: Diagnosed { document: loaded.document, diagnostics, more }, routes, undated })
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

fn session_claims(policy: &Policy) -> BTreeSet<String> {
    let is_stream = |session: &SessionService| matches!(session.protocol, Protocol::Stream { .. });
    if !policy.session.as_ref().is_some_and(is_stream) {
        return BTreeSet::new();
    }
    let quoted = |issuer: &Issuer| {
        let claims: Vec<_> =
            issuer.claim_names.session.iter().map(|claim| format!("`{}`", claim.escape_debug())).collect();
        claims.join(" nor ")
    };
    policy.issuers.iter().filter(|issuer| !issuer.is_opaque()).map(quoted).collect()
}

impl Checked {
    fn count(&self, severity: Severity) -> usize {
        self.found.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    fn exit(&self) -> Exit {
        if self.count(Severity::Error) > 0 { Exit::Invalid } else { Exit::Done }
    }

    /// Prints the findings and a summary on standard error.
    fn print(&self) {
        let name = self.found.document.name();
        if self.found.diagnostics.is_empty() {
            let routes = counted(self.routes.unwrap_or_default(), "route");
            output::message(&format!("{name}: {routes}, no errors"));
            self.print_notes();
            return;
        }
        output::message(&(report::diagnosed_file(&self.found) + "\n"));
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let (severity, found) = match (errors, warnings) {
            (0, warnings) => {
                let routes = counted(self.routes.unwrap_or_default(), "route");
                (Severity::Warning, format!("{routes}, no errors; {}", counted(warnings, "warning")))
            }
            (errors, 0) => (Severity::Error, counted(errors, "error")),
            (errors, warnings) => {
                (Severity::Error, format!("{} and {}", counted(errors, "error"), counted(warnings, "warning")))
            }
        };
        let more = if self.found.more > 0 { ", and more" } else { "" };
        output::message(&(report::titled(severity, &format!("`{name}`: {found}{more}")) + "\n"));
        self.print_notes();
    }

    /// What the policy leaves to the session service and to the tokens, because no policy can show it.
    fn print_notes(&self) {
        for claims in &self.undated {
            output::message(&format!(
                "note: the session service refuses tokens of people that have neither {claims} nor `auth_time`; with\n\
                 \x20     `undated_logins: reopen` it accepts them, but a refreshed token then undoes limits and, later, revocations"
            ));
        }
    }
}

fn print_json(checked: &[Checked]) -> Result<(), Error> {
    let records: Vec<_> =
        checked.iter().flat_map(|found| Record::of(&found.found.document, &found.found.diagnostics)).collect();
    output::write_json(&records).map(drop)
}
