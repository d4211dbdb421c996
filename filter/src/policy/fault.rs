//! What is wrong with a policy, and where.

use super::at::At;
use std::fmt;

/// The most faults that are reported; the rest are counted.
pub(super) const FAULTS_MAX: usize = 100;

/// Something wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: a JSONPath (RFC 9535) such as `$.routes[3].match.path`.
    pub path: String,
    /// What, and what to do about it.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Everything that is wrong with a policy, a line each when displayed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    list: Vec<Fault>,
    more: usize,
}

impl Faults {
    /// The faults, at most a hundred of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.list.iter()
    }

    /// How many faults were found beyond those. There may be others: no part is searched for more than a hundred.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Notes what is wrong with a place.
    pub fn add(&mut self, at: &At<'_>, message: impl fmt::Display) {
        if self.list.len() < FAULTS_MAX {
            self.list.push(Fault { path: at.to_string(), message: message.to_string() });
        } else {
            self.more += 1;
        }
    }

    /// The value, or a fault and nothing.
    pub fn check<T>(&mut self, at: &At<'_>, read: Result<T, impl fmt::Display>) -> Option<T> {
        read.map_err(|message| self.add(at, message)).ok()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.list.iter().enumerate() {
            let line = if number == 0 { "" } else { "\n" };
            write!(f, "{line}{fault}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand at least {more} more"),
        }
    }
}

impl std::error::Error for Faults {}
