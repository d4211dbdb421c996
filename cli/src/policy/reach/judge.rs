//! What a policy makes of an entry: everything, a part, or nothing of it has a rule.

use super::{
    pattern::Pattern,
    rules::{Found, Rules},
    witness::{Witness, general, shared},
};
use portcullis_engine::route::{Ambiguous, RuleId};
use std::{collections::BTreeMap, fmt};

/// The most examples of what has no rule.
const MISSING_MAX: usize = 3;
/// What is tried where a regular expression leaves a word open.
const WORDS: [&str; 6] = ["any", "1", "a", "A", "2026-01-01", "00000000-0000-4000-8000-000000000000"];

/// Requests that somebody else describes: an operation of an API, a route of a proxy.
pub(in crate::policy) struct Entry<'a> {
    /// Their paths.
    pub(in crate::policy) paths: Paths,
    /// Their methods.
    pub(in crate::policy) methods: Methods,
    /// Hosts that speak for all of the entry's own.
    pub(in crate::policy) hosts: Vec<String>,
    /// Whether a request is one of them.
    pub(in crate::policy) reaches: Box<dyn Fn(&Witness) -> bool + 'a>,
}

/// The paths of an entry.
#[derive(Debug)]
pub(in crate::policy) enum Paths {
    /// All paths of these patterns.
    Patterns(Vec<Pattern>),
    /// Paths of which these are samples; `reaches` knows the others.
    Samples(Vec<String>),
}

/// The methods of an entry.
#[derive(Debug)]
pub(in crate::policy) enum Methods {
    /// Every one that is common or that a rule names, as far as `reaches` agrees.
    Every,
    /// These.
    Only(Vec<String>),
}

/// What a policy makes of an entry.
#[derive(Debug, Default)]
pub(in crate::policy) struct Coverage {
    /// The rules that answer some of its requests, each with one.
    pub(in crate::policy) rules: BTreeMap<RuleId, Hit>,
    /// How much of it they answer.
    pub(in crate::policy) extent: Extent,
    /// Requests of it that no rule answers.
    pub(in crate::policy) missing: Vec<Witness>,
    /// Why requests of it are refused before a rule is looked for.
    pub(in crate::policy) ambiguous: Option<Ambiguous>,
}

/// A rule answers requests of an entry.
#[derive(Debug)]
pub(in crate::policy) struct Hit {
    /// One of them.
    pub(in crate::policy) example: Witness,
    /// Whether it answers those that no more specific rule answers.
    pub(in crate::policy) general: bool,
}

/// How much of an entry has a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::policy) enum Extent {
    /// All.
    Full,
    /// A part.
    Part,
    /// Nothing.
    #[default]
    Nothing,
    /// There is nothing: entries before it take all its requests.
    Unreached,
}

impl Paths {
    /// What somebody should know of an answer about them.
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

/// Asks the table about the entry's witnesses.
pub(in crate::policy) fn judge(entry: &Entry<'_>, rules: &Rules<'_>) -> Coverage {
    let mut coverage = Coverage::default();
    let methods = match &entry.methods {
        Methods::Every => rules.methods(),
        Methods::Only(methods) => methods.clone(),
    };
    let mut answered = false;
    for path in general_paths(entry, rules) {
        for witness in product(&entry.hosts, &methods, &path).filter(|witness| (entry.reaches)(witness)) {
            answered |= coverage.note(rules, witness, true);
        }
    }
    for (index, answers) in rules.matches.iter().enumerate() {
        let paths = shared_paths(entry, &answers.path, rules);
        if paths.is_empty() {
            continue;
        }
        let named: Vec<String> = answers.methods.iter().map(|method| method.as_str().to_owned()).collect();
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
            for witness in product(&hosts, &methods, &path).filter(|witness| is_of(entry, witness)) {
                if rules.find(&witness.host, &witness.method, &witness.path) == Found::Rule(RuleId(index)) {
                    answered |= coverage.note(rules, witness, false);
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

fn is_of(entry: &Entry<'_>, witness: &Witness) -> bool {
    let has_method = match &entry.methods {
        Methods::Every => true,
        Methods::Only(methods) => methods.contains(&witness.method),
    };
    has_method && (entry.reaches)(witness)
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

fn product<'w>(hosts: &'w [String], methods: &'w [String], path: &'w str) -> impl Iterator<Item = Witness> + 'w {
    hosts.iter().flat_map(move |host| {
        methods.iter().map(move |method| Witness { host: host.clone(), method: method.clone(), path: path.to_owned() })
    })
}

impl Coverage {
    /// Notes what a request meets, and says whether a rule answers it.
    fn note(&mut self, rules: &Rules<'_>, witness: Witness, general: bool) -> bool {
        match rules.find(&witness.host, &witness.method, &witness.path) {
            Found::Rule(rule) => {
                let hit = self.rules.entry(rule).or_insert(Hit { example: witness, general });
                hit.general |= general;
                true
            }
            Found::Nothing => {
                if self.missing.len() < MISSING_MAX {
                    self.missing.push(witness);
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
