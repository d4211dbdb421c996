//! Finds rules that do not protect everything they match, because a more specific rule is more permissive.
//!
//! A reader takes `/orders/{id}` or `/admin/{*rest}` for the protection of everything it matches. A more specific rule that
//! requires the same or more is normal and not reported.

use super::{
    linter::Linter,
    overlap::Index,
    permissiveness::{MorePermissive, more_permissive},
    samples::{Samples, shared_methods},
    warning::Warning,
};
use crate::diagnostic::Diagnostic;
use portcullis_engine::{policy::Policy, route::Segment};
use std::collections::BTreeMap;

/// The most of the more specific rules that are shown.
const SHOWN_MAX: usize = 3;

/// A more specific rule, and an example request.
struct Shadow {
    rule: usize,
    why: MorePermissive,
    request: String,
}

impl Linter<'_> {
    pub(super) fn shadows(&mut self) {
        for (behind, shadows) in shadows(&self.loaded.policy) {
            self.shadowed(behind, &shadows);
        }
    }

    fn shadowed(&mut self, behind: usize, shadows: &[Shadow]) {
        let (policy, document) = (&self.loaded.policy, &self.loaded.document);
        let name = |rule: usize| policy.rules.get(rule).map(|rule| rule.name.as_str()).unwrap_or_default();
        let Some(first) = shadows.first() else { return };
        let others = match shadows.len() - 1 {
            0 => String::new(),
            1 => "; the same holds for 1 more route".to_owned(),
            others => format!("; the same holds for {others} more routes"),
        };
        let message = format!(
            "`{}` does not protect everything it matches: `{}` is decided by `{}`, which {}{others}",
            name(behind),
            first.request,
            name(first.rule),
            first.why,
        );
        let path = format!("$.routes[{behind}].match.path");
        let related = shadows.iter().take(SHOWN_MAX).map(|shadow| {
            let span = document.span(&format!("$.routes[{}].match.path", shadow.rule));
            (span, format!("decides `{}`, and {}", shadow.request, shadow.why))
        });
        let help =
            format!("if this is not intended, let `{}` require what `{}` requires", name(first.rule), name(behind));
        let diagnostic = Diagnostic::warning(Warning::RouteShadowed.code(), message, &*path, document.span(&path));
        let diagnostic = Diagnostic { related: related.collect(), ..diagnostic.help(help) };
        self.found.push((Warning::RouteShadowed, diagnostic));
    }
}

/// For each shadowed rule, the rules that shadow it, in the order of the policy.
fn shadows(policy: &Policy) -> BTreeMap<usize, Vec<Shadow>> {
    let mut index = Index::of(&policy.routes);
    let sample = Samples::of(policy);
    let mut found: BTreeMap<usize, Vec<Shadow>> = BTreeMap::new();
    for (front, route) in policy.source.routes.iter().enumerate() {
        for behind in index.behind(&route.matches) {
            let shadow = shadow(policy, &sample, front, behind);
            found.entry(behind).or_default().extend(shadow);
        }
    }
    found.retain(|_, shadows| !shadows.is_empty());
    found
}

fn shadow(policy: &Policy, sample: &Samples<'_>, front: usize, behind: usize) -> Option<Shadow> {
    let matches = |rule: usize| policy.source.routes.get(rule).map(|route| &route.matches);
    let (front_match, behind_match) = (matches(front)?, matches(behind)?);
    let why = more_permissive(policy, policy.rules.get(front)?, policy.rules.get(behind)?)?;
    let path = behind_match.path.segments();
    let is_subtree = path.last() == Some(&Segment::Rest);
    // A rule that matches everything is a fallback for requests without another rule, not a protection.
    let is_fallback = behind_match.hosts.is_empty() && !path.iter().any(|part| matches!(part, Segment::Literal(_)));
    // One resource among others may well require other scopes; inside a protected subtree, that deserves a look.
    if is_fallback || (why.is_incomparable() && !is_subtree) {
        return None;
    }
    let request = sample.request(front, front_match, behind_match, &shared_methods(front_match, behind_match))?;
    Some(Shadow { rule: front, why, request })
}
