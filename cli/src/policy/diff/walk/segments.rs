//! The kinds of segments that tables distinguish: named by a literal, ending like a `{name}:literal`, with an encoded slash, or
//! none of these.

use portcullis_engine::route::{has_suffix, lower_case};
use std::{borrow::Cow, collections::BTreeSet, fmt};

/// A kind of segments. In order, each comes after those that it can be an exception from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind<'p> {
    /// A segment without a name.
    Open {
        /// Whether it contains an encoded slash.
        is_slashed: bool,
        /// The length of the suffix: the shorter one is the wider kind.
        length: usize,
        /// How it ends; empty if no template names its end.
        suffix: &'p str,
    },
    /// Exactly this segment.
    Named(&'p str),
}

impl<'p> Kind<'p> {
    /// Segments about which no template says anything.
    pub(super) const OTHER: Self = Self::Open { is_slashed: false, length: 0, suffix: "" };

    /// The kind that this one is an exception from, among all that are distinguished here; `None` if it is one from nothing
    /// at all: where no rule lets an encoded slash through, it is refused in both policies.
    pub(super) fn base(self, all: &BTreeSet<Self>) -> Option<Self> {
        let (text, is_slashed) = match self {
            Self::Named(text) => (text, false),
            Self::Open { suffix: "", .. } => return None,
            Self::Open { suffix, is_slashed, .. } => (suffix, is_slashed),
        };
        let wider = all.iter().rev().filter(|kind| match kind {
            Self::Named(_) => false,
            Self::Open { suffix, is_slashed: other, .. } => {
                *other == is_slashed && (suffix.is_empty() || has_suffix(text, suffix))
            }
        });
        // The longest suffix comes last in the order.
        Some(wider.copied().next().unwrap_or(Self::OTHER))
    }

    /// The same for a table that may not heed case.
    pub(super) fn in_case(self, heeds_case: bool) -> Spelt<'p> {
        match self {
            Self::Named(text) if heeds_case => Spelt { text: text.into(), is_named: true, is_slashed: false },
            Self::Named(text) => Spelt { text: lower_case(text), is_named: true, is_slashed: false },
            Self::Open { suffix, is_slashed, .. } => {
                let text = if heeds_case { suffix.into() } else { lower_case(suffix) };
                Spelt { text, is_named: false, is_slashed }
            }
        }
    }
}

/// A kind in the case of one table.
#[derive(Debug)]
pub(super) struct Spelt<'p> {
    text: Cow<'p, str>,
    is_named: bool,
    is_slashed: bool,
}

impl Spelt<'_> {
    pub(super) fn is_slashed(&self) -> bool {
        self.is_slashed
    }

    /// The segment, if it is a named one.
    pub(super) fn literal(&self) -> Option<&str> {
        self.is_named.then_some(&*self.text)
    }

    /// Whether a `{name}:literal` matches it. An open segment always has something before its suffix.
    pub(super) fn ends_with(&self, suffix: &str) -> bool {
        if self.is_named { has_suffix(&self.text, suffix) } else { self.text.ends_with(suffix) }
    }
}

/// The name of a kind in digests. A literal contains no brace.
impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Open { suffix, is_slashed: false, .. } => write!(f, "{{}}{suffix}"),
            Self::Open { suffix, is_slashed: true, .. } => write!(f, "{{/}}{suffix}"),
        }
    }
}
