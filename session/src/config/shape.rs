//! Reads the shape of `session.yaml`, and reports everything in it that does not fit.
//!
//! serde stops at the first error. So each error is reported with its place, its cause is taken out of the document, and the
//! document is read again until it fits. What is wrong is said without the values: a credential may stand where its source
//! belongs.

use super::raw::Raw;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_norway::Value;
use serde_path_to_error::{Path, Segment};
use std::fmt;

/// The most faults of the shape that are reported.
const FAULTS_MAX: usize = 100;

/// The keys that a configuration cannot do without, with values that stand in for those that do not fit.
const NEEDED: [(&str, &str); 3] =
    [("listen", "127.0.0.1:0"), ("admin", "127.0.0.1:0"), ("store", "{embedded: {path: data}}")];

/// Stands in for any other key that is missing.
const STAND_IN: &str = "stand-in";

/// A configuration of the right shape; what did not fit is not in it.
pub(super) struct Shaped {
    pub(super) raw: Raw,
    /// The top-level keys that something was taken out of.
    pub(super) mended: Vec<String>,
}

/// Reads a text. Without a result, the faults say why.
pub(super) fn read(text: &str, faults: &mut Vec<String>) -> Option<Shaped> {
    let (mut current, mut mended, mut stand_ins) = (text.to_owned(), Vec::<Steps>::new(), Vec::<Steps>::new());
    for _ in 0..FAULTS_MAX {
        let error = match serde_path_to_error::deserialize(serde_norway::Deserializer::from_str(&current)) {
            Ok(raw) => {
                let mut mended: Vec<String> = mended.iter().filter_map(Steps::root).collect();
                mended.dedup();
                return Some(Shaped { raw, mended });
            }
            Err(error) => error,
        };
        let (steps, inner) = (Steps::of(error.path()), error.inner().to_string());
        let Ok(mut document) = serde_norway::from_str::<Value>(&current) else {
            // It is not YAML.
            faults.push(inner);
            return None;
        };
        let wrong = Wrong::of(&inner);
        let at = match &wrong {
            Wrong::Missing(key) => steps.with(key),
            _ => steps.clone(),
        };
        // What was taken out, or stands in for it, is no fault of the file; nor is what a stand-in does not fit into.
        let holds_stand_in = stand_ins.iter().any(|stand_in| stand_in.0.starts_with(&at.0));
        let is_own = mended.contains(&at) || holds_stand_in;
        if !is_own {
            let line = locate(text, &steps.0).map(|line| format!(", at line {line}")).unwrap_or_default();
            faults.push(format!("{}{}{line}", at.prefix(&wrong), wrong.words(&at)));
        }
        let is_missing = matches!(wrong, Wrong::Missing(_));
        // A stand-in does not fit either: what it belongs to goes.
        let at = if !is_missing && mended.contains(&at) { steps.parent() } else { at };
        if !mend(&mut document, &at) {
            return None;
        }
        if is_missing {
            stand_ins.push(at.clone());
        }
        mended.push(at);
        current = serde_norway::to_string(&document).ok()?;
    }
    None
}

/// The way to a place in the document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Steps(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

impl Steps {
    fn of(path: &Path) -> Self {
        let step = |segment: &Segment| match segment {
            Segment::Map { key } | Segment::Enum { variant: key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Item(*index)),
            Segment::Unknown => None,
        };
        // Where the way is lost, what is above the place has to do.
        Self(path.iter().map_while(step).collect())
    }

    fn with(&self, key: &str) -> Self {
        let mut steps = self.clone();
        steps.0.push(Step::Key(key.to_owned()));
        steps
    }

    fn parent(mut self) -> Self {
        self.0.pop();
        self
    }

    fn root(&self) -> Option<String> {
        match self.0.first()? {
            Step::Key(key) => Some(key.clone()),
            Step::Item(_) => None,
        }
    }

