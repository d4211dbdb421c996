//! Diagnostics as JSON, for editors and for services that annotate a change.

use super::ordered;
use crate::{
    diagnostic::{Diagnostic, Severity},
    document::Document,
};
use serde::Serialize;
use std::ops::Range;

/// A diagnostic with line and column. Both are counted from 1, columns in characters.
#[derive(Debug, Serialize)]
pub(crate) struct Record<'d> {
    file: &'d str,
    line: usize,
    column: usize,
    /// The first position after the place.
    end: Position,
    path: &'d str,
    severity: &'static str,
    code: &'d str,
    message: &'d str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'d str>,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<&'d str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<Related<'d>>,
}

#[derive(Debug, Serialize)]
struct Position {
    line: usize,
    column: usize,
}

#[derive(Debug, Serialize)]
struct Related<'d> {
    line: usize,
    column: usize,
    end: Position,
    message: &'d str,
}

impl<'d> Record<'d> {
    /// The diagnostics of a file, in the order of its lines.
    pub(crate) fn of(document: &'d Document, diagnostics: &'d [Diagnostic]) -> Vec<Self> {
        let lines = Positions::of(document.text());
        ordered(diagnostics).into_iter().map(|diagnostic| Self::one(document.name(), diagnostic, &lines)).collect()
    }

    fn one(file: &'d str, diagnostic: &'d Diagnostic, lines: &Positions<'_>) -> Self {
        let (start, end) = lines.both(&diagnostic.span);
        let related = diagnostic.related.iter().map(|(span, message)| {
            let (start, end) = lines.both(span);
            Related { line: start.line, column: start.column, end, message }
        });
        Self {
            file,
            line: start.line,
            column: start.column,
            end,
            path: &diagnostic.path,
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            code: diagnostic.code,
            message: &diagnostic.message,
            help: diagnostic.help.as_deref(),
            replacement: diagnostic.replacement.as_deref(),
            related: related.collect(),
        }
    }
}

struct Positions<'t> {
    text: &'t str,
    /// Where each line starts.
    starts: Vec<usize>,
}

impl<'t> Positions<'t> {
    fn of(text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    fn both(&self, span: &Range<usize>) -> (Position, Position) {
        (self.at(span.start), self.at(span.end))
    }

    fn at(&self, byte: usize) -> Position {
        let byte = self.text.floor_char_boundary(byte);
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = 1 + self.text.get(start..byte).unwrap_or_default().chars().count();
        Position { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_lines_and_characters_from_one() {
        let lines = Positions::of("a\nöb\r\n\nc");
        for (byte, line, column) in [(0, 1, 1), (1, 1, 2), (2, 2, 1), (4, 2, 2), (7, 3, 1), (8, 4, 1), (9, 4, 2)] {
            let at = lines.at(byte);
            assert_eq!((at.line, at.column), (line, column), "{byte}");
        }
    }
}
