//! Prints errors and diagnostics with the lines they are about, as rustc does, or as JSON for editors.
//!
//! Everything is rendered with colours; `anstream` drops them where the output is not a terminal.

mod json;
mod shown;

pub(crate) use json::Record;

use crate::{
    diagnostic::{Diagnostic, Severity},
    document::{Diagnosed, Document},
    error::Error,
    exit::Exit,
    output,
};
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, renderer::DecorStyle};
use shown::Lines;

/// Prints an error on standard error and returns the exit code for it.
pub(crate) fn error(error: &Error) -> Exit {
    output::message(&text(error));
    Exit::from(error)
}

/// An error as text.
pub(crate) fn text(error: &Error) -> String {
    match error {
        Error::Failed(message) | Error::Invalid(message) | Error::Unproved(message) => titled(Severity::Error, message),
        Error::Rejected(diagnosed) => diagnosed_file(diagnosed),
        Error::Several(errors) => errors.iter().map(text).collect::<Vec<_>>().join("\n"),
    }
}

/// A file's diagnostics as text.
pub(crate) fn diagnosed_file(diagnosed: &Diagnosed) -> String {
    let shown = render(&diagnosed.document, &diagnosed.diagnostics);
    match diagnosed.more {
        0 => shown,
        more => format!("{shown}\n\nand at least {more} more"),
    }
}

/// Diagnostics of a file as text, in the order of its lines.
fn render(document: &Document, diagnostics: &[Diagnostic]) -> String {
    let shown: Vec<_> = ordered(diagnostics).into_iter().map(|diagnostic| one(document, diagnostic)).collect();
    shown.join("\n\n")
}

fn ordered(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut ordered: Vec<_> = diagnostics.iter().collect();
    ordered.sort_by_key(|diagnostic| diagnostic.span.start);
    ordered
}

fn one(document: &Document, diagnostic: &Diagnostic) -> String {
    let title = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    // The headline names the key: a list of headlines is enough to know what to change.
    let headline = match diagnostic.path.as_str() {
        "" | "$" => diagnostic.message.clone(),
        path => format!("{path}: {}", diagnostic.message),
    };
    let title = title.primary_title(headline.as_str()).id(diagnostic.code);
    let lines = Lines::of(document.text(), diagnostic);
    let primary = AnnotationKind::Primary.span(lines.within(&diagnostic.span)).label(&*diagnostic.path);
    let related = diagnostic
        .related
        .iter()
        .map(|(span, label)| AnnotationKind::Context.span(lines.within(span)).label(label.as_str()));
    let mut group = title.element(lines.snippet().path(document.name()).annotation(primary).annotations(related));
    let mut groups = Vec::new();
    match (&diagnostic.help, &diagnostic.replacement) {
        (help, Some(replacement)) => {
            let patch = Patch::new(lines.within(&diagnostic.span), replacement.as_str());
            let title = help.as_deref().unwrap_or("suggested fix");
            groups.push(Level::HELP.secondary_title(title).element(lines.snippet().patch(patch)));
        }
        (Some(help), None) => group = group.element(Level::HELP.message(help.as_str())),
        (None, None) => {}
    }
    groups.insert(0, group);
    renderer().render(&groups)
}

/// A warning that is not about a place in a file.
pub(crate) fn warning(message: &str) -> String {
    titled(Severity::Warning, message)
}

/// A message with its severity in front.
pub(crate) fn titled(severity: Severity, message: &str) -> String {
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    renderer().render(&[Group::with_title(level.primary_title(message))])
}

/// A number and the noun it counts: `1 route`, `2 routes`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// The renderer of all snippets.
pub(crate) fn renderer() -> Renderer {
    Renderer::styled().decor_style(DecorStyle::Ascii)
}
