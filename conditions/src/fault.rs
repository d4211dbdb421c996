//! A fault of a policy, with its place.

use crate::Source;
use std::{fmt, ops::Range};

/// A fault of a policy: what is wrong where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 if the whole file is meant.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// A stable name for this kind of fault.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The place, as bytes of the file.
    pub start: usize,
    /// Where the place ends, as bytes of the file.
    pub end: usize,
}

impl Fault {
    /// A fault of a whole file or directory.
    pub(crate) fn of_file(code: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        let (file, message) = (file.into(), message.into());
        Self { file, line: 0, column: 0, code, message, help: None, start: 0, end: 0 }
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// A file of policies, for faults at places in it.
#[derive(Debug)]
pub(crate) struct Text<'s> {
    file: &'s str,
    pub(crate) text: &'s str,
    /// Where its lines begin.
    lines: Vec<usize>,
}

impl<'s> Text<'s> {
    pub(crate) fn of(source: &'s Source) -> Self {
        let ends = source.text.match_indices('\n').map(|(at, _)| at + 1);
        Self { file: &source.file, text: &source.text, lines: std::iter::once(0).chain(ends).collect() }
    }

    /// A fault at some bytes of it.
    pub(crate) fn fault(&self, code: &'static str, span: Range<usize>, message: impl Into<String>) -> Fault {
        let start = floor(self.text, span.start);
        let end = floor(self.text, span.end.max(start));
        let line = self.lines.partition_point(|begin| *begin <= start);
        let begin = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.text.get(begin..start).unwrap_or_default().chars().count() + 1;
        Fault { line, column, start, end, ..Fault::of_file(code, self.file, message) }
    }
}

/// The last boundary between characters that is not behind `index`.
fn floor(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index = index.saturating_sub(1);
    }
    index
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.file, self.message)?,
            _ => write!(out, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?,
        }
        match &self.help {
            Some(help) => write!(out, "; {help}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str, span: Range<usize>) -> Fault {
        let source = Source { file: "a.cedar".to_owned(), text: text.to_owned() };
        Text::of(&source).fault("permit", span, "no")
    }

    #[test]
    fn a_fault_says_file_line_and_column() {
        let text = "// ä\n  permit(x);";
        let fault = fault(text, 8..14).help("write `forbid`");
        assert_eq!(fault.to_string(), "a.cedar:2:3: no; write `forbid`");
        assert_eq!(text.get(fault.start..fault.end), Some("permit"));
    }

    #[test]
    fn every_byte_of_a_text_has_the_line_and_the_column_that_an_editor_shows() {
        for text in ["", "\n", "a\nbc\n\nd", "ä\r\nö\nx", "\n\n", "no line ends"] {
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let (before, found) = (text.get(..at).unwrap(), fault(text, at..at));
                let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
                assert_eq!((found.line, found.column), (before.matches('\n').count() + 1, column), "{text:?} {at}");
            }
        }
    }

    #[test]
    fn a_place_within_a_character_or_behind_the_end_is_moved_to_a_boundary() {
        assert_eq!(fault("ä", 1..9).column, 1);
        assert_eq!(fault("ab", 7..9).column, 3);
    }
}
