//! Combines findings and approvals: what is still to be approved.

use super::{
    approvals::{Approval, Approvals},
    change::Direction,
    comparison::Comparison,
    finding::Finding,
};
use portcullis_engine::scope::Date;
use std::collections::HashSet;

/// Whether a change that makes the policy more permissive is approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Approved, and the approval is still valid.
    Approved(&'a Approval),
    /// Approved, but the approval has expired.
    Expired(&'a Approval),
    /// Not approved.
    NotApproved,
}

/// A comparison together with the approvals.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// What makes the policy more permissive, and whether it is approved.
    pub more_permissive: Vec<(&'a Finding, Standing<'a>)>,
    /// What makes the policy less permissive.
    pub less_permissive: Vec<&'a Finding>,
    /// What does neither.
    pub changed: Vec<&'a Finding>,
    /// Approvals of changes that were not found.
    pub unused: Vec<&'a Approval>,
}

impl<'a> Verdict<'a> {
    /// Applies the approvals that are valid on `today`.
    pub fn of(comparison: &'a Comparison, approvals: &'a Approvals, today: Date) -> Self {
        let standing = |finding: &Finding| match approvals.of_change(&finding.identity()) {
            Some(approval) if approval.expires >= today => Standing::Approved(approval),
            Some(approval) => Standing::Expired(approval),
            None => Standing::NotApproved,
        };
        let more_permissive: Vec<_> =
            comparison.to(Direction::MorePermissive).map(|finding| (finding, standing(finding))).collect();
        let found: HashSet<String> = more_permissive.iter().map(|(finding, _)| finding.identity()).collect();
        Self {
            more_permissive,
            less_permissive: comparison.to(Direction::LessPermissive).collect(),
            changed: comparison.to(Direction::Changed).collect(),
            unused: approvals.iter().filter(|approval| !found.contains(&approval.change)).collect(),
        }
    }

    /// What makes the policy more permissive and has no approval at all.
    pub fn unknown(&self) -> impl Iterator<Item = &'a Finding> {
        self.more_permissive
            .iter()
            .filter(|(_, standing)| *standing == Standing::NotApproved)
            .map(|(finding, _)| *finding)
    }

    /// What makes the policy more permissive and has no valid approval.
    pub fn open(&self) -> impl Iterator<Item = &'a Finding> {
        self.more_permissive
            .iter()
            .filter(|(_, standing)| !matches!(standing, Standing::Approved(_)))
            .map(|(finding, _)| *finding)
    }
}
