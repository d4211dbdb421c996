//! Finds rules that do not protect everything they match, because a more specific rule is more permissive.
//!
//! A reader takes `/orders/{id}` or `/admin/{*rest}` for the protection of everything it matches. A more specific rule that
//! requires the same or more is normal and not reported.

mod permissiveness;

use super::{
    linter::Linter,
    overlap::{Index, hosts},
    warning::Warning,
};
use crate::diagnostic::Diagnostic;
use permissiveness::{MorePermissive, more_permissive};
use portcullis_engine::{
    policy::Policy,
    route::{Host, HostPattern, Match, Path, RuleId, Segment},
};
use std::collections::{BTreeMap, HashSet};

/// The most of the more specific rules that are shown.
const SHOWN_MAX: usize = 3;
/// Methods to try if two rules match every method.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

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
            1 => "; the same holds for 1 more rule".to_owned(),
            others => format!("; the same holds for {others} more rules"),
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
    let request = sample.request(front, front_match, behind_match)?;
    Some(Shadow { rule: front, why, request })
}

/// Makes requests that two rules match.
struct Samples<'p> {
    policy: &'p Policy,
    /// A word that no literal segment equals and no host begins with: only parameters and wildcards match it.
    word: String,
}

impl<'p> Samples<'p> {
    fn of(policy: &'p Policy) -> Self {
        let mut words = HashSet::new();
        for answers in policy.source.routes.iter().map(|route| &route.matches) {
            words.extend(answers.path.segments().iter().filter_map(|segment| match segment {
                Segment::Literal(text) => Some(&**text),
                Segment::One | Segment::Rest => None,
            }));
            words.extend(answers.hosts.iter().filter_map(|host| match host {
                HostPattern::Exact(host) | HostPattern::Under(host) => host.split('.').next(),
            }));
        }
        let numbered = (1..).map(|number| format!("x{number}"));
        let mut candidates = std::iter::once("x".to_owned()).chain(numbered);
        let word = candidates.find(|word| !words.contains(word.as_str())).unwrap_or_default();
        Self { policy, word }
    }

    /// A request that the more specific rule answers and that the other one matches too.
    fn request(&self, front: usize, front_match: &Match, behind_match: &Match) -> Option<String> {
        let path = self.path(front_match.path.segments(), behind_match.path.segments());
        let methods = methods(front_match, behind_match);
        self.hosts(front_match, behind_match).into_iter().find_map(|host| {
            let is_answered = |method: &&&str| {
                let host = Host::parse(host.as_deref().unwrap_or(&self.word).as_bytes());
                let path = Path::parse(path.as_bytes());
                let (Some(host), Ok(path)) = (host, path) else { return false };
                self.policy.routes.find(&host, method, &path) == Some(RuleId(front))
            };
            let method = methods.iter().find(is_answered)?;
            Some(format!("{method} {}{path}", host.unwrap_or_default()))
        })
    }

    fn path(&self, front: &[Segment], behind: &[Segment]) -> String {
        let mut path = String::new();
        for position in 0..front.len().max(behind.len()) {
            let word = [front, behind].into_iter().find_map(|segments| match segments.get(position) {
                Some(Segment::Literal(text)) => Some(&**text),
                _ => None,
            });
            path.push('/');
            path.push_str(word.unwrap_or(&self.word));
        }
        path
    }

    /// Hosts that both match; `None` is any host, if neither rule names hosts.
    fn hosts(&self, front: &Match, behind: &Match) -> Vec<Option<String>> {
        let host = |pattern: &HostPattern| match pattern {
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::Under(suffix) => format!("{}.{suffix}", self.word),
        };
        let patterns = hosts(front).into_iter().chain(hosts(behind)).flatten();
        patterns
            .map(|pattern| Some(host(pattern)))
            .chain([None])
            .filter(|host| {
                let matches = |answers: &Match| {
                    answers.hosts.is_empty() || host.as_ref().is_some_and(|host| covers(answers, host))
                };
                matches(front) && matches(behind)
            })
            .collect()
    }
}

fn covers(answers: &Match, host: &str) -> bool {
    answers.hosts.iter().any(|pattern| match pattern {
        HostPattern::Exact(exact) => **exact == *host,
        HostPattern::Under(suffix) => host.strip_suffix(&**suffix).is_some_and(|labels| labels.ends_with('.')),
    })
}

fn methods<'m>(front: &'m Match, behind: &'m Match) -> Vec<&'m str> {
    let named: Vec<&str> = front.methods.iter().chain(&behind.methods).map(|method| method.as_str()).collect();
    if named.is_empty() {
        return METHODS.to_vec();
    }
    let has = |answers: &Match, name: &str| {
        answers.methods.is_empty() || answers.methods.iter().any(|method| method.as_str() == name)
    };
    named.into_iter().filter(|name| has(front, name) && has(behind, name)).collect()
}
