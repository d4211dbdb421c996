//! A sample of the refused tokens for the worker's log: anyone can send as many as they like, so one line a second is
//! written, and the others are counted.

use crate::{
    time::Monotonic,
    token::{Claimed, Reason},
};
use std::fmt;

/// The minimum time between two lines, in milliseconds.
const QUIET_MS: u64 = 1_000;

/// The most characters of an issuer or a `kid` that are written: both are the sender's choice.
const QUOTED_CHARS_MAX: usize = 128;

/// The tokens that were refused since the last line.
#[derive(Debug, Default)]
pub(super) struct RefusedTokens {
    /// The first of them.
    first: Option<RefusedToken>,
    /// The number of the others.
    others: u64,
    /// When the last line was written.
    written_at: Option<Monotonic>,
}

/// A refused token, as the log describes it; never the token itself.
#[derive(Debug, PartialEq, Eq)]
pub struct RefusedToken {
    pub(super) reason: Reason,
    /// What was found, in words.
    pub(super) words: String,
    pub(super) claimed: Claimed,
    others: u64,
}

impl RefusedToken {
    pub(super) fn new(reason: Reason, words: impl fmt::Display, claimed: Claimed) -> Self {
        Self { reason, words: words.to_string(), claimed, others: 0 }
    }

    /// What was found, in words.
    pub fn words(&self) -> &str {
        &self.words
    }
}

impl RefusedTokens {
    /// Notes a refused token; `describe` is only called if the token will have a line.
    pub(super) fn note(&mut self, describe: impl FnOnce() -> RefusedToken) {
        match self.first {
            None => self.first = Some(describe()),
            Some(_) => self.others = self.others.saturating_add(1),
        }
    }

    /// The line to write now, if any.
    pub(super) fn take(&mut self, now: Monotonic) -> Option<RefusedToken> {
        if self.written_at.is_some_and(|at| now.since(at) < QUIET_MS) {
            return None;
        }
        let first = self.first.take()?;
        self.written_at = Some(now);
        Some(RefusedToken { others: std::mem::take(&mut self.others), ..first })
    }
}

impl fmt::Display for RefusedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, words, claimed, others } = self;
        let (issuer, kid) = (quoted(claimed.issuer.as_deref()), quoted(claimed.kid.as_deref()));
        write!(f, "refused a token: reason={} issuer={issuer} kid={kid}: {words}", reason.name())?;
        match others {
            0 => Ok(()),
            1 => f.write_str("; 1 other token was refused since the line before"),
            _ => write!(f, "; {others} other tokens were refused since the line before"),
        }
    }
}

/// A text in quotes and printable ASCII, cut where it is too long; `-` if there is none.
fn quoted(text: Option<&str>) -> String {
    let Some(text) = text else { return "-".to_owned() };
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(QUOTED_CHARS_MAX).flat_map(char::escape_default).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("\"{start}\"{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(issuer: &str) -> RefusedToken {
        let claimed = Claimed { issuer: Some(issuer.to_owned()), kid: None };
        RefusedToken::new(Reason::Signature, "the signature is invalid", claimed)
    }

    fn line(refused: &mut RefusedTokens, now_ms: u64) -> Option<String> {
        refused.take(Monotonic(now_ms)).map(|line| line.to_string())
    }

    #[test]
    fn a_second_has_one_line_and_the_next_one_counts_the_rest() {
        let mut refused = RefusedTokens::default();
        assert_eq!(line(&mut refused, 0), None);
        refused.note(|| token("a"));
        let words = "kid=-: the signature is invalid";
        assert_eq!(line(&mut refused, 5), Some(format!("refused a token: reason=signature issuer=\"a\" {words}")));
        for issuer in ["b", "c", "d"] {
            refused.note(|| token(issuer));
            assert_eq!(line(&mut refused, 1_004), None);
        }
        let others = "2 other tokens were refused since the line before";
        let expected = format!("refused a token: reason=signature issuer=\"b\" {words}; {others}");
        assert_eq!(line(&mut refused, 1_005), Some(expected));
        assert_eq!(line(&mut refused, 9_000), None);
    }

    #[test]
    fn a_token_without_a_line_is_not_even_described() {
        let mut refused = RefusedTokens::default();
        refused.note(|| token("a"));
        refused.note(|| panic!("described"));
    }

    #[test]
    fn what_the_sender_chose_is_cut_and_escaped() {
        for (issuer, expected) in [
            ("https://id.example/", "\"https://id.example/\"".to_owned()),
            ("a\" kid=\"b\n[critical] x\u{1b}[0m", r#""a\" kid=\"b\n[critical] x\u{1b}[0m""#.to_owned()),
            ("ü\u{202e}", r#""\u{fc}\u{202e}""#.to_owned()),
            ("", "\"\"".to_owned()),
            (&"x".repeat(60_000), format!("\"{}\"…", "x".repeat(QUOTED_CHARS_MAX))),
        ] {
            assert_eq!(quoted(Some(issuer)), expected);
        }
        assert_eq!(quoted(None), "-");
    }
}
