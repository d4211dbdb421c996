//! Reads conditions, and the attributes that `session.yaml` declares for them.

use crate::{
    diagnostic::{Diagnostic, Severity},
    document::{Diagnosed, Document},
    error::Error,
    input,
};
use portcullis_conditions::{Declared, Fault, Kind, Set, Source};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where conditions are.
#[derive(Debug, clap::Args)]
pub(crate) struct From {
    /// Directory with the conditions: its `.cedar` files
    #[arg(value_name = "DIR")]
    pub(super) dir: PathBuf,
    #[command(flatten)]
    pub(super) declared: DeclaredIn,
}

/// Where attributes are declared.
#[derive(Debug, clap::Args)]
pub(crate) struct DeclaredIn {
    /// Configuration of the session service, for the attributes that its `conditions.attributes` declares
    #[arg(long, value_name = "FILE")]
    session: Option<PathBuf>,
}

/// Where conditions are, if there are any.
#[derive(Debug, clap::Args)]
pub(crate) struct Optional {
    /// Also judge by the conditions in this directory, as the session service does
    #[arg(long, value_name = "DIR")]
    conditions: Option<PathBuf>,
    #[command(flatten)]
    declared: DeclaredIn,
}

impl From {
    pub(super) fn load(&self) -> Result<Arc<Set>, Error> {
        Ok(self.load_with_text()?.0)
    }

    /// The same, with the files that they were read from.
    pub(super) fn load_with_text(&self) -> Result<(Arc<Set>, Vec<Source>), Error> {
        read(&self.dir, &self.declared.read()?)
    }
}

impl Optional {
    pub(crate) fn load(&self) -> Result<Option<Arc<Set>>, Error> {
        let Some(dir) = &self.conditions else { return Ok(None) };
        Ok(Some(read(dir, &self.declared.read()?)?.0))
    }
}

impl DeclaredIn {
    pub(super) fn read(&self) -> Result<Declared, Error> {
        match &self.session {
            None => Ok(Declared::default()),
            Some(path) => declared(input::document(path)?),
        }
    }
}

/// Reads the conditions of a directory, and its files. The error has every fault at its line.
pub(super) fn read(dir: &Path, declared: &Declared) -> Result<(Arc<Set>, Vec<Source>), Error> {
    let sources = portcullis_conditions::read(dir).map_err(|faults| refused(&faults, &[]))?;
    let set = Set::load(&sources, declared).map_err(|faults| refused(&faults, &sources))?;
    Ok((Arc::new(set), sources))
}

/// Faults as an error, each file with its own.
fn refused(faults: &[Fault], sources: &[Source]) -> Error {
    let whole = faults.iter().filter(|fault| fault.line == 0).map(|fault| match fault.code {
        "unreadable" => Error::failed(fault),
        _ => Error::invalid(fault),
    });
    let placed = diagnosed(faults, sources, Severity::Error).into_iter();
    let mut errors: Vec<_> = whole.chain(placed.map(|found| Error::Rejected(Box::new(found)))).collect();
    match errors.len() {
        1 => errors.remove(0),
        _ => Error::Several(errors),
    }
}

/// The findings of each file, in the order of the files.
pub(super) fn diagnosed(faults: &[Fault], sources: &[Source], severity: Severity) -> Vec<Diagnosed> {
    let of_file = |source: &Source| {
        let faults = faults.iter().filter(|fault| fault.file == source.file && fault.line > 0);
        let diagnostics = faults.map(|fault| {
            let Fault { code, message, help, start, end, .. } = fault.clone();
            Diagnostic { severity, help, ..Diagnostic::error(code, message, "", start..end) }
        });
        let diagnostics: Vec<_> = diagnostics.collect();
        let document = Document::plain(source.file.as_str(), source.text.as_str());
        (!diagnostics.is_empty()).then_some(Diagnosed { document, diagnostics, more: 0 })
    };
    sources.iter().filter_map(of_file).collect()
}

/// `conditions.attributes` of a configuration. Nothing else of it is looked at.
fn declared(document: Document) -> Result<Declared, Error> {
    let root: Value = serde_json::from_str(document.json()).unwrap_or_default();
    let attributes = root.get("conditions").and_then(|conditions| conditions.get("attributes"));
    let (mut declared, mut faults) = (BTreeMap::new(), Vec::new());
    for (name, kind) in attributes.and_then(Value::as_object).into_iter().flatten() {
        let path = format!("$.conditions.attributes.{name}");
        let span = document.span(&path);
        match kind.as_str().and_then(Kind::parse) {
            _ if !Declared::is_name(name) => {
                let message = "expected a lower-case letter and up to 63 lower-case letters, digits, `_`, `.` and `-`";
                faults.push(Diagnostic::error("invalid_key", message, path, span));
            }
            None => {
                let message = "expected `String`, `Long` or `Boolean`";
                faults.push(Diagnostic::error("invalid_value", message, path, span));
            }
            Some(kind) => {
                declared.insert(name.clone(), kind);
            }
        }
    }
    match faults.is_empty() {
        true => Ok(Declared(declared)),
        false => Err(Box::new(Diagnosed { document, diagnostics: faults, more: 0 }).into()),
    }
}
