//! The rules of a policy and what they match, with words that no rule contains.

use super::SampleRequest;
use portcullis_engine::{
    policy::Policy,
    route::{self, Host, HostPattern, Match, RouteTable, RuleId},
};

/// Rules, and the table that finds them.
#[derive(Debug)]
pub(in crate::policy) struct Rules<'t> {
    pub(super) table: &'t RouteTable,
    pub(super) matches: Vec<Match>,
    /// A word that is not part of any literal of a rule.
    pub(super) word: String,
    /// The number of segments of the longest rule.
    pub(super) segments_max: usize,
    /// A host that no rule names.
    pub(super) host: String,
}

impl<'t> Rules<'t> {
    /// The rules of a table; a `RuleId` is an index into `matches`.
    pub(in crate::policy) fn new(table: &'t RouteTable, matches: Vec<Match>) -> Self {
        let segments = || matches.iter().flat_map(|answers| answers.path.segments());
        let literals: Vec<&str> = segments()
            .filter_map(|segment| match segment {
                route::Segment::Literal(text) | route::Segment::Suffixed(text) => Some(&**text),
                route::Segment::One | route::Segment::Rest => None,
            })
            .collect();
        let is_free =
            |word: &String| !literals.iter().any(|literal| literal.to_ascii_lowercase().contains(word.as_str()));
        let word = words().find(is_free).unwrap_or_default();
        let segments_max = matches.iter().map(|answers| answers.path.segments().len()).max().unwrap_or_default();
        let hosts = || matches.iter().flat_map(|answers| &answers.hosts);
        let is_free = |host: &String| !hosts().any(|pattern| Self::host_matches(pattern, host));
        let host = words().map(|word| format!("{word}.example")).find(is_free).unwrap_or_default();
        Self { table, matches, word, segments_max, host }
    }

    /// The rules of a policy.
    pub(in crate::policy) fn of(policy: &'t Policy) -> Self {
        Self::new(&policy.routes, policy.source.routes.iter().map(|route| route.matches.clone()).collect())
    }

    /// The common methods and every method that a rule names.
    pub(super) fn methods(&self) -> Vec<String> {
        let mut methods: Vec<String> =
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map(str::to_owned).into();
        for method in self.matches.iter().flat_map(|answers| &answers.methods) {
            if !methods.iter().any(|known| known == method.as_str()) {
                methods.push(method.as_str().to_owned());
            }
        }
        methods
    }

    /// A host that matches a pattern, with a word that no rule contains for its open part.
    pub(in crate::policy) fn host_of(&self, pattern: &HostPattern) -> String {
        match pattern {
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::Under(suffix) => format!("{}.{suffix}", self.host_word()),
        }
    }

    /// A host that no rule names.
    pub(in crate::policy) fn other_host(&self) -> &str {
        &self.host
    }

    /// The first label of [`Self::other_host`].
    pub(in crate::policy) fn host_word(&self) -> &str {
        self.host.split('.').next().unwrap_or_default()
    }

    /// What a rule matches.
    pub(in crate::policy) fn matching(&self, rule: RuleId) -> Option<&Match> {
        self.matches.get(rule.0)
    }

    /// Whether a pattern matches a host in its canonical spelling.
    pub(in crate::policy) fn host_matches(pattern: &HostPattern, host: &str) -> bool {
        match pattern {
            HostPattern::Exact(name) => **name == *host,
            HostPattern::Under(suffix) => host
                .strip_suffix(&**suffix)
                .and_then(|labels| labels.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }

    /// The rule of a table that answers a request.
    pub(in crate::policy) fn answering(table: &RouteTable, request: &SampleRequest) -> Option<RuleId> {
        match find(table, &request.host, &request.method, &request.path) {
            Found::Rule(rule) => Some(rule),
            Found::Nothing | Found::Ambiguous(_) => None,
        }
    }

    pub(super) fn find(&self, host: &str, method: &str, path: &str) -> Found {
        find(self.table, host, method, path)
    }
}

fn find(table: &RouteTable, host: &str, method: &str, path: &str) -> Found {
    match (Host::parse(host.as_bytes()), route::Path::parse(path.as_bytes())) {
        (_, Err(why)) => Found::Ambiguous(why),
        (None, _) => Found::Nothing,
        (Some(host), Ok(path)) => match table.find(&host, method, &path) {
            Some(rule) => Found::Rule(rule),
            None if path.has_encoded_slash() => Found::Ambiguous(route::Ambiguous::EncodedDelimiter),
            None => Found::Nothing,
        },
    }
}

/// The result of the filter's route lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Rule(RuleId),
    Nothing,
    Ambiguous(route::Ambiguous),
}

fn words() -> impl Iterator<Item = String> {
    std::iter::once("any".to_owned()).chain((1..).map(|number| format!("any{number}")))
}
