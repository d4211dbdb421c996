//! Cases, played: what was expected of each, and what became of it.

use crate::{
    exit::Trouble,
    policy::{
        cases::{Case, Cases, Expect},
        load::Loaded,
        needs::Needs,
        rehearsal::{Fate, Outcome, Rehearsal},
    },
};
use portcullis_engine::{authorize::Mark, route::RuleId};
use serde_json::Value;
use std::{
    collections::HashSet,
    time::{SystemTime, UNIX_EPOCH},
};

/// Files of cases that were played against a policy.
pub struct Run {
    /// The files.
    pub files: Vec<Cases>,
    /// What became of the cases of each.
    pub played: Vec<Vec<Played>>,
    /// Rules that decided no case.
    pub unreached: Vec<String>,
    /// How many rules there are.
    pub rules: usize,
    /// Whether the policy refuses nothing so far.
    pub is_shadow: bool,
}

/// What became of a case.
#[derive(Debug)]
pub struct Played {
    /// Where it is not what was expected.
    pub differences: Vec<Difference>,
    /// Why it is what it is, where it is not what was expected.
    pub why: String,
}

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key of the case that holds the expectation.
    pub key: &'static str,
    /// What it says.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl Difference {
    /// In words.
    pub fn words(&self) -> String {
        let subject = match self.key {
            "expect" => "",
            "then.expect" => "while it is open, ",
            key => key,
        };
        let space = if subject.is_empty() || subject.ends_with(' ') { "" } else { " " };
        format!("{subject}{space}expected `{}`, got `{}`", self.expected, self.got)
    }
}

impl Run {
    /// Plays files of cases against a policy.
    pub fn of(loaded: Loaded, files: Vec<Cases>) -> Result<Self, Trouble> {
        let Loaded { policy, document } = loaded;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut worker = Rehearsal::new(policy, u64::try_from(now.as_millis()).unwrap_or_default())?;
        let written = serde_json::from_str(document.json()).unwrap_or_default();
        let mut reached = HashSet::new();
        let mut played = Vec::with_capacity(files.len());
        for file in &files {
            let mut of_file = Vec::with_capacity(file.list.len());
            for case in &file.list {
                let outcome = worker.play(case);
                reached.extend(outcome.rule);
                let differences = differences(case, &outcome, &worker);
                // Only a failure is explained: there may be many cases, and a large policy.
                let why = if differences.is_empty() { String::new() } else { why(&outcome, &written, &worker) };
                of_file.push(Played { differences, why });
            }
            played.push(of_file);
        }
        let rules = &worker.policy().rules;
        let unreached = rules.iter().enumerate().filter(|(index, _)| !reached.contains(&RuleId(*index)));
        let unreached = unreached.map(|(_, rule)| rule.name.clone()).collect();
        Ok(Self { unreached, rules: rules.len(), is_shadow: worker.is_shadow(), files, played })
    }

    /// How many cases there are.
    pub fn count(&self) -> usize {
        self.played.iter().map(Vec::len).sum()
    }

    /// How many of them did not hold.
    pub fn failed(&self) -> usize {
        self.played.iter().flatten().filter(|played| !played.differences.is_empty()).count()
    }
}

fn differences(case: &Case, outcome: &Outcome, worker: &Rehearsal) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differ = |key: &'static str, expected, got| differences.push(Difference { key, expected, got });
    if !outcome.fate.is(case.expect) {
        differ("expect", expected(case.expect, "released"), got(&outcome.fate, "released"));
    }
    if let (Some(expected), Some(got)) = (case.status, status(&outcome.fate))
        && expected != got
    {
        differ("status", expected.to_string(), got.to_string());
    }
    let rule = outcome.rule.and_then(|RuleId(index)| worker.policy().rules.get(index)).map(|rule| rule.name.as_str());
    if let Some(expected) = &case.rule
        && rule != Some(expected)
    {
        differ("rule", expected.clone(), rule.unwrap_or("none").to_owned());
    }
    if let (Some(then), Some(fate)) = (&case.then, &outcome.then)
        && !fate.is(then.expect)
    {
        differ("then.expect", expected(then.expect, "open"), got(fate, "open"));
    }
    differences
}

fn expected(expect: Expect, good: &str) -> String {
    match expect {
        Expect::Released => good.to_owned(),
        Expect::Code(code) => code.name().to_owned(),
    }
}

fn got(fate: &Fate, good: &str) -> String {
    match fate {
        Fate::Released(_) => good.to_owned(),
        Fate::Refused(code, _) => code.name().to_owned(),
        Fate::Waits => "no decision".to_owned(),
    }
}

/// The status that the client sees; a released request has the upstream's.
fn status(fate: &Fate) -> Option<u16> {
    match fate {
        Fate::Refused(_, answer) => Some(answer.status),
        Fate::Released(_) | Fate::Waits => None,
    }
}

/// What decided, in a line.
fn why(outcome: &Outcome, written: &Value, worker: &Rehearsal) -> String {
    let needs = outcome.rule.and_then(|rule| Needs::of(worker.policy(), written, rule));
    let Some(rule) = outcome.rule.and_then(|RuleId(index)| worker.policy().rules.get(index)) else {
        return "no rule decided".to_owned();
    };
    let mut why = format!("rule `{}` decided", rule.name);
    match (&needs, &outcome.facts) {
        (Some(needs), Some(facts)) if !needs.missing(&facts.scopes).is_empty() => {
            why += &format!(
                "; it requires {}, and the token lacks {}",
                needs.words(),
                needs.missing(&facts.scopes).words()
            );
        }
        (Some(needs), _) => why += &format!("; it requires {}", needs.words()),
        _ => {}
    }
    match outcome.fate {
        Fate::Released(Some(Mark::OutageReadOnly)) => why += "; in an outage, it lets reads pass",
        Fate::Released(Some(Mark::OutageGrace)) => {
            why += "; in an outage, it lets pass what was granted a short while ago"
        }
        _ if outcome.asked => why += "; the session service was asked",
        _ => {}
    }
    why
}
