//! Lists of names in sentences, such as "`a`, `b` and `c`".

use std::fmt;

/// The most names in a sentence; the rest are counted.
pub(super) const NAMES_MAX: usize = 12;

/// A list of names, shortened to stay readable.
pub(super) struct NameList {
    names: Vec<String>,
    last: &'static str,
    max: usize,
}

impl NameList {
    /// Names, each in backticks; `last` is the word before the last one.
    pub(super) fn new<T: fmt::Display>(names: impl IntoIterator<Item = T>, last: &'static str) -> Self {
        Self::joined(names.into_iter().map(|name| format!("`{name}`")).collect(), last)
    }

    /// All of these.
    pub(super) fn and<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> Self {
        Self::new(names, "and")
    }

    /// One of these.
    pub(super) fn or<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> Self {
        Self::new(names, "or")
    }

    /// Texts that are already formatted.
    pub(super) fn joined(names: Vec<String>, last: &'static str) -> Self {
        Self { names, last, max: NAMES_MAX }
    }

    /// Shows at most this many names.
    pub(super) fn at_most(self, max: usize) -> Self {
        Self { max, ..self }
    }
}

impl fmt::Display for NameList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = self.names.len().saturating_sub(self.max);
        let shown = self.names.get(..self.max).filter(|_| more > 0).unwrap_or(&self.names);
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
    fn long_lists_are_counted() {
        assert_eq!(NameList::and(["a"]).to_string(), "`a`");
        assert_eq!(NameList::or(["a", "b", "c"]).to_string(), "`a`, `b` or `c`");
        assert!(NameList::and(0..15).to_string().ends_with("`11` and 3 more"));
        assert!(NameList::and(0..12).to_string().ends_with("`10` and `11`"));
        assert!(NameList::and(0..15).at_most(usize::MAX).to_string().ends_with("`13` and `14`"));
    }
}
