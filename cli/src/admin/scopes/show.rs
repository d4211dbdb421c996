//! Shows what was used and what is stale: as text, JSON and Markdown.

use super::findings::{Finding, Kind};
use crate::{
    admin::{
        plain::{clipped, plain},
        usage::Usage,
        when,
    },
    error::Error,
    report::counted,
    table::List,
};
use anstyle::Style;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt::Write as _;

/// The longest cell, in characters.
const CELL_CHARS_MAX: usize = 200;

/// A value as JSON, with a final newline.
pub(super) fn json_text(value: &impl Serialize) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(value);
    Ok(text.map_err(|error| Error::failed(format_args!("cannot write the result as JSON: {error}")))? + "\n")
}

/// What was used, as two tables.
pub(super) fn usage_text(usage: &Usage, now: Timestamp) -> String {
    let mut scopes = List::new(&["SCOPE", "CLIENT", "ASKED", "GRANTED", "REFUSED", "LAST USED"], &[0, 1]);
    for of in &usage.scopes {
        let counts = [of.asked, of.granted, of.refused].map(|count| count.to_string());
        let names = [&of.scope, &of.client].map(|name| cell(name));
        let last = when::short(&of.last_used, now);
        scopes.row(Style::new(), names.into_iter().chain(counts).chain([last]).collect());
    }
    let mut routes = List::new(&["ROUTE", "CLIENT", "REQUESTS", "LAST USED"], &[0, 1]);
    for of in &usage.routes {
        let last = when::short(&of.last_used, now);
        routes.row(Style::new(), vec![cell(&of.route), cell(&of.client), of.count.to_string(), last]);
    }
    let since = plain(&usage.since);
    format!("since {since}\n\n{}\n{}", scopes.text(true), routes.text(true))
}

/// A name in a table; one that is empty stands for those that are not kept apart, or for no client.
fn cell(name: &str) -> String {
    if name.is_empty() { "-".to_owned() } else { clipped(name, CELL_CHARS_MAX) }
}

/// What was used, as Markdown.
pub(super) fn usage_markdown(usage: &Usage) -> String {
    let mut out = format!("### Usage since {}\n\n", code(&usage.since));
    out += "| scope | client | asked | granted | refused | last used |\n|---|---|---:|---:|---:|---|\n";
    for of in &usage.scopes {
        let (scope, client, last) = (code(&of.scope), code(&of.client), code(&of.last_used));
        // Writing to a text cannot fail.
        let _ = writeln!(out, "| {scope} | {client} | {} | {} | {} | {last} |", of.asked, of.granted, of.refused);
    }
    out += "\n| route | client | requests | last used |\n|---|---|---:|---|\n";
    for of in &usage.routes {
        let (route, client, last) = (code(&of.route), code(&of.client), code(&of.last_used));
        let _ = writeln!(out, "| {route} | {client} | {} | {last} |", of.count);
    }
    out
}

/// What is stale, as text.
pub(super) fn stale_text(findings: &[Finding], since: &str) -> String {
    let mut out = format!("since {}\n", plain(since));
    for (kind, findings) in by_kind(findings) {
        let _ = writeln!(out, "\n{}", kind.title());
        for finding in findings {
            let _ = writeln!(
                out,
                "  {}{}",
                clipped(&finding.name, CELL_CHARS_MAX),
                about(finding, |text| { clipped(text, CELL_CHARS_MAX) })
            );
        }
    }
    out
}

/// What is stale, as Markdown.
pub(super) fn stale_markdown(findings: &[Finding], since: &str) -> String {
    let mut out = format!("### Stale since {}: {}\n", code(since), counted(findings.len(), "finding"));
    for (kind, findings) in by_kind(findings) {
        let _ = writeln!(out, "\n#### {}\n", kind.title());
        for finding in findings {
            let _ = writeln!(out, "- {}{}", code(&finding.name), about(finding, code));
        }
    }
    out
}

/// What is stale, as JSON.
#[derive(Serialize)]
pub(super) struct Stale<'a> {
    pub(super) since: &'a str,
    pub(super) stale: &'a [Finding],
}

fn by_kind(findings: &[Finding]) -> impl Iterator<Item = (Kind, Vec<&Finding>)> {
    let of = |kind| (kind, findings.iter().filter(|finding| finding.kind == kind).collect::<Vec<_>>());
    Kind::ALL.into_iter().map(of).filter(|(_, findings)| !findings.is_empty())
}

/// `, client web, owner orders-team: due by 2027-01-31`
fn about(finding: &Finding, shown: impl Fn(&str) -> String) -> String {
    let part = |label: &str, text: &Option<String>| {
        text.as_ref().map(|text| format!(", {label} {}", if text.is_empty() { "-".to_owned() } else { shown(text) }))
    };
    let parts = [part("client", &finding.client), part("owner", &finding.owner)];
    let detail = finding.detail.as_ref().map(|detail| format!(": {}", shown(detail)));
    parts.into_iter().flatten().chain(detail).collect()
}

/// A code span that foreign text cannot leave, also in a table.
fn code(text: &str) -> String {
    if text.is_empty() {
        return "–".to_owned();
    }
    let text = clipped(text, CELL_CHARS_MAX).replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    match longest {
        0 => format!("{fence}{text}{fence}"),
        _ => format!("{fence} {text} {fence}"),
    }
}
