//! A policy file, read with the filter's own code.

use crate::{
    document::Document,
    exit::Trouble,
    report::{self, Diagnostic, Severity},
};
use portcullis_filter::policy::{Faults, Policy};
use std::path::Path;

/// A policy without fault, and the file that it stands in.
#[derive(Debug)]
pub struct Loaded {
    /// What the filter would hold.
    pub policy: Policy,
    /// The file.
    pub document: Document,
}

impl Loaded {
    /// Reads a policy file; `-` is standard input. The trouble shows every fault at once.
    pub fn read(path: &Path) -> Result<Self, Trouble> {
        Self::of(Document::read(path)?)
    }

    /// Reads the policy of a document.
    pub fn of(document: Document) -> Result<Self, Trouble> {
        match Policy::parse(document.json().as_bytes()) {
            Ok(policy) => Ok(Self { policy, document }),
            Err(faults) => Err(Trouble::Faulty(shown(&document, &faults))),
        }
    }
}

fn shown(document: &Document, faults: &Faults) -> String {
    let diagnostics: Vec<_> = faults
        .iter()
        .map(|fault| Diagnostic {
            severity: Severity::Error,
            message: fault.message.clone(),
            path: fault.path.clone(),
            span: document.span(&fault.path),
        })
        .collect();
    let shown = report::render(document, &diagnostics);
    match faults.more() {
        0 => shown,
        more => format!("{shown}\n\n{}", report::plain(&format!("and at least {more} more faults"))),
    }
}
