//! Reads a policy that is JSON inside a YAML text.

use crate::document::{Document, Fault, Node};
use std::ops::Range;

/// Reads the JSON in a text at `span` of a file.
pub(super) fn read(json: &str, span: Range<usize>, file: &str) -> Result<Node, Fault> {
    let places = Places::of(json, span, file);
    // The filter reads such a text as JSON; YAML would accept more.
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(json) {
        let at = byte_of(json, error.line(), error.column());
        let message = format!("the policy in this text is not valid JSON: {error}");
        return Err(Fault { message, span: places.outer(at..at) });
    }
    let mut root = Document::tree(json).map_err(|fault| Fault { span: places.outer(fault.span), ..fault })?;
    root.shift(&|span| places.outer(span));
    Ok(root)
}

/// The byte offset of a serde_json position: lines from 1, bytes in the line from 1, 0 before the first.
fn byte_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column.saturating_sub(1)).min(text.len())
}

/// Maps the lines of the text to the file.
struct Places {
    /// The first byte of each line, in the text and in the file.
    lines: Vec<(usize, usize)>,
    whole: Range<usize>,
}

impl Places {
    fn of(inner: &str, whole: Range<usize>, file: &str) -> Self {
        let written = file.get(whole.clone()).unwrap_or_default();
        let lines = match written.find(inner) {
            Some(at) => vec![(0, whole.start + at)],
            None => Self::indented(inner, written, whole.start).unwrap_or_default(),
        };
        Self { lines, whole }
    }

    /// The lines of a literal block: in the file, each is indented with spaces.
    fn indented(inner: &str, written: &str, start: usize) -> Option<Vec<(usize, usize)>> {
        let mut lines = Vec::new();
        let mut inner_at = 0;
        let mut outer = written.split_inclusive('\n').scan(start, |at, line| {
            let start = *at;
            *at += line.len();
            Some((start, line.trim_end_matches(['\n', '\r'])))
        });
        for line in inner.split_inclusive('\n') {
            let content = line.trim_end_matches(['\n', '\r']);
            let (outer_at, spaces) = outer.find_map(|(at, written)| {
                let spaces = written.strip_suffix(content)?;
                spaces.bytes().all(|byte| byte == b' ').then_some((at, spaces.len()))
            })?;
            lines.push((inner_at, outer_at + spaces));
            inner_at += line.len();
        }
        Some(lines)
    }

    /// The bytes in the file; the whole text if they are unknown, as after an escape.
    fn outer(&self, span: Range<usize>) -> Range<usize> {
        match (self.byte(span.start), self.byte(span.end)) {
            (Some(start), Some(end)) if start <= end => start..end,
            _ => self.whole.clone(),
        }
    }

    fn byte(&self, inner: usize) -> Option<usize> {
        let line = self.lines.partition_point(|(start, _)| *start <= inner).checked_sub(1)?;
        self.lines.get(line).map(|(start, outer)| outer + inner - start)
    }
}
