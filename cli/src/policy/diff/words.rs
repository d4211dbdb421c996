//! Words for what is compared.

use portcullis_engine::policy::Outage;
use std::{fmt, time::Duration};

/// The most names that a sentence lists; the rest are counted.
const NAMES_MAX: usize = 12;

/// A duration as the policy writes it, in the largest unit that fits.
pub(super) fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit_ms, unit) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if ms != 0 && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}

/// An `on_outage` as the policy writes it.
pub(super) fn outage(outage: Outage) -> String {
    match outage {
        Outage::Deny => "deny".to_owned(),
        Outage::ReadOnly => "read_only".to_owned(),
        Outage::Grace(grace) => format!("{{grace: {}}}", duration(grace)),
    }
}

/// A number and what it counts.
pub(super) fn count(number: usize, one: &str, several: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {several}"),
    }
}

/// A list of words that stays readable.
pub(super) struct Elided {
    words: Vec<String>,
    last: &'static str,
}

impl Elided {
    /// Names, each in backticks, and the word before the last.
    pub(super) fn names<T: fmt::Display>(names: impl IntoIterator<Item = T>, last: &'static str) -> Self {
        Self::joined(names.into_iter().map(|name| format!("`{name}`")).collect(), last)
    }

    pub(super) fn and<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> Self {
        Self::names(names, "and")
    }

    pub(super) fn or<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> Self {
        Self::names(names, "or")
    }

    pub(super) fn joined(words: Vec<String>, last: &'static str) -> Self {
        Self { words, last }
    }
}

impl fmt::Display for Elided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = self.words.len().saturating_sub(NAMES_MAX);
        let shown = self.words.get(..NAMES_MAX).filter(|_| more > 0).unwrap_or(&self.words);
        let (last, first) = match (shown.split_last(), more) {
            (None, _) => return Ok(()),
            (Some(_), 1..) => return write!(f, "{} {} {more} more", shown.join(", "), self.last),
            (Some(split), 0) => split,
        };
        match first.is_empty() {
            true => f.write_str(last),
            false => write!(f, "{} {} {last}", first.join(", "), self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_their_largest_unit() {
        for (ms, words) in [
            (0, "0ms"),
            (200, "200ms"),
            (1_500, "1500ms"),
            (30_000, "30s"),
            (90_000, "90s"),
            (900_000, "15m"),
            (7_200_000, "2h"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), words);
        }
    }

    #[test]
    fn long_lists_are_counted() {
        assert_eq!(Elided::and(["a"]).to_string(), "`a`");
        assert_eq!(Elided::or(["a", "b", "c"]).to_string(), "`a`, `b` or `c`");
        assert!(Elided::and(0..15).to_string().ends_with("`11` and 3 more"));
        assert!(Elided::and(0..12).to_string().ends_with("`10` and `11`"));
    }
}
