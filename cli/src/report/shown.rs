//! The lines of a file that a diagnostic shows, without what must not be repeated: a credential that was written where its
//! source belongs, and the value of a key that nobody knows. What is printed here ends up in terminals, build logs and tickets.

use crate::diagnostic::Diagnostic;
use annotate_snippets::Snippet;
use std::ops::Range;

/// Keys whose values are secrets, or say where one is.
const SECRETS: [&str; 6] = ["credential", "client_secret", "secret", "password", "authorization", "private_key"];
/// Stands for what is not shown.
const HIDDEN: &str = "…";

/// The lines of a text that a diagnostic is about. The renderer is spared the rest, which can be megabytes.
pub(super) struct Lines {
    text: String,
    start: usize,
    first: usize,
    /// What is left out of the lines, in their order.
    hidden: Vec<Range<usize>>,
}

impl Lines {
    pub(super) fn of(text: &str, diagnostic: &Diagnostic) -> Self {
        let spans = || std::iter::once(&diagnostic.span).chain(diagnostic.related.iter().map(|(span, _)| span));
        let start = text.floor_char_boundary(spans().map(|span| span.start).min().unwrap_or_default());
        let end = text.floor_char_boundary(spans().map(|span| span.end).max().unwrap_or_default());
        let before = text.get(..start).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = text.get(end..).and_then(|after| after.find('\n')).map_or(text.len(), |at| end + at);
        let first = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        let lines = text.get(start..end).unwrap_or_default();
        let hidden = hidden(lines, start, diagnostic);
        Self { text: without(lines, &hidden), start, first, hidden }
    }

    pub(super) fn snippet<T: Clone>(&self) -> Snippet<'_, T> {
        Snippet::source(self.text.as_str()).line_start(self.first)
    }

    /// The same place in what is shown.
    pub(super) fn within(&self, span: &Range<usize>) -> Range<usize> {
        // The renderer panics if a span splits a character.
        let within = |at: usize, ends| self.text.floor_char_boundary(self.shown(at.saturating_sub(self.start), ends));
        within(span.start, false)..within(span.end, true)
    }

    /// An offset in the lines as one in what is shown. Within what is hidden, it is the start or the end of what stands for it.
    fn shown(&self, at: usize, ends: bool) -> usize {
        let mut shown = at;
        for range in &self.hidden {
            if at >= range.end {
                shown = shown + HIDDEN.len() - range.len();
            } else if at > range.start {
                return shown - (at - range.start) + if ends { HIDDEN.len() } else { 0 };
            }
        }
        shown
    }
}

fn without(lines: &str, hidden: &[Range<usize>]) -> String {
    let (mut shown, mut done) = (String::with_capacity(lines.len()), 0);
    for range in hidden {
        shown += lines.get(done..range.start).unwrap_or_default();
        shown += HIDDEN;
        done = range.end;
    }
    shown + lines.get(done..).unwrap_or_default()
}

/// The ranges of the lines that are not shown: sorted, and without overlaps.
fn hidden(lines: &str, start: usize, diagnostic: &Diagnostic) -> Vec<Range<usize>> {
    let is_secret = diagnostic.path.split(['.', '[', ']', '\'']).any(|key| SECRETS.contains(&key));
    let within = |at: usize| lines.floor_char_boundary(at.saturating_sub(start));
    let span = within(diagnostic.span.start)..within(diagnostic.span.end);
    let mut found = Vec::new();
    let mut at = 0;
    for line in lines.split_inclusive('\n') {
        let end = at + line.trim_end_matches(['\n', '\r']).len();
        let from = match diagnostic.code {
            "unknown_key" if (at..=end).contains(&span.end) => value_after(lines, span.end, end),
            _ => secret_in(line, is_secret).map(|from| at + from),
        };
        found.extend(from.filter(|from| *from < end).map(|from| from..end));
        at += line.len();
    }
    let is_value = lines.get(span.clone()).is_some_and(|value| !value.ends_with(':') && !value.starts_with('{'));
    let names_key = matches!(diagnostic.code, "unknown_key" | "invalid_key" | "missing_key" | "repeated_key");
    if is_secret && is_value && !names_key && !span.is_empty() && !found.iter().any(|range| overlap(range, &span)) {
        found.push(span);
        found.sort_by_key(|range| range.start);
    }
    found
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Where the value of the key that ends at `key_end` begins, if it stands in the same line.
fn value_after(lines: &str, key_end: usize, line_end: usize) -> Option<usize> {
    let rest = lines.get(key_end..line_end)?;
    let after = rest.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':')?;
    Some(line_end - after.trim_start().len())
}

