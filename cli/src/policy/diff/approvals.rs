//! The file of approved changes.

use crate::{document::Document, error::Error, input, policy::load};
use portcullis_engine::{
    policy::{
        At, Faults,
        document::{self, Given, quoted},
    },
    scope::Date,
};
use serde::Deserialize;
use std::{collections::HashMap, path::Path};

/// The most approvals of a file.
const APPROVALS_MAX: usize = 10_000;
/// The longest value, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// The approval of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The identity of the change.
    pub change: String,
    /// The person or the team that approved it.
    pub by: String,
    /// The reason.
    pub reason: String,
    /// The last day on which it is valid.
    pub expires: Date,
}

/// Approvals, at most one for each change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals {
    list: Vec<Approval>,
}

impl Approvals {
    /// Reads a file of approvals. The error has all faults.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::of(input::document(path)?)
    }

    /// Reads the approvals of a document.
    pub fn of(document: Document) -> Result<Self, Error> {
        let mut faults = Faults::default();
        match read(document.json().as_bytes(), &mut faults) {
            Some(list) if faults.is_empty() => Ok(Self { list }),
            _ => Err(load::refused(document, &faults).into()),
        }
    }

    /// The approval of a change, whether or not it still counts.
    pub fn of_change(&self, identity: &str) -> Option<&Approval> {
        self.list.iter().find(|approval| approval.change == identity)
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Approval> {
        self.list.iter()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawApprovals {
    approvals: Given<Vec<Given<RawApproval>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawApproval {
    change: Given<String>,
    by: Given<String>,
    reason: Given<String>,
    expires: Given<String>,
}

fn read(json: &[u8], faults: &mut Faults) -> Option<Vec<Approval>> {
    let raw: RawApprovals = document::read(json, faults)?;
    let at = At::ROOT.key("approvals");
    let list = raw.approvals.required(&at, faults)?;
    if list.len() > APPROVALS_MAX {
        faults.add(&at, format_args!("{} approvals; the maximum is {APPROVALS_MAX}", list.len()));
        return None;
    }
    let mut seen = HashMap::new();
    let read = list.into_iter().enumerate().filter_map(|(index, raw)| {
        let at = at.item(index);
        let raw = raw.value()?;
        if let Given::Value(change) = &raw.change {
            let first = *seen.entry(change.clone()).or_insert(index);
            if first != index {
                faults
                    .add(&at.key("change"), format_args!("this change is already approved at `$.approvals[{first}]`"));
            }
        }
        approval(raw, &at, faults)
    });
    Some(read.collect())
}

fn approval(raw: RawApproval, at: &At<'_>, faults: &mut Faults) -> Option<Approval> {
    let mut read = |given: Given<String>, key| {
        let at = at.key(key);
        let text = given.required(&at, faults)?;
        faults.check(&at, one_line(text))
    };
    let (change, by) = (read(raw.change, "change"), read(raw.by, "by"));
    let (reason, expires) = (read(raw.reason, "reason"), read(raw.expires, "expires"));
    let expires = expires.and_then(|text| {
        let day = text.parse().map_err(|_| format!("{}: expected a date such as `2027-03-01`", quoted(&text)));
        faults.check(&at.key("expires"), day)
    });
    Some(Approval { change: change?, by: by?, reason: reason?, expires: expires? })
}

/// Text that is not empty, on one line: reviewers of the change will read it.
fn one_line(text: String) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("must not be empty".to_owned())
    } else if text.len() > TEXT_BYTES_MAX {
        Err(format!("longer than {TEXT_BYTES_MAX} bytes"))
    } else if text.contains(char::is_control) {
        Err("must not contain a control character".to_owned())
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
