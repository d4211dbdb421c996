//! Markdown output, for a comment on a pull request (GitHub Flavored Markdown).

use super::phrases::{Item, SHOWN_MAX, plain, requests, routes, stub, summary};
use crate::policy::diff::verdict::{Standing, Verdict};

/// The findings as Markdown. Text from the policies only appears in code spans, so it cannot inject mark-up.
pub fn markdown(verdict: &Verdict<'_>) -> String {
    let mut out = format!("### Policy: {}\n", summary(verdict));
    let more_permissive: Vec<_> =
        verdict.more_permissive.iter().map(|(finding, standing)| (*finding, Some(*standing))).collect();
    section(&mut out, "More permissive", &more_permissive);
    section(&mut out, "Less permissive", &plain(&verdict.less_permissive));
    section(&mut out, "Other changes", &plain(&verdict.changed));
    if !verdict.unused.is_empty() {
        out += "\n#### Unused approvals: no such change was found\n\n";
        for approval in &verdict.unused {
            out += &format!("- {}\n", code(&approval.change));
        }
    }
    let unknown: Vec<_> = verdict.unknown().collect();
    if !unknown.is_empty() {
        let stub = stub(&unknown);
        let fence = "`".repeat(longest_run(&stub).max(2) + 1);
        out += &format!("\n<details><summary>To approve</summary>\n\n{fence}yaml\n{stub}{fence}\n\n</details>\n");
    }
    out
}

fn section(out: &mut String, title: &str, findings: &[Item<'_>]) {
    if findings.is_empty() {
        return;
    }
    *out += &format!("\n#### {title}\n\n");
    for (finding, standing) in findings.iter().take(SHOWN_MAX) {
        *out += &format!("- {}\n", code(&format!("{}: {}", finding.subject, finding.text)));
        if let Some(routes) = routes(finding) {
            *out += &format!("  - routes: {}\n", code(&routes));
        }
        if let Some(requests) = requests(finding) {
            *out += &format!("  - for example {}\n", code(&requests));
        }
        match standing {
            None => {}
            Some(Standing::NotApproved) => *out += "  - **not approved**\n",
            Some(Standing::Approved(approval)) => {
                let (by, reason) = (code(&approval.by), code(&approval.reason));
                *out += &format!("  - approved by {by} until {}: {reason}\n", approval.expires);
            }
            Some(Standing::Expired(approval)) => {
                *out += &format!("  - **approval expired**: until {}, by {}\n", approval.expires, code(&approval.by));
            }
        }
    }
    if let Some(more) = findings.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        *out += &format!("- and {more} more\n");
    }
}

/// A code span, delimited by more backticks than the text has in a row (CommonMark, section 6.1).
fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let ticks = "`".repeat(longest_run(&text) + 1);
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{space}{text}{space}{ticks}")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_can_not_be_left() {
        for (text, code_of) in [("a", "`a`"), ("`a`", "`` `a` ``"), ("a``b", "```a``b```"), ("a\nb", "`a b`")] {
            assert_eq!(code(text), code_of);
        }
    }
}
