//! Sample requests for two rules that overlap.

use super::overlap::hosts;
use portcullis_engine::{
    policy::Policy,
    route::{Host, HostPattern, Match, Method, Path, RuleId, Segment},
};
use std::collections::HashSet;

/// Methods to try besides those that the rules name.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// Makes requests that two rules match.
pub(super) struct Samples<'p> {
    policy: &'p Policy,
    /// A word that no literal segment equals and no host begins with: only parameters and wildcards match it.
    word: String,
}

impl<'p> Samples<'p> {
    pub(super) fn of(policy: &'p Policy) -> Self {
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

    /// A request with one of these methods that `rule` answers, for a host and a path that both rules match.
    pub(super) fn request(&self, rule: usize, one: &Match, other: &Match, methods: &[&str]) -> Option<String> {
        let path = self.path(one.path.segments(), other.path.segments());
        self.hosts(one, other).into_iter().find_map(|host| {
            let is_answered = |method: &&&str| {
                let host = Host::parse(host.as_deref().unwrap_or(&self.word).as_bytes());
                let path = Path::parse(path.as_bytes());
                let (Some(host), Ok(path)) = (host, path) else { return false };
                self.policy.routes.find(&host, method, &path) == Some(RuleId(rule))
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

/// Methods that both rules match.
pub(super) fn shared_methods<'m>(one: &'m Match, other: &'m Match) -> Vec<&'m str> {
    candidates(one, other).filter(|name| one.has(name) && other.has(name)).collect()
}

/// Methods that the second rule matches and the first one does not.
pub(super) fn methods_beyond<'m>(one: &'m Match, other: &'m Match) -> Vec<&'m str> {
    candidates(one, other).filter(|name| !one.has(name) && other.has(name)).collect()
}

/// The methods that two rules name, and those that every reader knows.
fn candidates<'m>(one: &'m Match, other: &'m Match) -> impl Iterator<Item = &'m str> {
    one.methods.iter().chain(&other.methods).map(Method::as_str).chain(METHODS)
}
