//! The coverage report, as text and as JSON.

use super::entry::Judged;
use crate::{
    policy::matching::{Extent, Hit, SampleRequest},
    report::counted,
};
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use portcullis_engine::{
    policy::{Access, Policy},
    route::RuleId,
};
use serde::Serialize;
use std::{collections::BTreeSet, fmt};

/// The most rules listed for an entry; JSON has all of them.
const RULES_SHOWN_MAX: usize = 4;

pub(super) const OPERATIONS: &str = "operation";
pub(super) const ROUTES: &str = "route";

/// The coverage of a policy.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The kind of the entries.
    kind: &'static str,
    summary: Summary,
    entries: Vec<Line>,
    /// Rules that do not answer any request of any entry.
    unreached_rules: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    covered: usize,
    in_part: usize,
    uncovered: usize,
    unreached: usize,
}

#[derive(Debug, Serialize)]
struct Line {
    requests: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    covered: &'static str,
    rules: Vec<Answer>,
    /// Examples of requests without a rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    no_rule: Vec<Request>,
    /// Why there is no rule, or why the result is unknown or not exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    rule: String,
    access: &'static str,
    /// Whether it is the fallback for requests that no more specific rule answers.
    general: bool,
    example: Request,
}

#[derive(Debug, Serialize)]
struct Request {
    method: String,
    host: String,
    path: String,
}

impl From<&SampleRequest> for Request {
    fn from(request: &SampleRequest) -> Self {
        Self { method: request.method.clone(), host: request.host.clone(), path: request.path.clone() }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.host, self.path)
    }
}

impl Report {
    pub(super) fn new(kind: &'static str, judged: &[Judged], policy: &Policy) -> Self {
        let reached: BTreeSet<RuleId> =
            judged.iter().flat_map(|judged| judged.coverage.rules.keys().copied()).collect();
        let unreached = policy.rules.iter().enumerate().filter(|(at, _)| !reached.contains(&RuleId(*at)));
        let count = |extent: Extent| judged.iter().filter(|judged| judged.extent() == extent).count();
        Self {
            kind,
            summary: Summary {
                covered: count(Extent::Full),
                in_part: count(Extent::Part),
                uncovered: count(Extent::Nothing),
                unreached: count(Extent::Unreached),
            },
            entries: judged.iter().map(|judged| line(judged, policy)).collect(),
            unreached_rules: unreached.map(|(_, rule)| rule.name.clone()).collect(),
        }
    }

    pub(super) fn json(&self) -> String {
        // Only a map whose keys are not text can fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

fn word(extent: Extent) -> &'static str {
    match extent {
        Extent::Full => "yes",
        Extent::Part => "in_part",
        Extent::Nothing => "no",
        Extent::Unreached => "unreached",
    }
}

fn line(judged: &Judged, policy: &Policy) -> Line {
    let mut rules: Vec<_> = judged.coverage.rules.iter().filter_map(|(rule, hit)| answer(*rule, hit, policy)).collect();
    rules.sort_by_key(|answer| !answer.general);
    let ambiguous = judged.coverage.ambiguous.map(|why| format!("requests are refused with `ambiguous_path`: {why}"));
    Line {
        requests: judged.label.clone(),
        name: judged.place.clone(),
        covered: word(judged.extent()),
        rules,
        no_rule: judged.coverage.missing.iter().map(Request::from).collect(),
        remark: ambiguous.or_else(|| judged.remark.clone()),
    }
}

fn answer(rule: RuleId, hit: &Hit, policy: &Policy) -> Option<Answer> {
    let rule = policy.rules.get(rule.0)?;
    let access = match rule.access {
        Access::Public => "public",
        Access::Optional => "optional",
        Access::Authenticated => "authenticated",
        Access::Scopes(_) => "scopes",
    };
    Some(Answer { rule: rule.name.clone(), access, general: hit.general, example: Request::from(&hit.example) })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, summary, .. } = self;
        self.section(f, "no", &format!("Not covered: requests of these {kind}s are refused with `no_route`"))?;
        self.section(
            f,
            "in_part",
            "Partially covered: some requests have a policy route, the others are refused with `no_route`",
        )?;
        self.section(f, "yes", "Covered")?;
        self.section(f, "unreached", "Never reached: earlier routes match all their requests")?;
        if !self.unreached_rules.is_empty() {
            let count = self.unreached_rules.len();
            writeln!(f, "Policy routes not used by any {kind} ({count})")?;
            self.unreached_rules.iter().try_for_each(|rule| writeln!(f, "  {rule}"))?;
            writeln!(f)?;
        }
        let Summary { covered, in_part, uncovered, unreached } = summary;
        write!(
            f,
            "{} checked: {covered} covered, {in_part} partially covered, {uncovered} not covered",
            counted(self.entries.len(), kind)
        )?;
        if *unreached > 0 {
            write!(f, ", {unreached} never reached")?;
        }
        write!(f, "; {} not used by any {kind}", counted(self.unreached_rules.len(), "policy route"))
    }
}

impl Report {
    fn section(&self, f: &mut fmt::Formatter<'_>, covered: &str, title: &str) -> fmt::Result {
        let lines: Vec<_> = self.entries.iter().filter(|line| line.covered == covered).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        for line in &lines {
            table.add_row([format!(" {}", plain(&line.requests)), plain(&line.name), line.details()]);
        }
        writeln!(f, "{title} ({})", lines.len())?;
        table.lines().try_for_each(|line| writeln!(f, "{}", line.trim_end()))?;
        writeln!(f)
    }
}

impl Line {
    /// The rules, and what is missing, in one cell.
    fn details(&self) -> String {
        let general = self.rules.iter().filter(|answer| answer.general).count();
        let rule = |answer: &Answer| match answer.general || general == 0 && self.rules.len() == 1 {
            true => answer.rule.clone(),
            false => format!("{} (for example {})", answer.rule, answer.example.path),
        };
        let mut lines: Vec<String> = self.rules.iter().take(RULES_SHOWN_MAX).map(rule).collect();
        if let Some(more) = self.rules.len().checked_sub(RULES_SHOWN_MAX).filter(|more| *more > 0) {
            lines.push(format!("and {more} more"));
        }
        if self.covered == "in_part" {
            lines.extend(self.no_rule.first().map(|request| format!("no policy route for {request}")));
        }
        lines.extend(self.remark.clone());
        lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
    }
}

/// Makes text from elsewhere safe for a terminal: on one line, without control characters.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] }).collect()
}
