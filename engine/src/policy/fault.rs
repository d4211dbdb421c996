//! The faults of a policy, each with its place.

use super::{json_path::At, text::quoted};
use std::fmt;

/// The maximum number of reported faults; further ones are only counted.
pub(super) const FAULTS_MAX: usize = 100;

/// A fault in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The place: a JSONPath (RFC 9535) such as `$.routes[3].match.path`.
    pub path: String,
    /// What is wrong, and how to fix it.
    pub message: String,
    /// Whether the key or the value is at fault.
    pub about: About,
    /// The probable intention: another key, or another text as the value.
    pub meant: Option<String>,
}

/// What a fault is about. A path leads to both a key and a value; this selects which one tools highlight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The value.
    Value,
    /// The value: it refers to an undeclared scope or set.
    Undeclared,
    /// The key: its name is invalid.
    Key,
    /// The key: it is unknown in this place.
    UnknownKey,
    /// The key: it is a duplicate. Faults with the same path are in document order.
    RepeatedKey,
    /// The key: it is missing from the object that should contain it.
    MissingKey,
}

/// Why a value is refused, and what was probably meant. Boxed because few values are refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong(Box<Reason>);

#[derive(Debug, PartialEq, Eq)]
struct Reason {
    message: String,
    about: About,
    meant: Option<String>,
}

impl Wrong {
    /// Sets what the fault is about, if not the value.
    #[cold]
    pub fn about(mut self, about: About) -> Self {
        self.0.about = about;
        self
    }

    /// Adds what was probably meant, if known.
    #[cold]
    pub fn meant(mut self, meant: Option<&str>) -> Self {
        self.0.meant = meant.map(str::to_owned);
        self
    }

    /// Puts the quoted text in front of the message.
    #[cold]
    pub fn of(mut self, text: &str) -> Self {
        self.0.message = format!("{}: {}", quoted(text), self.0.message);
        self
    }

    #[cold]
    fn new(message: fmt::Arguments<'_>) -> Self {
        Self(Box::new(Reason { message: message.to_string(), about: About::Value, meant: None }))
    }
}

impl<M: fmt::Display> From<M> for Wrong {
    fn from(message: M) -> Self {
        Self::new(format_args!("{message}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// All faults of a policy; displayed with one fault per line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    list: Vec<Fault>,
    more: usize,
}

impl Faults {
    /// The reported faults, at most `FAULTS_MAX`.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.list.iter()
    }

    /// How many more faults were found. There can be others: each part stops being searched at a hundred faults.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Whether the policy is valid.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a fault.
    pub fn add(&mut self, at: &At<'_>, wrong: impl Into<Wrong>) {
        self.push(at, wrong.into());
    }

    #[cold]
    fn push(&mut self, at: &At<'_>, Wrong(reason): Wrong) {
        if self.list.len() < FAULTS_MAX {
            let Reason { message, about, meant } = *reason;
            self.list.push(Fault { path: at.to_string(), message, about, meant });
        } else {
            self.more += 1;
        }
    }

    /// Returns the value, or reports the fault and returns `None`.
    pub fn check<T>(&mut self, at: &At<'_>, read: Result<T, impl Into<Wrong>>) -> Option<T> {
        read.map_err(|wrong| self.add(at, wrong)).ok()
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
