//! What is to be covered: an operation of an API or a route of an Envoy, and how far the policy covers it.

use crate::policy::matching::{Coverage, Entry, Extent, Rules, judge};

/// An operation or a route to be covered.
#[derive(Debug)]
pub(super) struct Described<'a> {
    /// Its method and path.
    pub(super) label: String,
    /// Its name or its place.
    pub(super) place: String,
    /// Its requests, or why they are unknown.
    pub(super) entry: Result<Entry<'a>, String>,
}

/// An operation or a route, and how far it is covered.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) label: String,
    pub(super) place: String,
    pub(super) coverage: Coverage,
    /// Why the result is unknown or not exact.
    pub(super) remark: Option<String>,
}

impl Judged {
    pub(super) fn extent(&self) -> Extent {
        self.coverage.extent
    }
}

/// Judges every entry.
pub(super) fn judged(described: Vec<Described<'_>>, rules: &Rules<'_>) -> Vec<Judged> {
    let judged = described.into_iter().map(|Described { label, place, entry }| match entry {
        Ok(entry) => Judged { label, place, coverage: judge(&entry, rules), remark: entry.paths.remark() },
        Err(error) => Judged { label, place, coverage: Coverage::default(), remark: Some(error) },
    });
    judged.collect()
}
