//! What is wrong with a file, shown with the lines that are wrong, as rustc does.
//!
//! Everything is rendered with colours; `anstream` drops them where nobody would see them.

use crate::document::Document;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use std::ops::Range;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// What is wrong and what to write instead.
    pub message: String,
    /// Where: a JSONPath (RFC 9535).
    pub path: String,
    /// The bytes of the file that it is about.
    pub span: Range<usize>,
}

/// Shows a list of diagnostics of a file, in the order of its lines.
pub fn render(document: &Document, diagnostics: &[Diagnostic]) -> String {
    let mut ordered: Vec<_> = diagnostics.iter().collect();
    ordered.sort_by_key(|diagnostic| diagnostic.span.start);
    let shown: Vec<_> = ordered.into_iter().map(|diagnostic| one(document, diagnostic)).collect();
    shown.join("\n\n")
}

fn one(document: &Document, diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let annotation = AnnotationKind::Primary.span(diagnostic.span.clone()).label(&*diagnostic.path);
    let snippet = Snippet::source(document.text()).path(document.name()).annotation(annotation);
    renderer().render(&[level.primary_title(&*diagnostic.message).element(snippet)])
}

/// An error without a place.
pub fn plain(message: &str) -> String {
    renderer().render(&[Group::with_title(Level::ERROR.primary_title(message))])
}

/// A warning without a place.
pub fn warning(message: &str) -> String {
    renderer().render(&[Group::with_title(Level::WARNING.primary_title(message))])
}

/// How everything is rendered.
pub(crate) fn renderer() -> Renderer {
    Renderer::styled().decor_style(DecorStyle::Ascii)
}
