//! Runs cases and compares the outcomes with the expected ones.

use crate::{
    error::Error,
    policy::{
        cases::{Case, Cases, Expect},
        load::Loaded,
        requirement::RequiredScopes,
        simulator::{Decision, Judged, Outcome, Simulator},
    },
};
use portcullis_conditions::{Decision as Conditions, Set};
use portcullis_engine::{authorize::Mark, route::RuleId};
use std::{
    collections::HashSet,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// The run of files of cases against a policy.
pub struct Run {
    /// The files.
    pub files: Vec<Cases>,
    /// The results for the cases of each file.
    pub played: Vec<Vec<Played>>,
    /// Rules that decided no case.
    pub unreached: Vec<String>,
    /// The number of rules.
    pub rules: usize,
    /// Whether requests without a rule are released in shadow mode.
    pub is_shadow: bool,
    /// The number of rules that refuse nothing because of shadow mode.
    pub shadow_rules: usize,
}

/// The result of a case.
#[derive(Debug)]
pub struct Played {
    /// Where it differs from what was expected.
    pub differences: Vec<Difference>,
    /// The reason for the outcome, if it differs.
    pub why: String,
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key of the case that holds the expectation.
    pub key: &'static str,
    /// The expected value.
    pub expected: String,
    /// The actual value.
    pub got: String,
}

impl Difference {
    /// As text.
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
    /// Runs files of cases against a policy.
    pub fn of(loaded: Loaded, files: Vec<Cases>) -> Result<Self, Error> {
        Self::with_conditions(loaded, files, None)
    }

    /// Runs files of cases against a policy, and conditions of the session service.
    pub fn with_conditions(loaded: Loaded, files: Vec<Cases>, conditions: Option<Arc<Set>>) -> Result<Self, Error> {
        let Loaded { policy, .. } = loaded;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut worker = Simulator::new(policy, u64::try_from(now.as_millis()).unwrap_or_default())?;
        if let Some(set) = conditions {
            worker = worker.with_conditions(set);
        }
        let mut reached = HashSet::new();
        let mut played = Vec::with_capacity(files.len());
        for file in &files {
            let mut of_file = Vec::with_capacity(file.list.len());
            for case in &file.list {
                let outcome = worker.play(case);
                let judged = worker.judged();
                reached.extend(outcome.rule);
                let differences = differences(case, &outcome, &worker);
                // Only failures are explained: there may be many cases, and the policy may be large.
                let why = if differences.is_empty() { String::new() } else { why(&outcome, &worker, judged) };
                of_file.push(Played { differences, why });
            }
            played.push(of_file);
        }
        let (is_shadow, shadow_rules) = (worker.is_shadow(None), worker.shadow_rules());
        let rules = &worker.policy().rules;
        let unreached = rules.iter().enumerate().filter(|(index, _)| !reached.contains(&RuleId(*index)));
        let unreached = unreached.map(|(_, rule)| rule.name.clone()).collect();
        Ok(Self { unreached, rules: rules.len(), is_shadow, shadow_rules, files, played })
    }

    /// The number of cases.
    pub fn count(&self) -> usize {
        self.played.iter().map(Vec::len).sum()
    }

    /// The number of failed cases.
    pub fn failed(&self) -> usize {
        self.played.iter().flatten().filter(|played| !played.differences.is_empty()).count()
    }
}

fn differences(case: &Case, outcome: &Outcome, worker: &Simulator) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differ = |key: &'static str, expected, got| differences.push(Difference { key, expected, got });
    if !outcome.decision.is(case.expect) {
        differ("expect", expected(case.expect, "released"), got(&outcome.decision, "released"));
    }
    if let (Some(expected), Some(got)) = (case.status, status(&outcome.decision))
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
    if let (Some(then), Some(decision)) = (&case.then, &outcome.then)
        && !decision.is(then.expect)
    {
        differ("then.expect", expected(then.expect, "open"), got(decision, "open"));
    }
    differences
}

fn expected(expect: Expect, good: &str) -> String {
    match expect {
        Expect::Released => good.to_owned(),
        Expect::Code(code) => code.name().to_owned(),
    }
}

fn got(decision: &Decision, good: &str) -> String {
    match decision {
        Decision::Released(_) => good.to_owned(),
        Decision::Refused(code, _) => code.name().to_owned(),
        Decision::Waits => "no decision".to_owned(),
    }
}

/// The status that the client receives. For a released request, the upstream determines it.
fn status(decision: &Decision) -> Option<u16> {
    match decision {
        Decision::Refused(_, answer) => Some(answer.status),
        Decision::Released(_) | Decision::Waits => None,
    }
}

/// What decided, on one line.
fn why(outcome: &Outcome, worker: &Simulator, judged: Option<Judged>) -> String {
    let needs = outcome.rule.and_then(|rule| RequiredScopes::of(worker.policy(), rule));
    let Some(rule) = outcome.rule.and_then(|RuleId(index)| worker.policy().rules.get(index)) else {
        return "no route decided".to_owned();
    };
    let mut why = format!("route `{}` decided", rule.name);
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
    match outcome.decision {
        Decision::Released(Some(Mark::OutageReadOnly)) => why += "; it lets reads pass during an outage",
        Decision::Released(Some(Mark::OutageGrace)) => {
            why += "; during an outage, it admits requests that were granted shortly before"
        }
        _ if outcome.asked => match judged.map(|judged| judged.decision) {
            Some(Conditions::Refused(refusal)) => why += &format!("; the condition `{}` refused it", refusal.id),
            Some(Conditions::Allowed) => why += "; no condition refused it",
            None => why += "; the session service was asked",
        },
        _ => {}
    }
    why
}
