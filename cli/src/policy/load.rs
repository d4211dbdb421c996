//! Loads a policy file with the filter's own code.

use super::manifest;
use crate::{
    diagnostic::Diagnostic,
    document::{Diagnosed, Document, Node},
    error::Error,
    input,
};
use portcullis_engine::policy::{About, Fault, Faults, Policy, nearest};
use serde_json::Value;
use std::{collections::HashMap, path::Path};

/// A valid policy, and the file it is in.
#[derive(Debug)]
pub struct Loaded {
    /// The policy as the filter would load it.
    pub policy: Policy,
    /// The file.
    pub document: Document,
}

impl Loaded {
    /// Reads a policy file, or a manifest that contains a policy; `-` is standard input. The error has all faults.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let (name, text) = input::text(path)?;
        Ok(Self::parse(name, text)?)
    }

    /// Reads the policy in a text; `name` is what messages call it.
    pub fn parse(name: impl Into<String>, text: impl Into<String>) -> Result<Self, Box<Diagnosed>> {
        Self::choose(name, text, None)
    }

    /// Reads the policy in a text whose digest begins with `digest`, or the only one.
    pub(super) fn choose(
        name: impl Into<String>,
        text: impl Into<String>,
        digest: Option<&str>,
    ) -> Result<Self, Box<Diagnosed>> {
        let find = |text: &str, roots: Vec<Node>| manifest::policy(text, &roots, digest);
        Self::checked(Document::of_part(name.into(), text.into(), find)?)
    }

    /// Reads every policy in a file.
    pub(super) fn read_all(path: &Path) -> Result<Vec<Self>, Error> {
        let (name, text) = input::text(path)?;
        let mut policies = Vec::new();
        // The faults of a file that cannot be read are those of a document.
        Document::of_part(name.clone(), text.clone(), |text, roots| {
            policies = manifest::every(text, &roots)?;
            Ok(policies.first().cloned().unwrap_or_default())
        })?;
        let loaded = policies.into_iter().map(|policy| {
            let document = Document::of_part(name.clone(), text.clone(), |_, _| Ok(policy))?;
            Ok(Self::checked(document)?)
        });
        loaded.collect()
    }

    /// Reads a document that is a policy.
    pub fn of(document: Document) -> Result<Self, Error> {
        Ok(Self::checked(document)?)
    }

    /// The same once more.
    pub(crate) fn again(&self) -> Result<Self, Error> {
        Self::of(self.document.clone())
    }

    fn checked(document: Document) -> Result<Self, Box<Diagnosed>> {
        match Policy::parse(document.json().as_bytes()) {
            Ok(policy) => Ok(Self { policy, document }),
            Err(faults) => Err(refused(document, &faults)),
        }
    }
}

/// The faults that the filter's code found in a file.
pub(super) fn refused(document: Document, faults: &Faults) -> Box<Diagnosed> {
    let diagnostics = diagnostics(&document, faults);
    Box::new(Diagnosed { document, diagnostics, more: faults.more() })
}

fn diagnostics(document: &Document, faults: &Faults) -> Vec<Diagnostic> {
    let declared = Declared::of(document, faults);
    let mut repeated: HashMap<&str, usize> = HashMap::new();
    let mut diagnostics = Vec::new();
    for fault in faults {
        let path = fault.path.as_str();
        let span = match fault.about {
            About::Value | About::Undeclared | About::MissingKey => document.span(path),
            About::Key | About::UnknownKey => document.key_span(path),
            About::RepeatedKey => {
                let time = repeated.entry(path).or_default();
                *time += 1;
                document.repeated_key_span(path, *time - 1)
            }
        };
        let meant = fault.meant.clone().or_else(|| declared.nearest(document.text().get(span.clone()), fault));
        let replacement = meant.and_then(|meant| written(&meant, document.text().get(span.clone())?));
        let related = match fault.about {
            About::RepeatedKey => vec![(document.key_span(path), "first given here".to_owned())],
            _ => Vec::new(),
        };
        let diagnostic = Diagnostic::error(code(fault.about), &fault.message, path, span);
        diagnostics.push(Diagnostic { related, replacement, ..diagnostic });
    }
    diagnostics
}

/// The stable name of a kind of fault.
fn code(about: About) -> &'static str {
    match about {
        About::Value => "invalid_value",
        About::Undeclared => "undeclared_name",
        About::Key => "invalid_key",
        About::UnknownKey => "unknown_key",
        About::RepeatedKey => "repeated_key",
        About::MissingKey => "missing_key",
    }
}

/// A text as a replacement for another one, in the same quotes.
pub(super) fn written(meant: &str, instead_of: &str) -> Option<String> {
    if meant.contains(['"', '\'', '\\', '\n']) {
        return None;
    }
    match instead_of.chars().next()? {
        quote @ ('"' | '\'') => Some(format!("{quote}{meant}{quote}")),
        // In YAML, plain text cannot begin with `@`.
        _ if meant.starts_with('@') => Some(format!("\"{meant}\"")),
        _ => Some(meant.to_owned()),
    }
}

/// The names that a rule can require.
#[derive(Default)]
struct Declared {
    scopes: Vec<String>,
    sets: Vec<String>,
}

impl Declared {
    fn of(document: &Document, faults: &Faults) -> Self {
        if !faults.iter().any(|fault| fault.about == About::Undeclared) {
            return Self::default();
        }
        let policy: Value = serde_json::from_str(document.json()).unwrap_or_default();
        let keys = |part: &str| -> Vec<String> {
            policy.get(part).and_then(Value::as_object).into_iter().flat_map(|named| named.keys()).cloned().collect()
        };
        Self { scopes: keys("scopes"), sets: keys("sets") }
    }

    fn nearest(&self, written: Option<&str>, fault: &Fault) -> Option<String> {
        if fault.about != About::Undeclared {
            return None;
        }
        let name = written?.trim_matches(['"', '\'']);
        let nearest = |name, names: &[String]| {
            let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.starts_with('@')).collect();
            nearest(name, &names).map(str::to_owned)
        };
        match name.strip_prefix('@') {
            Some(set) => Some(format!("@{}", nearest(set, &self.sets)?)),
            None => nearest(name, &self.scopes),
        }
    }
}
