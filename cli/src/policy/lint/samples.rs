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
                Segment::Suffixed(_) | Segment::One | Segment::Rest => None,
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
        self.answered(rule, &self.path(one.path.segments(), other.path.segments()), one, other, methods)
    }

    /// The same with the literal text of the first rule in another case wherever the second one has none.
    pub(super) fn request_in_other_case(
        &self,
        rule: usize,
        one: &Match,
        other: &Match,
        methods: &[&str],
    ) -> Option<String> {
        let path = self.path(one.path.segments(), other.path.segments());
        let is_literal = |at: usize| matches!(other.path.segments().get(at), Some(Segment::Literal(_)));
        let segments = path.split('/').skip(1).enumerate();
        let swapped = segments.map(|(at, segment)| match is_literal(at) {
            true => format!("/{segment}"),
            // Only the case of letters: the digits of an encoded byte mean the same.
            false => format!("/{}", segment.to_ascii_uppercase()),
        });
        let swapped = swapped.collect::<String>();
        (swapped != path).then(|| self.answered(rule, &swapped, one, other, methods)).flatten()
    }

    /// The same for a path that these segments and the second rule match.
    pub(super) fn request_of_segments(
        &self,
        rule: usize,
        segments: &[Segment],
        one: &Match,
        other: &Match,
        methods: &[&str],
    ) -> Option<String> {
        self.answered(rule, &self.path(segments, other.path.segments()), one, other, methods)
    }

    /// For each request with this path and a method of the rule: which rule decides it, and the request.
    pub(super) fn decided(&self, segments: &[Segment], answers: &Match) -> Vec<(usize, String)> {
        let path = self.path(segments, segments);
        let methods = || candidates(answers, answers).filter(|method| answers.has(method));
        let decided = |host: &Option<String>, method: &str| {
            let RuleId(rule) = self.decides(host.as_deref(), method, &path)?;
            Some((rule, format!("{method} {}{path}", host.as_deref().unwrap_or_default())))
        };
        let hosts = self.hosts(answers, answers);
        hosts.iter().flat_map(|host| methods().filter_map(move |method| decided(host, method))).collect()
    }

    /// The rule that decides a request; no host is any.
    fn decides(&self, host: Option<&str>, method: &str, path: &str) -> Option<RuleId> {
        let host = Host::parse(host.unwrap_or(&self.word).as_bytes())?;
        self.policy.routes.find(&host, method, &Path::parse(path.as_bytes()).ok()?)
    }

    /// A request with this path and one of these methods that `rule` answers, for a host that both rules match.
    fn answered(&self, rule: usize, path: &str, one: &Match, other: &Match, methods: &[&str]) -> Option<String> {
        self.hosts(one, other).into_iter().find_map(|host| {
            let is_answered = |method: &&&str| self.decides(host.as_deref(), method, path) == Some(RuleId(rule));
            let method = methods.iter().find(is_answered)?;
            Some(format!("{method} {}{path}", host.unwrap_or_default()))
        })
    }

    fn path(&self, front: &[Segment], behind: &[Segment]) -> String {
        let mut path = String::new();
        for position in 0..front.len().max(behind.len()) {
            let both = [front, behind].map(|segments| segments.get(position));
            let literal = both.into_iter().flatten().find_map(|segment| match segment {
                Segment::Literal(text) => Some(&**text),
                _ => None,
            });
            let suffixes = both.into_iter().flatten().filter_map(|segment| match segment {
                Segment::Suffixed(text) => Some(&**text),
                _ => None,
            });
            // A word that ends with the longer of two suffixes ends with the other one too, or no path fits both.
            let suffix = suffixes.max_by_key(|suffix| suffix.len()).unwrap_or_default();
            path.push('/');
            match literal {
                Some(literal) => path.push_str(literal),
                None => path.extend([&*self.word, suffix]),
            }
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
