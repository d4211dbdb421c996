//! Phrases that the formats share.

use crate::policy::diff::{
    finding::Finding,
    verdict::{Standing, Verdict},
};

/// The most findings per direction in the readable formats; JSON has all of them.
pub(super) const SHOWN_MAX: usize = 200;
/// The most routes of a finding that are named in the readable formats.
pub(super) const NAMED_MAX: usize = 10;

/// A finding and, if it makes the policy more permissive, whether it is approved.
pub(super) type Item<'a> = (&'a Finding, Option<Standing<'a>>);

pub(super) fn plain<'a>(findings: &[&'a Finding]) -> Vec<Item<'a>> {
    findings.iter().map(|finding| (*finding, None)).collect()
}

/// The result in one sentence.
pub(super) fn summary(verdict: &Verdict<'_>) -> String {
    let count = verdict.more_permissive.len();
    let open = verdict.open().count();
    let changes = if count == 1 { "1 change makes".to_owned() } else { format!("{count} changes make") };
    match (count, open) {
        (0, _) if verdict.less_permissive.is_empty() && verdict.changed.is_empty() => {
            "the policies have the same meaning".to_owned()
        }
        (0, _) => "no change makes the policy more permissive".to_owned(),
        (_, 0) => format!("{changes} the policy more permissive; approved"),
        (count, open) if count == open => format!("{changes} the policy more permissive; not approved"),
        (_, open) => format!("{changes} the policy more permissive; {open} not approved"),
    }
}

/// The affected requests as text, unless the change is not about particular ones.
pub(super) fn requests(finding: &Finding) -> Option<String> {
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

/// The names of the routes, if there are several: then the subject is not a name.
pub(super) fn routes(finding: &Finding) -> Option<String> {
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

/// The entries to add to a file of approvals. `by` is left empty: a person has to fill it in.
pub(super) fn stub(findings: &[&Finding]) -> String {
    let mut stub = String::from("approvals:\n");
    for finding in findings.iter().take(SHOWN_MAX) {
        // A single quote is all that needs an escape in single quotes (YAML 1.2, section 7.3.2).
        let change = finding.identity().replace('\'', "''");
        stub += &format!(
            "  - change: '{change}'\n    by:       # a person or a team\n    reason:\n    expires:  # the last day on which this is valid, such as 2027-03-01\n"
        );
    }
    stub
}
