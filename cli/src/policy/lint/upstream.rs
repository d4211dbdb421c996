//! Finds paths that an upstream may read in another way than the filter: without case, or with `%2F` decoded.

use super::{
    linter::Linter,
    overlap::Index,
    permissiveness::{MorePermissive, more_permissive},
    samples::{Samples, shared_methods},
    warning::Warning,
};
use crate::diagnostic::Diagnostic;
use portcullis_engine::{
    policy::Policy,
    route::{Match, Segment},
};

/// The most pairs of rules that are compared; further ones are not found.
const PAIRS_MAX: usize = 1_000_000;

/// A request that the filter decides by one rule, and an upstream takes for a request that another rule protects.
struct Misread {
    strict: usize,
    decides: usize,
    request: String,
    why: MorePermissive,
}

impl Linter<'_> {
    pub(super) fn upstream(&mut self) {
        self.case();
        self.decoded_slashes();
    }

    /// One warning for the whole policy: its mend is one key, or the knowledge that upstreams heed case.
    fn case(&mut self) {
        let policy = &self.loaded.policy;
        if policy.routes.ignores_case() {
            return;
        }
        let mut index = Index::of(&policy.routes);
        let samples = Samples::of(policy);
        let routes = policy.source.routes.iter().enumerate();
        let mut found = routes.filter(|(_, route)| has_letter(&route.matches)).filter_map(|(strict, route)| {
            let behind = index.behind(&route.matches);
            behind.into_iter().find_map(|behind| in_other_case(policy, &samples, strict, behind))
        });
        let Some(first) = found.next() else { return };
        let others = match found.count() {
            0 => String::new(),
            1 => "; the same holds for 1 more route".to_owned(),
            more => format!("; the same holds for {more} more routes"),
        };
        let name = |rule: usize| policy.rules.get(rule).map(|rule| rule.name.as_str()).unwrap_or_default();
        let message = format!(
            "`{}` protects its path in this case only: `{}` is decided by `{}`, which {}{others}",
            name(first.strict),
            first.request,
            name(first.decides),
            first.why,
        );
        let help = "if an upstream ignores case (as Express does by default), set `ignore_case: true`";
        self.misread(Warning::CaseMatters, &first, message, help.to_owned());
    }

    fn decoded_slashes(&mut self) {
        let policy = &self.loaded.policy;
        let samples = Samples::of(policy);
        let mut pairs = 0;
        let mut found = Vec::new();
        for (lax, route) in policy.source.routes.iter().enumerate().filter(|(_, route)| route.matches.encoded_slash) {
            pairs += policy.rules.len();
            if pairs > PAIRS_MAX {
                break;
            }
            found.extend(
                (0..policy.rules.len()).find_map(|strict| decoded(policy, &samples, lax, &route.matches, strict)),
            );
        }
        for misread in found {
            let policy = &self.loaded.policy;
            let name = |rule: usize| policy.rules.get(rule).map(|rule| rule.name.as_str()).unwrap_or_default();
            let (lax, strict) = (name(misread.decides), name(misread.strict));
            let message = format!(
                "an upstream that decodes `%2F` takes a request of `{lax}` for `{}`, which `{strict}` protects: `{lax}` {}",
                misread.request, misread.why
            );
            let help = format!(
                "make sure that the upstream does not decode `%2F` before it routes, or let `{lax}` require what `{strict}` requires"
            );
            self.misread(Warning::EncodedSlashDecoded, &misread, message, help);
        }
    }

    fn misread(&mut self, warning: Warning, misread: &Misread, message: String, help: String) {
        let document = &self.loaded.document;
        let (at, other) = match warning {
            Warning::EncodedSlashDecoded => {
                (format!("$.routes[{}].match.encoded_slash", misread.decides), misread.strict)
            }
            _ => (format!("$.routes[{}].match.path", misread.strict), misread.decides),
        };
        let label = match warning {
            Warning::EncodedSlashDecoded => format!("protects `{}`", misread.request),
            _ => format!("decides `{}`, and {}", misread.request, misread.why),
        };
        let related = vec![(document.span(&format!("$.routes[{other}].match.path")), label)];
        let diagnostic = Diagnostic::warning(warning.code(), message, &*at, document.span(&at)).help(help);
        self.found.push((warning, Diagnostic { related, ..diagnostic }));
    }
}

fn has_letter(answers: &Match) -> bool {
    answers.path.segments().iter().any(|segment| match segment {
        Segment::Literal(text) | Segment::Suffixed(text) => text.bytes().any(|byte| byte.is_ascii_alphabetic()),
        Segment::One | Segment::Rest => false,
    })
}

/// A path of a rule in another case, which a less specific and more permissive rule decides.
fn in_other_case(policy: &Policy, samples: &Samples<'_>, strict: usize, behind: usize) -> Option<Misread> {
    let matches = |rule: usize| policy.source.routes.get(rule).map(|route| &route.matches);
    let (own, other) = (matches(strict)?, matches(behind)?);
    let why = more_permissive(policy, policy.rules.get(behind)?, policy.rules.get(strict)?)?;
    // Another scope is not less: one resource beside others often requires its own.
    if why.is_incomparable() {
        return None;
    }
    let request = samples.request_in_other_case(behind, own, other, &shared_methods(own, other))?;
    Some(Misread { strict, decides: behind, request, why })
}

/// A path of a stricter rule that a rule with an encoded slash matches in its encoded form.
fn decoded(policy: &Policy, samples: &Samples<'_>, lax: usize, answers: &Match, strict: usize) -> Option<Misread> {
    let other = &policy.source.routes.get(strict)?.matches;
    let why = more_permissive(policy, policy.rules.get(lax)?, policy.rules.get(strict)?)?;
    let segments = answers.path.segments();
    let slots = segments.iter().enumerate().filter(|(_, segment)| **segment == Segment::One).map(|(at, _)| at);
    let request = slots.into_iter().find_map(|at| {
        let (before, after) = segments.split_at_checked(at)?;
        // As many more segments as the other path has, if it has no end of its own.
        let more = match other.path.segments() {
            [.., Segment::Rest] => 1,
            other => other.len().checked_sub(segments.len()).filter(|more| *more > 0)?,
        };
        let decoded = [before, &vec![Segment::One; more], after].concat();
        samples.request_of_segments(strict, &decoded, answers, other, &shared_methods(answers, other))
    })?;
    Some(Misread { strict, decides: lax, request, why })
}
