//! The report of a run as text: failures with their places, rules without a case, and the count.

use super::run::{Difference, Played, Run};
use crate::{
    policy::cases::{Case, Cases},
    report::{self, counted},
};
use annotate_snippets::{AnnotationKind, Level, Snippet};
use anstyle::{AnsiColor, Style};

/// The most rules named in a note.
const NAMED_MAX: usize = 10;

pub(crate) fn text(run: &Run) -> String {
    let mut parts = Vec::new();
    for (file, played) in run.files.iter().zip(&run.played) {
        let pairs = file.list.iter().zip(played);
        parts.extend(
            pairs
                .filter(|(_, played)| !played.differences.is_empty())
                .map(|(case, played)| failure(file, case, played)),
        );
    }
    parts.extend(note(run));
    parts.extend(shadow(run));
    parts.push(count(run));
    parts.join("\n\n")
}

/// What shadow mode does to the decisions that the cases expect.
fn shadow(run: &Run) -> Option<String> {
    match (run.is_shadow, run.shadow_rules) {
        (true, _) => Some(
            "note: the policy is in shadow mode: routes without `mode: enforce` do not refuse any request yet, whatever the cases expect"
                .to_owned(),
        ),
        (false, 0) => None,
        (false, count) => {
            let routes = counted(count, "route");
            Some(format!("note: {routes} in shadow mode: they do not refuse any request yet, whatever the cases expect"))
        }
    }
}

fn failure(file: &Cases, case: &Case, played: &Played) -> String {
    let document = &file.document;
    let what: Vec<_> = played.differences.iter().map(Difference::words).collect();
    let mut snippet = Snippet::source(document.text()).path(document.name());
    for difference in &played.differences {
        let annotation = AnnotationKind::Primary.span(document.span(&format!("{}.{}", case.place, difference.key)));
        snippet = snippet.annotation(annotation.label(format!("got `{}`", difference.got)));
    }
    let request = AnnotationKind::Context.span(document.span(&format!("{}.request", case.place)));
    let title = format!("{}: {}", case.name, what.join(", "));
    let group = Level::ERROR.primary_title(title).element(snippet.annotation(request));
    report::renderer().render(&[group.element(Level::NOTE.message(played.why.clone()))])
}

fn note(run: &Run) -> Option<String> {
    if run.unreached.is_empty() {
        return None;
    }
    let named: Vec<_> = run.unreached.iter().take(NAMED_MAX).map(|name| format!("`{name}`")).collect();
    let more = run.unreached.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let (count, rules) = (run.unreached.len(), run.rules);
    Some(format!("note: {count} of {rules} routes are not reached by any case: {}{more}", named.join(", ")))
}

fn count(run: &Run) -> String {
    let (count, failed) = (run.count(), run.failed());
    let cases = counted(count, "case");
    let (colour, words) = match failed {
        0 => (AnsiColor::Green, format!("{cases}, all passed")),
        _ => (AnsiColor::Red, format!("{cases}, {failed} failed")),
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    format!("{style}{words}{style:#}")
}
