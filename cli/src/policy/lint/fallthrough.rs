//! Finds rules that list methods, where the other methods of the same path fall to a more permissive rule.
//!
//! A reader takes `POST /orders/refunds` with a strict scope for the protection of that path. Where the rule does not match,
//! the next less specific one decides, and a rule such as `/orders/{id}` may require less.

use super::{
    linter::Linter,
    overlap::Index,
    permissiveness::{MorePermissive, more_permissive},
    samples::{Samples, methods_beyond},
    warning::Warning,
};
use crate::diagnostic::Diagnostic;
use portcullis_engine::policy::Policy;

/// A rule to which other methods of a path fall, and an example request.
struct Fall {
    rule: usize,
    why: MorePermissive,
    request: String,
}

impl Linter<'_> {
    pub(super) fn falls(&mut self) {
        let policy = &self.loaded.policy;
        let mut index = Index::of(&policy.routes);
        let samples = Samples::of(policy);
        for (front, route) in policy.source.routes.iter().enumerate() {
            if route.matches.methods.is_empty() {
                continue;
            }
            let behind = index.behind(&route.matches);
            if let Some(fall) = behind.into_iter().find_map(|behind| fall(policy, &samples, front, behind)) {
                self.falls_through(front, &fall);
            }
        }
    }

    fn falls_through(&mut self, front: usize, fall: &Fall) {
        let (policy, document) = (&self.loaded.policy, &self.loaded.document);
        let name = |rule: usize| policy.rules.get(rule).map(|rule| rule.name.as_str()).unwrap_or_default();
        let (strict, weak) = (name(front), name(fall.rule));
        let message = format!(
            "`{strict}` does not protect every method of its path: `{}` is decided by `{weak}`, which {}",
            fall.request, fall.why
        );
        let path = format!("$.routes[{front}].match.methods");
        let span = document.span(&format!("$.routes[{}].match.path", fall.rule));
        let related = vec![(span, format!("decides `{}`, and {}", fall.request, fall.why))];
        let help = format!(
            "if this is not intended, add a rule for this path without `methods` that requires what `{strict}` requires"
        );
        let diagnostic = Diagnostic::warning(Warning::MethodFallsThrough.code(), message, &*path, document.span(&path));
        let diagnostic = Diagnostic { related, ..diagnostic.help(help) };
        self.found.push((Warning::MethodFallsThrough, diagnostic));
    }
}

fn fall(policy: &Policy, samples: &Samples<'_>, front: usize, behind: usize) -> Option<Fall> {
    let matches = |rule: usize| policy.source.routes.get(rule).map(|route| &route.matches);
    let (front_match, behind_match) = (matches(front)?, matches(behind)?);
    let why = more_permissive(policy, policy.rules.get(behind)?, policy.rules.get(front)?)?;
    // Another scope is not less: reading and changing one resource require different ones.
    if why.is_incomparable() {
        return None;
    }
    let methods = methods_beyond(front_match, behind_match);
    let request = samples.request(behind, front_match, behind_match, &methods)?;
    Some(Fall { rule: behind, why, request })
}
