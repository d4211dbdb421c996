//! For a terminal.

use super::{Item, SHOWN_MAX, plain, requests, routes, stub, summary};
use crate::policy::diff::verdict::{Standing, Verdict};

/// The findings as plain text, what is easier first.
pub fn text(verdict: &Verdict<'_>) -> String {
    let mut out = format!("{}\n", summary(verdict));
    let easier: Vec<_> = verdict.easier.iter().map(|(finding, standing)| (*finding, Some(*standing))).collect();
    section(&mut out, "easier", &easier);
    section(&mut out, "harder", &plain(&verdict.harder));
    section(&mut out, "otherwise changed", &plain(&verdict.changed));
    if !verdict.unused.is_empty() {
        out += "\napprovals of changes that are not there\n";
        for approval in &verdict.unused {
            out += &format!("  {}\n    by {}, until {}\n", approval.change, approval.by, approval.expires);
        }
    }
    let unknown: Vec<_> = verdict.unknown().collect();
    if !unknown.is_empty() {
        out += "\nwhoever may approve this adds to the file that `--approved` names\n\n";
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
            *out += &format!("    as in {requests}\n");
        }
        match standing {
            None => {}
            Some(Standing::NotApproved) => *out += "    not approved\n",
            Some(Standing::Approved(approval)) => {
                *out += &format!("    approved by {}, until {}: {}\n", approval.by, approval.expires, approval.reason);
            }
            Some(Standing::Expired(approval)) => {
                *out += &format!(
                    "    not approved any more: {} did, until {}; `expires` needs another day\n",
                    approval.by, approval.expires
                );
            }
        }
    }
    if let Some(more) = findings.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        *out += &format!("  and {more} more; `--output json` has all\n");
    }
}
