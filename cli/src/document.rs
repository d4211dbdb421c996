//! A YAML or JSON file as it was written: its value, and where each part of it stands.

mod tree;

use crate::{
    exit::Trouble,
    report::{self, Diagnostic, Severity},
};
use portcullis_filter::policy::At;
use serde::Serialize;
use std::{collections::HashMap, fs, io::Read, ops::Range, path::Path};
use tree::{Content, Node};

/// The largest file that is read, in bytes; the filter reads no larger policy.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// A file that is YAML or JSON.
#[derive(Debug)]
pub struct Document {
    name: String,
    text: String,
    root: Node,
    json: String,
    places: HashMap<String, Place>,
}

/// Where a value stands, in bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The key that names it, unless it is an item of a list.
    key: Option<Range<usize>>,
    /// The value; of one with parts, its beginning.
    value: Range<usize>,
    /// Whether the value has parts.
    has_parts: bool,
}

impl Document {
    /// Reads a file, or standard input for `-`.
    pub fn read(path: &Path) -> Result<Self, Trouble> {
        let name = path.display().to_string();
        let mut text = String::new();
        let read = match path.to_str() {
            Some("-") => std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text),
            _ => fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)),
        };
        match read {
            Err(error) => Err(Trouble::failed(format_args!("`{name}` can't be read: {error}"))),
            Ok(_) if text.len() as u64 > FILE_BYTES_MAX => {
                Err(Trouble::failed(format_args!("`{name}` is larger than {FILE_BYTES_MAX} bytes")))
            }
            Ok(_) => Self::parse(name, text),
        }
    }

    /// Reads a text; the name stands in reports.
    pub fn parse(name: impl Into<String>, text: impl Into<String>) -> Result<Self, Trouble> {
        let (name, text) = (name.into(), text.into());
        let mut document = Self { name, text, root: Node::default(), json: String::new(), places: HashMap::new() };
        match Node::read(&document.text) {
            Ok(root) => {
                document.json = root.to_json();
                record(&root, None, &At::ROOT, &mut document.places);
                document.root = root;
                Ok(document)
            }
            Err(fault) => {
                let severity = Severity::Error;
                let diagnostic =
                    Diagnostic { severity, message: fault.message, path: At::ROOT.to_string(), span: fault.span };
                Err(Trouble::Faulty(report::render(&document, &[diagnostic])))
            }
        }
    }

    /// What the file is called in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file's value as JSON. Keys that were given twice are in it twice, for the reader to report.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The file's value, to be written in another form: its keys keep their order.
    pub fn value(&self) -> impl Serialize {
        &self.root
    }

    /// The bytes of the file to point at for a JSONPath (RFC 9535) as [`At`] writes it; for a part that is missing, those of
    /// what should hold it.
    pub fn span(&self, path: &str) -> Range<usize> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return match &place.key {
                    Some(key) if place.has_parts => key.clone(),
                    _ => place.value.clone(),
                };
            }
            match path.rfind(['.', '[']).and_then(|end| path.get(..end)) {
                Some(parent) => path = parent,
                None => return 0..0,
            }
        }
    }

    /// The bytes of the key that names a part; those of [`Self::span`] where no key does.
    pub fn key_span(&self, path: &str) -> Range<usize> {
        let key = self.places.get(path).and_then(|place| place.key.clone());
        key.unwrap_or_else(|| self.span(path))
    }
}

/// Reads a YAML text that others wrote, as JSON: what could be misread in a policy (a plain `no`) is what YAML 1.2 says it is.
///
/// # Errors
/// Says what is wrong, and in which line.
pub fn foreign_yaml_as_json(text: &str) -> Result<String, String> {
    match Node::read_foreign(text) {
        Ok(root) => Ok(root.to_json()),
        Err(fault) => {
            let before = text.get(..fault.span.start).unwrap_or_default();
            Err(format!("line {}: {}", before.matches('\n').count() + 1, fault.message))
        }
    }
}

fn record(node: &Node, key: Option<Range<usize>>, at: &At<'_>, places: &mut HashMap<String, Place>) {
    let has_parts = matches!(node.content, Content::List(_) | Content::Object(_));
    places.insert(at.to_string(), Place { key, value: node.span.clone(), has_parts });
    match &node.content {
        Content::List(items) => {
            for (index, item) in items.iter().enumerate() {
                record(item, None, &at.item(index), places);
            }
        }
        Content::Object(pairs) => {
            for (key, value) in pairs {
                record(value, Some(key.span.clone()), &at.key(&key.name), places);
            }
        }
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => {}
    }
}

#[cfg(test)]
mod tests;
