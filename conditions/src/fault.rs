//! A fault of a policy, with its place.

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

    /// A fault at some bytes of a file.
    pub(crate) fn at(
        code: &'static str,
        file: &str,
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        let start = floor(text, span.start);
        let end = floor(text, span.end.max(start));
        let before = text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column, start, end, ..Self::of_file(code, file, message) }
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
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

    #[test]
    fn a_fault_says_file_line_and_column() {
        let text = "// ä\n  permit(x);";
        let fault = Fault::at("permit", "a.cedar", text, 8..14, "no").help("write `forbid`");
        assert_eq!(fault.to_string(), "a.cedar:2:3: no; write `forbid`");
        assert_eq!(text.get(fault.start..fault.end), Some("permit"));
    }

    #[test]
    fn a_place_within_a_character_or_behind_the_end_is_moved_to_a_boundary() {
        assert_eq!(Fault::at("x", "a", "ä", 1..9, "no").column, 1);
        assert_eq!(Fault::at("x", "a", "ab", 7..9, "no").column, 3);
    }
}
