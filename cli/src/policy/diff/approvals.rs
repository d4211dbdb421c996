//! Which changes somebody has approved.

mod shape;

use crate::{
    document::Document,
    exit::Trouble,
    report::{self, Diagnostic, Severity},
};
use portcullis_filter::{policy::At, scope::Date};
use shape::Shape;
use std::{collections::HashMap, path::Path};

/// The most approvals of a file.
const APPROVALS_MAX: usize = 10_000;
/// The most faults that are reported.
const FAULTS_MAX: usize = 100;
/// The longest text, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
const KEYS: [&str; 4] = ["change", "by", "reason", "expires"];

/// That somebody approved a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The identity of the change.
    pub change: String,
    /// The person or the team.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The last day on which it counts.
    pub expires: Date,
}

/// Approvals, each of another change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals {
    list: Vec<Approval>,
}

impl Approvals {
    /// Reads a file of approvals. The trouble shows every fault at once.
    pub fn read(path: &Path) -> Result<Self, Trouble> {
        Self::of(&Document::read(path)?)
    }

    /// Reads the approvals of a document.
    pub fn of(document: &Document) -> Result<Self, Trouble> {
        let shape = Shape::read(document.json()).unwrap_or(Shape::Other("something else"));
        let mut reader = Reader { document, faults: Vec::new(), more: 0, seen: HashMap::new() };
        let list = reader.file(&shape);
        let Reader { faults, more, .. } = reader;
        match (faults.is_empty(), more) {
            (true, _) => Ok(Self { list }),
            (false, 0) => Err(Trouble::Faulty(report::render(document, &faults))),
            (false, more) => {
                let rest = report::plain(&format!("and {more} more faults"));
                Err(Trouble::Faulty(format!("{}\n\n{rest}", report::render(document, &faults))))
            }
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

struct Reader<'d> {
    document: &'d Document,
    faults: Vec<Diagnostic>,
    more: usize,
    seen: HashMap<String, usize>,
}

impl Reader<'_> {
    fn file(&mut self, shape: &Shape) -> Vec<Approval> {
        let at = At::ROOT;
        let Some(pairs) = self.object(shape, &at, &["approvals"]) else { return Vec::new() };
        let Some(list) = pairs.get("approvals") else {
            self.fault(&at, "`approvals` is required: a list");
            return Vec::new();
        };
        let at = at.key("approvals");
        let Shape::List(items) = list else {
            self.fault(&at, &format!("expected a list, found {}", list.kind()));
            return Vec::new();
        };
        if items.len() > APPROVALS_MAX {
            self.fault(&at, &format!("{} entries; at most {APPROVALS_MAX} are possible", items.len()));
            return Vec::new();
        }
        items.iter().enumerate().filter_map(|(index, item)| self.approval(item, &at.item(index), index)).collect()
    }

    fn approval(&mut self, shape: &Shape, at: &At<'_>, index: usize) -> Option<Approval> {
        let pairs = self.object(shape, at, &KEYS)?;
        let [change, by, reason, expires] = KEYS.map(|key| self.text(pairs.get(key).copied(), at, key));
        if let Some(change) = &change {
            let first = *self.seen.entry(change.clone()).or_insert(index);
            if first != index {
                self.fault(&at.key("change"), &format!("this change stands at `$.approvals[{first}]` already"));
            }
        }
        let expires = expires.and_then(|text| {
            let date = text.parse::<Date>();
            if date.is_err() {
                self.fault(&at.key("expires"), "expected a day such as `2027-03-01`");
            }
            date.ok()
        });
        Some(Approval { change: change?, by: by?, reason: reason?, expires: expires? })
    }

    fn object<'s>(&mut self, shape: &'s Shape, at: &At<'_>, known: &[&str]) -> Option<HashMap<&'s str, &'s Shape>> {
        let Shape::Object(pairs) = shape else {
            self.fault(at, &format!("expected an object, found {}", shape.kind()));
            return None;
        };
        let mut object = HashMap::new();
        for (key, value) in pairs {
            if !known.contains(&&**key) {
                let known: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
                self.fault(&at.key(key), &format!("unknown key; known here: {}", known.join(", ")));
            } else if object.insert(&**key, value).is_some() {
                self.fault(&at.key(key), "this key is given twice");
            }
        }
        Some(object)
    }

    fn text(&mut self, shape: Option<&Shape>, at: &At<'_>, key: &str) -> Option<String> {
        let message = match shape {
            None => format!("`{key}` is required"),
            Some(Shape::Text(text)) if text.trim().is_empty() => "must not be empty".to_owned(),
            Some(Shape::Text(text)) if text.len() > TEXT_BYTES_MAX => format!("longer than {TEXT_BYTES_MAX} bytes"),
            Some(Shape::Text(text)) if text.contains(char::is_control) => "has a control character".to_owned(),
            Some(Shape::Text(text)) => return Some(text.clone()),
            Some(other) => format!("expected text, found {}", other.kind()),
        };
        let at = if shape.is_some() { at.key(key) } else { *at };
        self.fault(&at, &message);
        None
    }

    fn fault(&mut self, at: &At<'_>, message: &str) {
        if self.faults.len() >= FAULTS_MAX {
            self.more += 1;
            return;
        }
        let path = at.to_string();
        let span = self.document.span(&path);
        self.faults.push(Diagnostic { severity: Severity::Error, message: message.to_owned(), path, span });
    }
}

#[cfg(test)]
mod tests;
