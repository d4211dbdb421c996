//! A YAML or JSON file: its value, and the place of every part in the text.

mod place;
mod tree;

use crate::diagnostic::Diagnostic;
use place::Places;
use serde::Serialize;
use std::ops::Range;
pub(crate) use tree::{Content, Fault, Node};

/// A file that is YAML or JSON.
#[derive(Debug, Clone)]
pub struct Document {
    name: String,
    text: String,
    root: Node,
    json: String,
    places: Places,
}

/// A document and what was found in it.
#[derive(Debug)]
pub struct Diagnosed {
    /// The document.
    pub document: Document,
    /// The findings, in any order.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there are at least, beyond the limit of what is kept.
    pub more: usize,
}

impl Document {
    /// Parses a text that is one document; `name` is what messages call it.
    ///
    /// # Errors
    /// Every fault of the document.
    pub fn parse(name: impl Into<String>, text: impl Into<String>) -> Result<Self, Box<Diagnosed>> {
        Self::of_part(name.into(), text.into(), |_, roots| only(roots))
    }

    /// A text that is neither YAML nor JSON: it has lines, but no parts.
    pub(crate) fn plain(name: impl Into<String>, text: impl Into<String>) -> Self {
        let (root, json, places) = (Node::default(), String::new(), Places::default());
        Self { name: name.into(), text: text.into(), root, json, places }
    }

    /// Reads the part of a text that `find` selects from its YAML documents. Paths are relative to that part.
    pub(crate) fn of_part(
        name: String,
        text: String,
        find: impl FnOnce(&str, Vec<Node>) -> Result<Node, Fault>,
    ) -> Result<Self, Box<Diagnosed>> {
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
        Err(Box::new(Diagnosed { document, diagnostics, more: 0 }))
    }

    /// Parses a text that is one document, as a tree.
    pub(crate) fn tree(text: &str) -> Result<Node, Fault> {
        Node::read(text).and_then(only)
    }

    /// The file's value as a tree.
    pub(crate) const fn root(&self) -> &Node {
        &self.root
    }

    /// All YAML documents of the file again, with what is beside this part.
    pub(crate) fn reread(&self) -> Vec<Node> {
        // They were read once.
        Node::read(&self.text).unwrap_or_default()
    }

    /// Where this part begins in the file.
    pub(crate) fn start(&self) -> usize {
        self.root.span.start
    }

    /// The name of the file in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file's value as JSON. A repeated key is repeated here too: the policy reader reports it.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The file's value, to serialize it in another format. Keys keep their order.
    pub fn value(&self) -> impl Serialize {
        &self.root
    }

    /// The bytes to point at for a JSONPath (RFC 9535), as [`portcullis_engine::policy::At`] writes it: the value, or the key
    /// of a list or an object, which may go on for pages. If the part is missing, the nearest enclosing part.
    pub fn span(&self, path: &str) -> Range<usize> {
        self.places.value(path)
    }

    /// Whether there is a part at a JSONPath.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.places.has(path)
    }

    /// The line and the column at which a part begins, counted from 1.
    pub fn position(&self, path: &str) -> (usize, usize) {
        let before = self.text.get(..self.span(path).start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    /// The bytes of a part's key, or [`Self::span`] if it has no key.
    pub fn key_span(&self, path: &str) -> Range<usize> {
        self.places.key(path).unwrap_or_else(|| self.span(path))
    }

    /// The bytes of the `time`-th repetition of a key, or [`Self::key_span`] if the key is not repeated.
    pub fn repeated_key_span(&self, path: &str, time: usize) -> Range<usize> {
        self.places.repeated_key(path, time).unwrap_or_else(|| self.key_span(path))
    }
}

/// Converts YAML that was not written for this tool to JSON. A plain `no`, an error in a policy, is text here, as in YAML 1.2.
///
/// # Errors
/// The fault and its line.
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

/// The only document of a file.
pub(crate) fn only(roots: Vec<Node>) -> Result<Node, Fault> {
    let mut roots = roots.into_iter();
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok(root),
        (_, Some(second)) => {
            Err(Fault { message: "expected one YAML document; this is a second one".to_owned(), span: second.span })
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