    /// The place in front of what is wrong there, unless its words begin with it.
    fn prefix(&self, wrong: &Wrong<'_>) -> String {
        let place = self.to_string();
        match wrong {
            Wrong::Other(what) if what.starts_with(&place) => String::new(),
            _ if place.is_empty() => String::new(),
            _ => format!("{place}: "),
        }
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if number == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// What serde found wrong, in terms an operator knows.
#[derive(Debug, PartialEq, Eq)]
enum Wrong<'e> {
    Unknown { key: &'e str, expected: &'e str },
    Missing(&'e str),
    Type { expected: &'e str, found: &'static str },
    Other(&'e str),
}

impl<'e> Wrong<'e> {
    /// Reads an error as `serde_norway` shows it: `PATH: WHAT at line L column C`.
    fn of(error: &'e str) -> Self {
        let kinds = ["unknown field `", "missing field `", "invalid type: ", "invalid value: ", "invalid length "];
        let end = error.rfind(" at line ").unwrap_or(error.len());
        let starts = kinds.iter().filter_map(|kind| error.find(kind).map(|at| (at, *kind)));
        let Some((at, kind)) = starts.min() else {
            return Self::Other(error.get(..end).unwrap_or(error));
        };
        let rest = error.get(at + kind.len()..end).unwrap_or_default();
        // A value can have any words in it: those of the type come last.
        let expected = |words: &str| rest.rfind(words).and_then(|at| rest.get(at + words.len()..)).unwrap_or_default();
        match kind {
            "unknown field `" => {
                let (key, expected) = rest.split_once("`, ").unwrap_or((rest.trim_end_matches('`'), ""));
                Self::Unknown { key, expected }
            }
            "missing field `" => Self::Missing(rest.trim_end_matches('`')),
            _ => Self::Type { expected: expected(", expected "), found: found(rest) },
        }
    }

    /// What is wrong at a place.
    fn words(&self, at: &Steps) -> String {
        match self {
            Self::Unknown { key, expected } => {
                // Within a choice of shapes, the way to a key is lost above it.
                let is_named = at.0.last() == Some(&Step::Key((*key).to_owned()));
                let name = if is_named { String::new() } else { format!(" `{key}`") };
                let expected = if expected.is_empty() { String::new() } else { format!("; {expected}") };
                format!("unknown key{name}{expected}")
            }
            Self::Missing(_) => "is missing".to_owned(),
            Self::Type { expected, found } => {
                let expected = match *expected {
                    "a string" => "text",
                    "a boolean" => "`true` or `false`",
                    "a sequence" => "a list",
                    "u16" | "u32" | "u64" | "usize" => "a whole number",
                    other => other,
                };
                format!("expected {expected}, found {found}")
            }
            Self::Other(what) => (*what).to_owned(),
        }
    }
}

fn found(what: &str) -> &'static str {
    let kinds = [
        ("string", "text"),
        ("character", "text"),
        ("integer", "a number"),
        ("floating point", "a number"),
        ("boolean", "`true` or `false`"),
        ("map", "an object"),
        ("sequence", "a list"),
        ("unit", "nothing"),
        ("null", "nothing"),
    ];
    kinds.into_iter().find(|(kind, _)| what.starts_with(kind)).map_or("something else", |(_, words)| words)
}

/// Takes out what did not fit, or puts a stand-in in its place; returns whether that was possible.
fn mend(document: &mut Value, at: &Steps) -> bool {
    let Some((last, before)) = at.0.split_last() else { return false };
    let mut node = Some(document);
    for step in before {
        node = node.and_then(|node| match step {
            Step::Key(key) => node.get_mut(key.as_str()),
            Step::Item(index) => node.get_mut(*index),
        });
    }
    match (node, last) {
        (Some(Value::Mapping(members)), Step::Key(key)) => {
            let stand_in = NEEDED.iter().find(|(needed, _)| before.is_empty() && needed == key);
            match stand_in.and_then(|(_, text)| serde_norway::from_str::<Value>(text).ok()) {
                Some(value) => drop(members.insert(key.as_str().into(), value)),
                None if members.remove(key.as_str()).is_some() => {}
                None => drop(members.insert(key.as_str().into(), STAND_IN.into())),
            }
            true
        }
        (Some(Value::Sequence(items)), Step::Item(index)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}

/// The line of a place in the text as it was given; of one that is not there, as the place of a missing key, none.
fn locate(text: &str, steps: &[Step]) -> Option<usize> {
    if steps.is_empty() {
        return None;
    }
    let error = Seek(steps).deserialize(serde_norway::Deserializer::from_str(text)).err()?;
    error.to_string().contains(HERE).then(|| error.location()).flatten().map(|place| place.line())
}

/// The message of the error with which a search ends: the reader adds where it was.
const HERE: &str = "(the place)";

/// A search for a place.
struct Seek<'s>(&'s [Step]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HERE)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.0.split_first() else { return Err(A::Error::custom(HERE)) };
        while let Some(key) = map.next_key::<Key>()? {
            match key.0 == *wanted {
                true => return map.next_value_seed(Seek(rest)),
                false => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((Step::Item(wanted), rest)) = self.0.split_first() else { return Err(A::Error::custom(HERE)) };
        for _ in 0..*wanted {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        list.next_element_seed(Seek(rest)).map(|found| found.unwrap_or_default())
    }
}

/// A key; what is not text is nobody's.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let _ = read(text, &mut faults);
        faults
    }

    const SHORT: &str = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstore: {embedded: {path: data}}\n";

    #[test]
    fn every_fault_of_the_shape_is_reported_with_its_key_and_line() {
        let text = "\
listen: [1]
admin: 127.0.0.1:0
lisen: x
admin_credential: hunter2
store: {embedded: {path: data}, mysql: hunter2}
access:
  - {name: a, idel: 5m, unlimited: maybe}
  - {absolute: 8h}
  - name: c
    when: {scopes: [x]}
    growth: {}
";
        let said = said(text);
        let starts = [
            ("listen: expected text, found a list", ", at line 1"),
            ("lisen: unknown key; expected one of `listen`, ", ", at line 3"),
            ("admin_credential: expected `{env: …}`, `{file: …}` or a list of these, found text", ", at line 4"),
            ("store.mysql: unknown key; expected one of `embedded`, ", ", at line 5"),
            ("access[0].idel: unknown key; expected one of `name`, ", ", at line 7"),
            ("access[0].unlimited: expected `true` or `false`, found text", ", at line 7"),
            ("access[1].name: is missing", ", at line 8"),
        ];
        for (start, end) in starts {
            assert!(said.iter().any(|fault| fault.starts_with(start) && fault.ends_with(end)), "{start}: {said:#?}");
        }
        assert!(said.iter().any(|fault| fault.contains("when.scopes: unknown key")), "{said:#?}");
        assert!(said.iter().any(|fault| fault.contains("`refuse`, `allow` or a list of scopes")), "{said:#?}");
        assert!(!said.concat().contains("hunter2"), "{said:#?}");
    }

    #[test]
    fn what_fits_has_no_fault_and_what_is_taken_out_is_named() {
        let mut faults = Vec::new();
        let shaped = read(SHORT, &mut faults).expect("a configuration");
        assert!(faults.is_empty() && shaped.mended.is_empty(), "{faults:?}");
        let shaped = read(&format!("{SHORT}usage: 5\nretention: {{end: 1d}}\n"), &mut faults).expect("the rest");
        assert_eq!(shaped.mended, ["usage", "retention"], "{faults:?}");
    }

    #[test]
    fn a_key_that_is_missing_deep_inside_is_one_fault() {
        let told = said(&format!("{SHORT}undated_logins: {{reopen: {{}}}}\n"));
        assert!(told.len() == 1 && told.concat().contains("revoked_for: is missing"), "{told:?}");
        let told = said(&format!("{SHORT}audit: {{file: a}}\n"));
        assert!(told.len() == 1 && told.concat().starts_with("audit.signing_key: is missing"), "{told:?}");
    }

    #[test]
    fn what_is_no_yaml_or_no_object_is_one_fault() {
        for text in ["listen: [", "a: 1\na: 2\n", "7", ""] {
            assert_eq!(said(text).len(), 1, "{text}: {:?}", said(text));
        }
    }

    #[test]
    fn a_type_is_named_without_the_value() {
        for (error, words) in [
            (
                "a.b: invalid type: string \"x, expected y\", expected a boolean at line 1 column 2",
                "expected `true` or `false`, found text",
            ),
            ("invalid value: integer `-1`, expected u64", "expected a whole number, found a number"),
            ("access[0]: missing field `name` at line 3 column 5", "is missing"),
            ("unknown field `x`, there are no fields", "unknown key; there are no fields"),
            (
                "enrolment: unknown variant `never`, expected `first_use` or `explicit`",
                "enrolment: unknown variant `never`, expected `first_use` or `explicit`",
            ),
        ] {
            assert_eq!(Wrong::of(error).words(&Steps::default().with("x")), words);
        }
    }
}
