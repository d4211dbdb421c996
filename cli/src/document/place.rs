//! The places of the parts of a document, as bytes of the file.

use super::tree::{Content, Node};
use portcullis_engine::policy::At;
use std::{collections::HashMap, ops::Range};

/// The places of a document's parts, by JSONPath (RFC 9535).
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    places: HashMap<String, Place>,
    /// The repetitions of keys, in the order of the file.
    repeated: HashMap<String, Vec<Range<usize>>>,
}

#[derive(Debug, Clone)]
struct Place {
    /// The key, unless the value is an item of a list.
    key: Option<Range<usize>>,
    /// What to point at for a fault of the value.
    value: Range<usize>,
}

impl Places {
    pub(super) fn of(root: &Node, text: &str) -> Self {
        let mut places = Self::default();
        Recorder { places: &mut places, text }.record(root, None, &At::ROOT);
        places
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    pub(super) fn value(&self, path: &str) -> Range<usize> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return place.value.clone();
            }
            match path.rfind(['.', '[']).and_then(|end| path.get(..end)) {
                Some(parent) => path = parent,
                None => return 0..0,
            }
        }
    }

    pub(super) fn key(&self, path: &str) -> Option<Range<usize>> {
        self.places.get(path)?.key.clone()
    }

    pub(super) fn repeated_key(&self, path: &str, time: usize) -> Option<Range<usize>> {
        self.repeated.get(path)?.get(time).cloned()
    }
}

struct Recorder<'p> {
    places: &'p mut Places,
    text: &'p str,
}

impl Recorder<'_> {
    fn record(&mut self, node: &Node, key: Option<Range<usize>>, at: &At<'_>) {
        let path = at.to_string();
        // The first of two values wins.
        if let (Some(_), Some(key)) = (self.places.places.get(&path), &key) {
            self.places.repeated.entry(path).or_default().push(key.clone());
            return;
        }
        let value = self.pointed(node, key.as_ref());
        self.places.places.insert(path, Place { key, value });
        match &node.content {
            Content::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.record(item, None, &at.item(index));
                }
            }
            Content::Object(pairs) => {
                for (key, value) in pairs {
                    self.record(value, Some(key.span.clone()), &at.key(&key.name));
                }
            }
            _ => {}
        }
    }

    /// The value itself or, for a value with parts, which may go on for pages, its key or its first pair.
    fn pointed(&self, node: &Node, key: Option<&Range<usize>>) -> Range<usize> {
        match (&node.content, key) {
            (Content::List(_) | Content::Object(_), Some(key)) => key.clone(),
            (Content::Object(pairs), None) => match pairs.first() {
                Some((key, value)) if self.is_one_line(key.span.start..value.span.end) => {
                    key.span.start..value.span.end
                }
                Some((key, _)) => key.span.clone(),
                None => node.span.clone(),
            },
            _ => self.trimmed(node.span.clone()),
        }
    }

    fn is_one_line(&self, span: Range<usize>) -> bool {
        self.text.get(span).is_some_and(|text| !text.is_empty() && !text.contains('\n'))
    }

    /// Without the trailing white space of a plain scalar or a block.
    fn trimmed(&self, span: Range<usize>) -> Range<usize> {
        let text = self.text.get(span.clone()).unwrap_or_default();
        span.start..span.start + text.trim_end().len()
    }
}
