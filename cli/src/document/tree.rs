//! Parses YAML 1.2 into a tree of JSON values with their places. JSON is a subset of YAML.

use saphyr::Scalar;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::{borrow::Cow, collections::HashMap, ops::Range};

/// The deepest nesting of values. The filter accepts no deeper JSON.
const DEPTH_MAX: usize = 100;
/// The most values of a document. A value is counted again for each alias.
const NODES_MAX: usize = 4_000_000;

/// A value and its place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) span: Range<usize>,
}

#[derive(Debug, Clone, Default)]
pub(crate) enum Content {
    #[default]
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file. A repeated key is here twice.
    Object(Vec<(Key, Node)>),
    /// A scalar without a JSON value, or with different values for different readers, and the reason. It is a fault only if
    /// it is used.
    Misfit(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) span: Range<usize>,
}

impl Node {
    /// Reads the documents of a text that was written for this tool. There is at least one.
    pub(super) fn read(text: &str) -> Result<Vec<Self>, Fault> {
        Self::read_as(text, Words::Strict)
    }

    /// Reads the documents of a text that was written for other readers. There is at least one.
    pub(super) fn read_foreign(text: &str) -> Result<Vec<Self>, Fault> {
        Self::read_as(text, Words::Lenient)
    }

    fn read_as(text: &str, words: Words) -> Result<Vec<Self>, Fault> {
        let mut reader = Reader {
            words,
            parser: Parser::new_from_str(text),
            bytes: text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect(),
            anchors: HashMap::new(),
            nodes: 0,
        };
        reader.documents()
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Content::Object(pairs) = &self.content else { return None };
        pairs.iter().find(|(named, _)| named.name == key).map(|(_, value)| value)
    }

    /// The text, if the value is text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its keys.
    pub(crate) fn keys(&self) -> Vec<String> {
        let Content::Object(pairs) = &self.content else { return Vec::new() };
        pairs.iter().map(|(key, _)| key.name.clone()).collect()
    }

    /// Its items or values.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Self> {
        let (items, pairs) = match &self.content {
            Content::List(items) => (items.as_slice(), [].as_slice()),
            Content::Object(pairs) => ([].as_slice(), pairs.as_slice()),
            _ => ([].as_slice(), [].as_slice()),
        };
        items.iter().chain(pairs.iter().map(|(_, value)| value))
    }

    /// Maps its place, and the places of its parts, to other bytes.
    pub(crate) fn shift(&mut self, to: &impl Fn(Range<usize>) -> Range<usize>) {
        self.span = to(self.span.clone());
        match &mut self.content {
            Content::List(items) => items.iter_mut().for_each(|item| item.shift(to)),
            Content::Object(pairs) => {
                for (key, value) in pairs {
                    key.span = to(key.span.clone());
                    value.shift(to);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn to_json(&self) -> String {
        // Only a map whose keys are not text can fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn count(&self) -> usize {
        1 + self.parts().map(Self::count).sum::<usize>()
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.content {
            Content::Null | Content::Misfit(_) => to.serialize_unit(),
            Content::Bool(value) => to.serialize_bool(*value),
            Content::Number(value) => value.serialize(to),
            Content::Text(value) => to.serialize_str(value),
            Content::List(items) => to.collect_seq(items),
            Content::Object(pairs) => {
                let mut map = to.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    map.serialize_entry(&key.name, value)?;
                }
                map.end()
            }
        }
    }
}

/// How a plain `yes` or `off` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    /// As a fault: YAML 1.1 reads it as a boolean.
    Strict,
    /// As text, like YAML 1.2.
    Lenient,
}

struct Reader<'t> {
    words: Words,
    parser: Parser<'t, StrInput<'t>>,
    /// The byte offset of each character: the parser counts characters.
    bytes: Vec<usize>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn documents(&mut self) -> Result<Vec<Node>, Fault> {
        let mut roots = Vec::new();
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd if roots.is_empty() => return Err(self.fault(span, "the file is empty")),
                Event::StreamEnd => return Ok(roots),
                event => roots.push(self.node(event, span, 0)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.fault(Span::empty(*error.marker()), error.info())),
            None => Err(Fault { message: "unexpected end of the file".to_owned(), span: 0..0 }),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Fault> {
        if depth > DEPTH_MAX {
            return Err(self.fault(span, format!("values are nested more than {DEPTH_MAX} levels deep")));
        }
        self.nodes += 1;
        let (content, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(text, style, tag.as_ref(), self.words), anchor),
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.object(depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, span),
            _ => return Err(self.fault(span, "expected a value here")),
        };
        let node = Node { content, span: self.range(span) };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Content, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Content, Fault> {
        let mut pairs = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Content::Object(pairs)),
                // In quotes, or in JSON, it is a name like any other.
                (Event::Scalar(name, ScalarStyle::Plain, ..), span) if name == "<<" => {
                    return Err(self.fault(span, "`<<` is not part of YAML 1.2; write out what it would merge"));
                }
                (Event::Scalar(name, ..), span) => Key { name: name.into_owned(), span: self.range(span) },
                (_, span) => return Err(self.fault(span, "a key must be text")),
            };
            let (event, span) = self.next()?;
            pairs.push((key, self.node(event, span, depth + 1)?));
        }
    }

    /// The value of an alias, at the place of the alias: that is where the operator looks.
    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node, Fault> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(self.fault(span, "this alias refers to a value that is not complete"));
        };
        let node = Node { span: self.range(span), ..node.clone() };
        self.nodes += node.count();
        if self.nodes > NODES_MAX {
            return Err(self.fault(span, format!("aliases expand to more than {NODES_MAX} values")));
        }
        Ok(node)
    }

    fn fault(&self, span: Span, message: impl Into<String>) -> Fault {
        Fault { message: message.into(), span: self.range(span) }
    }

    fn range(&self, span: Span) -> Range<usize> {
        self.byte(span.start)..self.byte(span.end)
    }

    fn byte(&self, at: Marker) -> usize {
        self.bytes.get(at.index()).or(self.bytes.last()).copied().unwrap_or_default()
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Cow<'_, Tag>>, words: Words) -> Content {
    if words == Words::Strict && style == ScalarStyle::Plain && tag.is_none() && is_boolean_elsewhere(&text) {
        return Content::Misfit(format!(
            "other YAML readers parse `{text}` as a boolean; quote it, or write `true` or `false`"
        ));
    }
    match Scalar::parse_from_cow_and_metadata(text, style, tag) {
        Some(Scalar::Null) => Content::Null,
        Some(Scalar::Boolean(value)) => Content::Bool(value),
        Some(Scalar::Integer(value)) => Content::Number(value.into()),
        Some(Scalar::FloatingPoint(value)) => match serde_json::Number::from_f64(value.into_inner()) {
            Some(number) => Content::Number(number),
            None => Content::Misfit("this number does not exist in JSON".to_owned()),
        },
        Some(Scalar::String(value)) => Content::Text(value.into_owned()),
        None => Content::Misfit("the value does not match its tag".to_owned()),
    }
}

/// These words are booleans in YAML 1.1, which Envoy and Kubernetes read, and text in YAML 1.2.
fn is_boolean_elsewhere(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off"].iter().any(|word| word.eq_ignore_ascii_case(text))
}
