//! What is wrong with a file, shown with the lines that are wrong, as rustc does, or as JSON for editors.
//!
//! Everything is rendered with colours; `anstream` drops them where nobody would see them.

mod json;

use crate::{document::Document, exit::Trouble};
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet, renderer::DecorStyle};
pub use json::Record;
use std::ops::Range;

/// How bad it is; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is read, and somebody should look at it.
    Warning,
}

/// Something to be said about a place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of thing it is: a stable name.
    pub code: &'static str,
    /// What is wrong and, where there is no help, what to write instead.
    pub message: String,
    /// Where: a JSONPath (RFC 9535).
    pub path: String,
    /// The bytes of the file that it is about.
    pub span: Range<usize>,
    /// Other places that have to do with it, and what.
    pub related: Vec<(Range<usize>, String)>,
    /// What to do.
    pub help: Option<String>,
    /// What to write in place of the bytes.
    pub replacement: Option<String>,
}

impl Diagnostic {
    /// A reason to refuse a file.
    pub fn error(code: &'static str, message: impl Into<String>, path: impl Into<String>, span: Range<usize>) -> Self {
        let (message, path) = (message.into(), path.into());
        let severity = Severity::Error;
        Self { severity, code, message, path, span, related: Vec::new(), help: None, replacement: None }
    }

    /// A reason to look at a file.
    pub fn warning(
        code: &'static str,
        message: impl Into<String>,
        path: impl Into<String>,
        span: Range<usize>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message, path, span) }
    }

    /// With what to do.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// What is wrong with a file.
#[derive(Debug)]
pub struct Report {
    /// The file.
    pub document: Document,
    /// What is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there are at least.
    pub more: usize,
}

impl Report {
    /// Shows it.
    pub fn render(&self) -> String {
        let shown = render(&self.document, &self.diagnostics);
        match self.more {
            0 => shown,
            more => format!("{shown}\n\nand at least {more} more"),
        }
    }
}

impl From<Box<Report>> for Trouble {
    fn from(report: Box<Report>) -> Self {
        Self::Faulty(report.render())
    }
}

/// Shows a list of diagnostics of a file, in the order of its lines.
pub fn render(document: &Document, diagnostics: &[Diagnostic]) -> String {
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
    let title = title.primary_title(&*diagnostic.message).id(diagnostic.code);
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
            let title = help.as_deref().unwrap_or("this was probably meant");
            groups.push(Level::HELP.secondary_title(title).element(lines.snippet().patch(patch)));
        }
        (Some(help), None) => group = group.element(Level::HELP.message(help.as_str())),
        (None, None) => {}
    }
    groups.insert(0, group);
    renderer().render(&groups)
}

/// The lines of a text that a diagnostic is about: a renderer need not look at the rest, which may be long.
struct Lines<'t> {
    text: &'t str,
    start: usize,
    first: usize,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str, diagnostic: &Diagnostic) -> Self {
        let spans = || std::iter::once(&diagnostic.span).chain(diagnostic.related.iter().map(|(span, _)| span));
        let start = text.floor_char_boundary(spans().map(|span| span.start).min().unwrap_or_default());
        let end = text.floor_char_boundary(spans().map(|span| span.end).max().unwrap_or_default());
        let before = text.get(..start).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = text.get(end..).and_then(|after| after.find('\n')).map_or(text.len(), |at| end + at);
        let first = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        Self { text: text.get(start..end).unwrap_or_default(), start, first }
    }

    fn snippet<T: Clone>(&self) -> Snippet<'t, T> {
        Snippet::source(self.text).line_start(self.first)
    }

    fn within(&self, span: &Range<usize>) -> Range<usize> {
        // The renderer would fall over half a character.
        let within = |at: usize| self.text.floor_char_boundary(at.saturating_sub(self.start));
        within(span.start)..within(span.end)
    }
}

/// An error without a place.
pub fn plain(message: &str) -> String {
    titled(Severity::Error, message)
}

/// A warning without a place.
pub fn warning(message: &str) -> String {
    titled(Severity::Warning, message)
}

/// A line that says how bad it is.
pub fn titled(severity: Severity, message: &str) -> String {
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    renderer().render(&[Group::with_title(level.primary_title(message))])
}

/// A number and what it counts, of which there may be one.
pub(crate) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// How everything is rendered.
pub(crate) fn renderer() -> Renderer {
    Renderer::styled().decor_style(DecorStyle::Ascii)
}
