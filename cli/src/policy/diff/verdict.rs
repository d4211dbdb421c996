//! Findings and approvals together: what is left for somebody to approve.

use super::{
    approvals::{Approval, Approvals},
    change::Direction,
    finding::{Comparison, Finding},
};
use portcullis_engine::scope::Date;
use std::collections::HashSet;

/// Whether somebody approved a change that makes something easier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Yes, and it still counts.
    Approved(&'a Approval),
    /// Yes, but it does not count any more.
    Expired(&'a Approval),
    /// No.
    NotApproved,
}

/// A comparison in the light of approvals.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// What is easier, and whether somebody approved it.
    pub easier: Vec<(&'a Finding, Standing<'a>)>,
    /// What is harder.
    pub harder: Vec<&'a Finding>,
    /// What is neither.
    pub changed: Vec<&'a Finding>,
    /// Approvals of changes that are not there.
    pub unused: Vec<&'a Approval>,
}

impl<'a> Verdict<'a> {
    /// Judges a comparison on a day.
    pub fn of(comparison: &'a Comparison, approvals: &'a Approvals, today: Date) -> Self {
        let standing = |finding: &Finding| match approvals.of_change(&finding.identity()) {
            Some(approval) if approval.expires >= today => Standing::Approved(approval),
            Some(approval) => Standing::Expired(approval),
            None => Standing::NotApproved,
        };
        let easier: Vec<_> = comparison.to(Direction::Easier).map(|finding| (finding, standing(finding))).collect();
        let found: HashSet<String> = easier.iter().map(|(finding, _)| finding.identity()).collect();
        Self {
            easier,
            harder: comparison.to(Direction::Harder).collect(),
            changed: comparison.to(Direction::Changed).collect(),
            unused: approvals.iter().filter(|approval| !found.contains(&approval.change)).collect(),
        }
    }

    /// What is easier and stands in no approval.
    pub fn unknown(&self) -> impl Iterator<Item = &'a Finding> {
        self.easier.iter().filter(|(_, standing)| *standing == Standing::NotApproved).map(|(finding, _)| *finding)
    }

    /// What is easier without an approval that counts.
    pub fn open(&self) -> impl Iterator<Item = &'a Finding> {
        self.easier
            .iter()
            .filter(|(_, standing)| !matches!(standing, Standing::Approved(_)))
            .map(|(finding, _)| *finding)
    }
}
