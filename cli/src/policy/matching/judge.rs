//! Judges how much of an entry the rules cover: all, a part or nothing.

use super::{
    pattern::Pattern,
    rules::{Found, Rules},
    sample::{SampleRequest, general, shared},
};
use portcullis_engine::route::{Ambiguous, RuleId};
use std::{collections::BTreeMap, fmt};

/// The most examples of requests without a rule.
const MISSING_MAX: usize = 3;
/// Words to try where a regular expression leaves a segment open.
const WORDS: [&str; 6] = ["any", "1", "a", "A", "2026-01-01", "00000000-0000-4000-8000-000000000000"];

/// Requests described elsewhere: an operation of an API, a route of a proxy.
pub(in crate::policy) struct Entry<'a> {
    /// Their paths.
    pub(in crate::policy) paths: Paths,
    /// Their methods.
    pub(in crate::policy) methods: Methods,
    /// Hosts that represent all hosts of the entry.
    pub(in crate::policy) hosts: Vec<String>,
    /// Whether the entry contains a request.
    pub(in crate::policy) reaches: Box<dyn Fn(&SampleRequest) -> bool + 'a>,
}

/// The paths of an entry.
#[derive(Debug)]
pub(in crate::policy) enum Paths {
    /// All paths that match these patterns.
    Patterns(Vec<Pattern>),
    /// Paths represented by these samples; `reaches` decides about others.
    Samples(Vec<String>),
}

/// The methods of an entry.
#[derive(Debug)]
pub(in crate::policy) enum Methods {
    /// Every common method and every method that a rule names, if `reaches` agrees.
    Every,
    /// These.
    Only(Vec<String>),
}

/// How a policy covers an entry.
#[derive(Debug, Default)]
pub(in crate::policy) struct Coverage {
    /// The rules that answer some of its requests, each with an example.
    pub(in crate::policy) rules: BTreeMap<RuleId, Hit>,
    /// How much of the entry they answer.
    pub(in crate::policy) extent: Extent,
    /// Examples of requests that no rule answers.
    pub(in crate::policy) missing: Vec<SampleRequest>,
    /// Why some requests are refused before a rule is looked up.
    pub(in crate::policy) ambiguous: Option<Ambiguous>,
}

/// A rule that answers requests of an entry.
#[derive(Debug)]
pub(in crate::policy) struct Hit {
    /// An example.
    pub(in crate::policy) example: SampleRequest,
    /// Whether it is the fallback for requests that no more specific rule answers.
    pub(in crate::policy) general: bool,
}

/// How much of an entry has a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::policy) enum Extent {
    /// All requests.
    Full,
    /// Some requests.
    Part,
    /// No request.
    #[default]
    Nothing,
    /// The entry receives no requests: earlier entries take all of them.
    Unreached,
}

impl Paths {
    /// How reliable the result is, if it is not exact.
    pub(in crate::policy) fn remark(&self) -> Option<String> {
        match self {
            Self::Patterns(_) => None,
            Self::Samples(samples) => Some(format!("judged by {} sample paths", samples.len())),
        }
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("paths", &self.paths).field("methods", &self.methods).finish_non_exhaustive()
    }
}

/// Looks up the entry's sample requests.
pub(in crate::policy) fn judge(entry: &Entry<'_>, rules: &Rules<'_>) -> Coverage {
    let mut coverage = Coverage::default();
    let methods = match &entry.methods {
        Methods::Every => rules.methods(),
        Methods::Only(methods) => methods.clone(),
    };
    let mut answered = false;
    for path in general_paths(entry, rules) {
        for sample in product(&entry.hosts, &methods, &path).filter(|sample| (entry.reaches)(sample)) {
            answered |= coverage.note(rules, sample, true);
        }
    }
    for (index, answers) in rules.matches.iter().enumerate() {
        let paths = shared_paths(entry, &answers.path, rules);
        if paths.is_empty() {
            continue;
        }
        let mut named: Vec<String> = answers.methods.iter().map(|method| method.as_str().to_owned()).collect();
        if !named.is_empty() && answers.has("HEAD") && !named.iter().any(|method| method == "HEAD") {
            named.push("HEAD".to_owned());
        }
        let methods = if named.is_empty() { methods.clone() } else { named };
        let hosts: Vec<String> = match answers.hosts.as_slice() {
            [] => entry.hosts.clone(),
            patterns => {
                let own =
                    entry.hosts.iter().filter(|host| patterns.iter().any(|pattern| Rules::host_matches(pattern, host)));
                own.cloned().chain(patterns.iter().map(|pattern| rules.host_of(pattern))).collect()
            }
        };
        for path in paths {
            for sample in product(&hosts, &methods, &path).filter(|sample| is_of(entry, sample)) {
                if rules.find(&sample.host, &sample.method, &sample.path) == Found::Rule(RuleId(index)) {
                    answered |= coverage.note(rules, sample, false);
                }
            }
        }
    }
    coverage.extent = match (answered, coverage.missing.is_empty() && coverage.ambiguous.is_none()) {
        (true, true) => Extent::Full,
        (true, false) => Extent::Part,
        (false, true) => Extent::Unreached,
        (false, false) => Extent::Nothing,
    };
    coverage
}

fn is_of(entry: &Entry<'_>, sample: &SampleRequest) -> bool {
    let has_method = match &entry.methods {
        Methods::Every => true,
        Methods::Only(methods) => methods.contains(&sample.method),
    };
    has_method && (entry.reaches)(sample)
}

fn general_paths(entry: &Entry<'_>, rules: &Rules<'_>) -> Vec<String> {
    match &entry.paths {
        Paths::Patterns(patterns) => patterns.iter().flat_map(|pattern| general(pattern, rules)).collect(),
        Paths::Samples(samples) => samples.clone(),
    }
}

fn shared_paths(entry: &Entry<'_>, template: &portcullis_engine::route::Template, rules: &Rules<'_>) -> Vec<String> {
    match &entry.paths {
        Paths::Patterns(patterns) => {
            patterns.iter().flat_map(|pattern| shared(pattern, template, rules, &rules.word)).collect()
        }
        Paths::Samples(_) => {
            let everything = Pattern::of_prefix("/");
            WORDS.iter().flat_map(|word| shared(&everything, template, rules, word)).collect()
        }
    }
}

fn product<'w>(hosts: &'w [String], methods: &'w [String], path: &'w str) -> impl Iterator<Item = SampleRequest> + 'w {
    hosts.iter().flat_map(move |host| {
        methods.iter().map(move |method| SampleRequest {
            host: host.clone(),
            method: method.clone(),
            path: path.to_owned(),
        })
    })
}

impl Coverage {
    /// Records the result for a request and returns whether a rule answers it.
    fn note(&mut self, rules: &Rules<'_>, sample: SampleRequest, general: bool) -> bool {
        match rules.find(&sample.host, &sample.method, &sample.path) {
            Found::Rule(rule) => {
                let hit = self.rules.entry(rule).or_insert(Hit { example: sample, general });
                hit.general |= general;
                true
            }
            Found::Nothing => {
                if self.missing.len() < MISSING_MAX {
                    self.missing.push(sample);
                }
                false
            }
            Found::Ambiguous(why) => {
                self.ambiguous.get_or_insert(why);
                false
            }
        }
    }
}
