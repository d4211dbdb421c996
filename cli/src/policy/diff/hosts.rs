//! The kinds of hosts that two route tables can distinguish.

use super::{budget::Budget, trees::Roots};
use portcullis_engine::route::Host;
use std::{collections::BTreeSet, fmt};

/// The longest suffix that leaves room for a label in front (RFC 1035, section 2.3.4).
const SUFFIX_BYTES_MAX: usize = 251;

/// A kind of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum HostKind<'h> {
    /// Hosts that no rule names.
    Other,
    /// Hosts under this name that no rule matches more specifically.
    Under(&'h str),
    /// This host.
    Exact(&'h str),
}

impl<'h> HostKind<'h> {
    /// The parent domains of such a host, longest first.
    pub(super) fn suffixes(self) -> impl Iterator<Item = &'h str> {
        let (own, mut rest) = match self {
            Self::Other => (None, ""),
            Self::Under(suffix) => (Some(suffix), suffix),
            Self::Exact(host) => (None, host),
        };
        own.into_iter().chain(std::iter::from_fn(move || {
            rest = rest.split_once('.')?.1;
            Some(rest)
        }))
    }
}

/// In the notation of a rule.
impl fmt::Display for HostKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => f.write_str("*"),
            Self::Under(suffix) => write!(f, "*.{suffix}"),
            Self::Exact(host) => f.write_str(host),
        }
    }
}

/// The hosts that the rules of either table name.
#[derive(Debug)]
pub(super) struct Hosts<'h> {
    exact: BTreeSet<&'h str>,
    under: BTreeSet<&'h str>,
}

impl<'h> Hosts<'h> {
    pub(super) fn of(old: &'h Roots<'_>, new: &'h Roots<'_>) -> Self {
        Self {
            exact: old.exact.keys().chain(new.exact.keys()).map(|host| &**host).collect(),
            under: old.under.keys().chain(new.under.keys()).map(|host| &**host).collect(),
        }
    }

    /// Every kind, each after its parent.
    pub(super) fn kinds(&self) -> impl Iterator<Item = HostKind<'h>> {
        let mut under: Vec<&str> = self.under.iter().copied().collect();
        under.sort_by_key(|suffix| suffix.len());
        let under = under.into_iter().map(HostKind::Under);
        [HostKind::Other].into_iter().chain(under).chain(self.exact.iter().copied().map(HostKind::Exact))
    }

    /// The kind of these hosts if no rule named them.
    pub(super) fn parent(&self, kind: HostKind<'h>) -> Option<HostKind<'h>> {
        let own = usize::from(matches!(kind, HostKind::Under(_)));
        let above = kind.suffixes().skip(own).find(|suffix| self.under.contains(suffix));
        match kind {
            HostKind::Other => None,
            HostKind::Under(_) | HostKind::Exact(_) => Some(above.map_or(HostKind::Other, HostKind::Under)),
        }
    }

    /// An example of a kind, if there is one.
    pub(super) fn example(&self, kind: HostKind<'_>, budget: &mut Budget) -> Option<String> {
        let is_named = |host: &str| {
            self.exact.contains(host) || HostKind::Exact(host).suffixes().any(|suffix| self.under.contains(suffix))
        };
        let example = match kind {
            HostKind::Exact(host) => host.to_owned(),
            HostKind::Other => fresh(["example.com", "example.org", "host.example"], "host", is_named),
            HostKind::Under(suffix) if suffix.len() > SUFFIX_BYTES_MAX => return None,
            HostKind::Under(suffix) => {
                let is_taken = |label: &str| self.exact.contains(format!("{label}.{suffix}").as_str());
                format!("{}.{suffix}", fresh(["any", "other", "x", "y", "z"], "x", is_taken))
            }
        };
        if Host::parse(example.as_bytes()).is_none() {
            // Such hosts may exist, but no example could be made.
            let short = match kind {
                HostKind::Under(suffix) => Some(format!("x.{suffix}")),
                HostKind::Exact(_) | HostKind::Other => None,
            };
            if let Some(short) =
                short.filter(|short| Host::parse(short.as_bytes()).is_some() && !self.exact.contains(short.as_str()))
            {
                return Some(short);
            }
            budget.exhaust();
            return None;
        }
        Some(example)
    }
}

/// The first name that is not taken.
pub(super) fn fresh<const N: usize>(names: [&str; N], stem: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (0_u32..).map(|number| format!("{stem}{number}"));
    let mut names = names.into_iter().map(str::to_owned).chain(numbered);
    names.find(|name| !is_taken(name)).unwrap_or_default()
}
