//! A YAML or JSON file as it was written: its value, and where each part of it stands.

mod place;
mod tree;

use crate::{
    exit::Trouble,
    report::{Diagnostic, Report},
};
use place::Places;
use serde::Serialize;
use std::{fs, io::Read, ops::Range, path::Path};
pub(crate) use tree::{Content, Fault, Node};

/// The largest file that is read, in bytes; the filter reads no larger policy.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// A file that is YAML or JSON.
#[derive(Debug)]
pub struct Document {
    name: String,
    text: String,
    root: Node,
    json: String,
    places: Places,
}

/// A file's name for reports, and what it holds; `-` is standard input.
pub(crate) fn source(path: &Path) -> Result<(String, String), Trouble> {
    source_within(path, FILE_BYTES_MAX)
}

/// The same for files that may have another size.
pub(crate) fn source_within(path: &Path, bytes_max: u64) -> Result<(String, String), Trouble> {
    let name = path.display().to_string();
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().take(bytes_max + 1).read_to_string(&mut text),
        _ => fs::File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text)),
    };
    match read {
        Err(error) => Err(Trouble::failed(format_args!("`{name}` can't be read: {error}"))),
        Ok(_) if text.len() as u64 > bytes_max => {
            Err(Trouble::failed(format_args!("`{name}` is larger than {bytes_max} bytes")))
        }
        Ok(_) => Ok((name, text)),
    }
}

impl Document {
    /// Reads a file, or standard input for `-`.
    pub fn read(path: &Path) -> Result<Self, Trouble> {
        let (name, text) = source(path)?;
        Self::parse(name, text)
    }

    /// Reads a text; the name stands in reports.
    pub fn parse(name: impl Into<String>, text: impl Into<String>) -> Result<Self, Trouble> {
        Ok(Self::of_part(name.into(), text.into(), |_, roots| only(roots))?)
    }

    /// Reads the part of a text that `find` takes out of its YAML documents. Paths are relative to that part.
    pub(crate) fn of_part(
        name: String,
        text: String,
        find: impl FnOnce(&str, Vec<Node>) -> Result<Node, Fault>,
    ) -> Result<Self, Box<Report>> {
        let mut document = Self { name, text, root: Node::default(), json: String::new(), places: Places::default() };
        let found = Node::read(&document.text).and_then(|roots| find(&document.text, roots));
        let misfits = match found {
            Ok(part) => {
                document.json = part.to_json();
                document.places = Places::of(&part, &document.text);
                let misfits = misfits(&part);
                document.root = part;
                misfits
            }
            Err(fault) => vec![fault],
        };
        if misfits.is_empty() {
            return Ok(document);
        }
        let diagnostic =
            |fault: Fault| Diagnostic::error("invalid_document", fault.message, String::from("$"), fault.span);
        let diagnostics = misfits.into_iter().map(diagnostic).collect();
        Err(Box::new(Report { document, diagnostics, more: 0 }))
    }

    /// A text's one document as a tree.
    pub(crate) fn tree(text: &str) -> Result<Node, Fault> {
        Node::read(text).and_then(only)
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

    /// The bytes of the file to point at for a JSONPath (RFC 9535) as [`portcullis_engine::policy::At`] writes it: those of the
    /// value, or of the key of what has parts; for a part that is missing, those of what should hold it.
    pub fn span(&self, path: &str) -> Range<usize> {
        self.places.value(path)
    }

    /// The bytes of the key that names a part; those of [`Self::span`] where no key does.
    pub fn key_span(&self, path: &str) -> Range<usize> {
        self.places.key(path).unwrap_or_else(|| self.span(path))
    }

    /// The bytes of a key that is there already, for each time that it is given again; those of [`Self::key_span`] where it
    /// is not.
    pub fn repeated_key_span(&self, path: &str, time: usize) -> Range<usize> {
        self.places.repeated_key(path, time).unwrap_or_else(|| self.key_span(path))
    }
}

/// Reads a YAML text that others wrote, as JSON: what could be misread in a policy (a plain `no`) is what YAML 1.2 says it is.
///
/// # Errors
/// Says what is wrong, and in which line.
pub fn foreign_yaml_as_json(text: &str) -> Result<String, String> {
    let root = Node::read_foreign(text).and_then(only).and_then(|root| match misfits(&root).pop() {
        Some(misfit) => Err(misfit),
        None => Ok(root),
    });
    root.map(|root| root.to_json()).map_err(|fault| {
        let before = text.get(..fault.span.start).unwrap_or_default();
        format!("line {}: {}", before.matches('\n').count() + 1, fault.message)
    })
}

/// The one document that a file is expected to be.
pub(crate) fn only(roots: Vec<Node>) -> Result<Node, Fault> {
    let mut roots = roots.into_iter();
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok(root),
        (_, Some(second)) => {
            Err(Fault { message: "one document is expected, and this is a second".to_owned(), span: second.span })
        }
        (None, None) => Err(Fault { message: "the file is empty".to_owned(), span: 0..0 }),
    }
}

fn misfits(node: &Node) -> Vec<Fault> {
    let mut found = Vec::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        if let Content::Misfit(message) = &node.content {
            found.push(Fault { message: message.clone(), span: node.span.clone() });
        }
        open.extend(node.parts());
    }
    found
}

#[cfg(test)]
mod tests;
