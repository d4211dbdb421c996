//! Finds rules that list methods, where the other methods of the same path fall to a more permissive rule; and rules for
//! everything under a path, where the path itself does.
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
use portcullis_engine::{policy::Policy, route::Segment};

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
                self.fall_of(Warning::MethodFallsThrough, front, &fall);
            }
        }
    }

    /// `{*name}` matches one segment or more: `/admin/{*rest}` matches neither `/admin` nor `/admin/`.
    pub(super) fn prefixes(&mut self) {
        let policy = &self.loaded.policy;
        let samples = Samples::of(policy);
        for (front, route) in policy.source.routes.iter().enumerate() {
            if let [before @ .., Segment::Rest] = route.matches.path.segments()
                && !before.is_empty()
            {
                let slash = [before, &[Segment::Literal("".into())]].concat();
                let decided = [before, &*slash].into_iter().flat_map(|path| samples.decided(path, &route.matches));
                if let Some(fall) = decided.into_iter().find_map(|(rule, request)| weaker(policy, front, rule, request))
                {
                    self.fall_of(Warning::PrefixFallsThrough, front, &fall);
                }
            }
        }
    }

    fn fall_of(&mut self, warning: Warning, front: usize, fall: &Fall) {
        let (policy, document) = (&self.loaded.policy, &self.loaded.document);
        let name = |rule: usize| policy.rules.get(rule).map(|rule| rule.name.as_str()).unwrap_or_default();
        let (strict, weak) = (name(front), name(fall.rule));
        let (part, key, rule) = match warning {
            Warning::PrefixFallsThrough => ("the path before its `{*name}`", "path", "for that path"),
            _ => ("every method of its path", "methods", "for this path without `methods`"),
        };
        let message = format!(
            "`{strict}` does not protect {part}: `{}` is decided by `{weak}`, which {}",
            fall.request, fall.why
        );
        let path = format!("$.routes[{front}].match.{key}");
        let span = document.span(&format!("$.routes[{}].match.path", fall.rule));
        let related = vec![(span, format!("decides `{}`, and {}", fall.request, fall.why))];
        let help = format!("if this is not intended, add a route {rule} that requires what `{strict}` requires");
        let diagnostic = Diagnostic::warning(warning.code(), message, &*path, document.span(&path));
        self.found.push((warning, Diagnostic { related, ..diagnostic.help(help) }));
    }
}

fn fall(policy: &Policy, samples: &Samples<'_>, front: usize, behind: usize) -> Option<Fall> {
    let matches = |rule: usize| policy.source.routes.get(rule).map(|route| &route.matches);
    let (front_match, behind_match) = (matches(front)?, matches(behind)?);
    let methods = methods_beyond(front_match, behind_match);
    let fall = weaker(policy, front, behind, String::new())?;
    Some(Fall { request: samples.request(behind, front_match, behind_match, &methods)?, ..fall })
}

/// A request that a rule decides, if that rule is more permissive than the one in front.
fn weaker(policy: &Policy, front: usize, rule: usize, request: String) -> Option<Fall> {
    let why = more_permissive(policy, policy.rules.get(rule)?, policy.rules.get(front)?)?;
    // Another scope is not less: reading and changing one resource require different ones.
    (!why.is_incomparable()).then_some(Fall { rule, why, request })
}