/// Where the value of a secret key of this line begins; that of one that says where its secret is only if that is what is wrong.
fn secret_in(line: &str, is_wrong: bool) -> Option<usize> {
    let values = SECRETS.into_iter().filter_map(|key| {
        let (at, _) = line.match_indices(key).find(|(at, _)| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            !line.get(..*at).and_then(|before| before.chars().next_back()).is_some_and(is_part)
        })?;
        let end = line.trim_end().len();
        let value = value_after(line, at + key.len(), end)?;
        let text = line.get(value..end)?.trim_start_matches(['{', ' ', '"', '\'']);
        let is_source = ["env", "file"].iter().any(|source| text.strip_prefix(source).is_some_and(is_colon));
        (is_wrong || !is_source).then_some(value)
    });
    values.min()
}

fn is_colon(text: &str) -> bool {
    text.trim_start_matches(['"', '\'', ' ']).starts_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, code: &'static str, path: &str, marked: &str) -> (String, String) {
        let start = text.find(marked).expect("the place");
        let diagnostic = Diagnostic::error(code, "", path, start..start + marked.len());
        let lines = Lines::of(text, &diagnostic);
        let span = lines.within(&diagnostic.span);
        (lines.text.clone(), lines.text.get(span).unwrap_or_default().to_owned())
    }

    #[test]
    fn no_secret_and_no_value_of_an_unknown_key_is_repeated() {
        for (text, code, path, marked) in [
            ("session:\n  credential: hunter2\n", "invalid_value", "$.session.credential", "hunter2"),
            ("session: {cluster: s, credential: \"hunter2\"}", "invalid_value", "$.session.credential", "\"hunter2\""),
            ("session: {\"credential\": \"hunter2\", x: 1}", "invalid_value", "$.session.cluster", "session"),
            ("credential: {env: hunter2 and more}", "invalid_value", "$.session.credential.env", "hunter2 and more"),
            ("credential:\n  env: hunter2 and more\n", "invalid_value", "$.session.credential.env", "hunter2 and more"),
            ("credential:\n  hunter2\n", "invalid_value", "$.session.credential", "hunter2"),
            ("credentail: hunter2\n", "unknown_key", "$.session.credentail", "credentail"),
            ("session: {'pass': 'hunter2', timeout: 1s}", "unknown_key", "$.session.pass", "'pass'"),
            ("a: 1\nkey : \"hunter2\" # x", "unknown_key", "$.key", "key"),
        ] {
            let (lines, at) = shown(text, code, path, marked);
            assert!(!lines.contains("hunter2") && lines.contains(HIDDEN), "{text}: {lines}");
            let is_key = code == "unknown_key" || marked == "session";
            assert_eq!(at, if is_key { marked } else { HIDDEN }, "{text}: {lines}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown_as_it_is() {
        for (text, path, marked) in [
            ("mode: shadwo # credential", "$.mode", "shadwo"),
            ("session: {credential: {env: NAME}, timeout: 1}", "$.session.timeout", "1}"),
            ("token_from: [cooky]", "$.token_from[0]", "cooky"),
        ] {
            assert_eq!(shown(text, "invalid_value", path, marked), (text.to_owned(), marked.to_owned()));
        }
    }
}
