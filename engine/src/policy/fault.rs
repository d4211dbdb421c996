//! What is wrong with a policy, and where.

use super::{json_path::At, text::quoted};
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
    /// What it is about.
    pub about: About,
    /// What was probably meant: another key, or another text as the value.
    pub meant: Option<String>,
}

/// What a fault is about: where a path leads to both a key and a value, the one that is to be pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The value.
    Value,
    /// The value: a scope or a set of that name is not declared.
    Undeclared,
    /// The key: its name is at fault.
    Key,
    /// The key: nothing of that name belongs there.
    UnknownKey,
    /// The key: it is there already. Such faults of one path come in the order of the text.
    RepeatedKey,
    /// The key: it is not there, and what should hold it is.
    MissingKey,
}

/// Why something is refused, in words, and what was probably meant. In a box: few values are refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong(Box<Reason>);

#[derive(Debug, PartialEq, Eq)]
struct Reason {
    message: String,
    about: About,
    meant: Option<String>,
}

impl Wrong {
    /// About something other than a value.
    #[cold]
    pub fn about(mut self, about: About) -> Self {
        self.0.about = about;
        self
    }

    /// With what was probably meant, if anything.
    #[cold]
    pub fn meant(mut self, meant: Option<&str>) -> Self {
        self.0.meant = meant.map(str::to_owned);
        self
    }

    /// With what is talked about in front of the message.
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

    /// The value, or a fault and nothing.
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
