//! What a comparison found, for people and for machines.

mod json;
mod markdown;
mod text;

pub use json::json;
pub use markdown::markdown;
pub use text::text;

use super::{
    finding::Finding,
    verdict::{Standing, Verdict},
    words::count,
};

/// The most findings of a direction that are shown to people; machines get all.
const SHOWN_MAX: usize = 200;
/// The most routes of a finding that are named to people.
const NAMED_MAX: usize = 10;

/// A finding and, if it is easier, whether it is approved.
type Item<'a> = (&'a Finding, Option<Standing<'a>>);

fn plain<'a>(findings: &[&'a Finding]) -> Vec<Item<'a>> {
    findings.iter().map(|finding| (*finding, None)).collect()
}

/// What the comparison comes to, in a sentence.
fn summary(verdict: &Verdict<'_>) -> String {
    let easier = verdict.easier.len();
    let open = verdict.open().count();
    match (easier, open) {
        (0, _) if verdict.harder.is_empty() && verdict.changed.is_empty() => "the policies mean the same".to_owned(),
        (0, _) => "nothing becomes easier".to_owned(),
        (easier, 0) => format!("{} something easier, approved", count(easier, "change makes", "changes make")),
        (easier, open) if easier == open => {
            format!("{} something easier, not approved", count(easier, "change makes", "changes make"))
        }
        (easier, open) => {
            format!("{} something easier, {open} of them not approved", count(easier, "change makes", "changes make"))
        }
    }
}

/// For which requests, in words; nothing where a change is about no particular ones.
fn requests(finding: &Finding) -> Option<String> {
    let examples: Vec<_> = finding.examples.iter().map(|at| format!("{} {}{}", at.method, at.host, at.path)).collect();
    if examples.is_empty() {
        return None;
    }
    let shown = examples.len() as u64;
    let more = match finding.kinds.saturating_sub(shown) {
        0 => String::new(),
        1 => ", and 1 more kind of request".to_owned(),
        more => format!(", and {more} more kinds of requests"),
    };
    Some(format!("{}{more}", examples.join(", ")))
}

/// The names of the routes, where the subject is none.
fn routes(finding: &Finding) -> Option<String> {
    if finding.routes.len() < 2 {
        return None;
    }
    let named: Vec<_> = finding.routes.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = match finding.routes.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("{}{more}", named.join(", ")))
}

/// What to add to a file of approvals. Nobody is named: that is for people to do.
fn stub(findings: &[&Finding]) -> String {
    let mut stub = String::from("approvals:\n");
    for finding in findings.iter().take(SHOWN_MAX) {
        // A single quote is all that needs an escape in single quotes (YAML 1.2, section 7.3.2).
        let change = finding.identity().replace('\'', "''");
        stub += &format!(
            "  - change: '{change}'\n    by:       # a person or a team\n    reason:\n    expires:  # the last day on which this counts, as in 2027-03-01\n"
        );
    }
    stub
}
