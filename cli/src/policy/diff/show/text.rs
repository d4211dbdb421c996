//! Text output.

use super::phrases::{Item, SHOWN_MAX, plain, requests, routes, stub, summary};
use crate::policy::diff::verdict::{Standing, Verdict};

/// The findings as text, the more permissive ones first.
pub fn text(verdict: &Verdict<'_>) -> String {
    let mut out = format!("{}\n", summary(verdict));
    let more_permissive: Vec<_> =
        verdict.more_permissive.iter().map(|(finding, standing)| (*finding, Some(*standing))).collect();
    section(&mut out, "more permissive", &more_permissive);
    section(&mut out, "less permissive", &plain(&verdict.less_permissive));
    section(&mut out, "other changes", &plain(&verdict.changed));
    if !verdict.unused.is_empty() {
        out += "\nunused approvals: no such change was found\n";
        for approval in &verdict.unused {
            out += &format!("  {}\n    by {}, until {}\n", approval.change, approval.by, approval.expires);
        }
    }
    let unknown: Vec<_> = verdict.unknown().collect();
    if !unknown.is_empty() {
        out += "\nto approve, add these entries to the file passed as `--approved`\n\n";
        out += &stub(&unknown);
    }
    out
}

fn section(out: &mut String, title: &str, findings: &[Item<'_>]) {
    if findings.is_empty() {
        return;
    }
    *out += &format!("\n{title}\n");
    for (finding, standing) in findings.iter().take(SHOWN_MAX) {
        *out += &format!("  {}: {}\n", finding.subject, finding.text);
        if let Some(routes) = routes(finding) {
            *out += &format!("    routes: {routes}\n");
        }
        if let Some(requests) = requests(finding) {
            *out += &format!("    for example {requests}\n");
        }
        match standing {
            None => {}
            Some(Standing::NotApproved) => *out += "    not approved\n",
            Some(Standing::Approved(approval)) => {
                *out += &format!("    approved by {} until {}: {}\n", approval.by, approval.expires, approval.reason);
            }
            Some(Standing::Expired(approval)) => {
                *out += &format!(
                    "    approval expired: {} approved it until {}; renew it with a later `expires`\n",
                    approval.by, approval.expires
                );
            }
        }
    }
    if let Some(more) = findings.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        *out += &format!("  and {more} more; use `--output json` to see all\n");
    }
}
