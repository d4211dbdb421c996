//! A finding about one place in a file.

use std::ops::Range;

/// How serious a finding is; errors sort first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is rejected.
    Error,
    /// The file is accepted, but somebody should look at it.
    Warning,
}

/// A finding about one place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How serious it is.
    pub severity: Severity,
    /// A stable name for this kind of finding.
    pub code: &'static str,
    /// What is wrong and, if there is no `help`, what to write instead.
    pub message: String,
    /// The place, as a JSONPath (RFC 9535).
    pub path: String,
    /// The place, as bytes of the file.
    pub span: Range<usize>,
    /// Related places, each with a label.
    pub related: Vec<(Range<usize>, String)>,
    /// What to do.
    pub help: Option<String>,
    /// What to write in place of `span`.
    pub replacement: Option<String>,
}

impl Diagnostic {
    /// A reason to reject a file.
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

    /// Adds advice on what to do.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}
