//! `portcullis conditions check`: reports every fault, and warnings.

use super::load::{From, diagnosed};
use crate::{
    diagnostic::Severity,
    error::Error,
    exit::{Exit, Outcome},
    output,
    policy::load::Loaded,
    report::{self, counted},
};
use portcullis_conditions::Route;
use portcullis_engine::policy::{Access, Policy, Rule, Words};
use std::path::{Path, PathBuf};

const HELP: &str = "\
With a policy, the conditions are also tried on each of its routes, and those that name a route or a
scope set that is not there are warned about.

Examples:
  portcullis conditions check ./conditions
  portcullis conditions check ./conditions --policy policy.yaml --session session.yaml

Exit codes:
  0  no faults
  1  a file cannot be read
  2  a condition, the policy or the configuration is invalid";

/// Report every fault in conditions, and warn about those that never apply
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    from: From,
    /// Policy of the filter, or a manifest that contains it
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let set = self.from.load_with_text();
        let routes = self.policy.as_deref().map(routes).transpose();
        let ((set, sources), routes) = match (set, routes) {
            (Ok(set), Ok(routes)) => (set, routes),
            (set, routes) => {
                return Err(Error::Several([set.err(), routes.err()].into_iter().flatten().collect()));
            }
        };
        let mut warnings = set.warnings().to_vec();
        let mut concerned = 0;
        for route in routes.iter().flatten() {
            let sliced =
                set.for_route(route).map_err(|faults| Error::Several(faults.iter().map(Error::invalid).collect()))?;
            concerned += usize::from(!sliced.is_empty());
        }
        warnings.extend(routes.as_deref().map(|routes| set.unmatched(routes)).unwrap_or_default());
        for found in diagnosed(&warnings, &sources, Severity::Warning) {
            output::message(&(report::diagnosed_file(&found) + "\n"));
        }
        let mut text = format!("{}: {}, no errors", self.from.dir.display(), counted(set.len(), "condition"));
        if !warnings.is_empty() {
            text += &format!("; {}", counted(warnings.len(), "warning"));
        }
        if let Some(routes) = &routes {
            text += &format!("; they concern {concerned} of {}", counted(routes.len(), "route"));
        }
        output::message(&text);
        Ok(Exit::Done)
    }
}

/// The routes of a policy, as conditions see them.
pub(super) fn routes(path: &Path) -> Result<Vec<Route>, Error> {
    Ok(of_policy(&Loaded::read(path)?.policy))
}

/// The routes of a policy that the session service is asked about.
pub(super) fn of_policy(policy: &Policy) -> Vec<Route> {
    let asked = policy.rules.iter().filter(|rule| !matches!(rule.access, Access::Public));
    asked.map(|rule| of_rule(policy, rule)).collect()
}

fn of_rule(policy: &Policy, rule: &Rule) -> Route {
    let mut scopes = Vec::new();
    if let Access::Scopes(requirement) = &rule.access {
        scopes.extend(requirement.all_of(&policy.register).map(str::to_owned));
        scopes.extend(requirement.any_of(&policy.register).flatten().map(str::to_owned));
        scopes.sort();
        scopes.dedup();
    }
    let Words { class, tags, sets } = rule.words.clone();
    Route { name: rule.name.clone(), class: class.unwrap_or_default(), tags, scopes, sets }
}
