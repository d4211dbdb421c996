//! A file of cases.

use super::{case::Case, read};
use crate::{
    diagnostic::Diagnostic,
    document::{Diagnosed, Document},
    error::Error,
    input,
    policy::load,
};
use portcullis_engine::policy::{Faults, Policy, document::nearest};
use std::path::Path;

/// A file of cases.
#[derive(Debug)]
pub struct Cases {
    /// The file.
    pub document: Document,
    /// The cases in the order of the file; never empty.
    pub list: Vec<Case>,
}

impl Cases {
    /// Reads a file of cases; `-` is standard input. The error has all faults.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::of(input::document(path)?)
    }

    /// Reads the cases of a document.
    pub fn of(document: Document) -> Result<Self, Error> {
        let mut faults = Faults::default();
        let list = read::cases(document.json().as_bytes(), &mut faults);
        match list {
            Some(list) if faults.is_empty() => Ok(Self { document, list }),
            _ => Err(load::refused(document, &faults).into()),
        }
    }

    /// Rejects cases that name a route which the policy does not have, and those without a host where a route looks at it.
    pub fn must_fit(&self, policy: &Policy) -> Result<(), Error> {
        let names: Vec<&str> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
        let unknown = self.list.iter().filter_map(|case| {
            let rule = case.rule.as_deref().filter(|rule| !names.contains(rule))?;
            let path = format!("{}.rule", case.place);
            let (near, span) = (nearest(rule, &names), self.document.span(&path));
            let message = match near {
                Some(near) => format!("the policy has no such route; did you mean `{near}`?"),
                None => "the policy has no such route".to_owned(),
            };
            let replacement = near.and_then(|near| load::written(near, self.document.text().get(span.clone())?));
            Some(Diagnostic { replacement, ..Diagnostic::error("undeclared_name", message, path, span) })
        });
        let has_hosts = policy.source.routes.iter().any(|route| !route.matches.hosts.is_empty());
        let without = self.list.iter().filter(|case| has_hosts && !case.request.is_host_named).map(|case| {
            let path = format!("{}.request", case.place);
            let span = self.document.span(&path);
            let message = "no host, and the policy has routes for certain hosts; name it here, or set `host` at the top of the file";
            Diagnostic::error("missing_key", message, path, span)
        });
        let diagnostics: Vec<_> = unknown.chain(without).collect();
        match diagnostics.is_empty() {
            true => Ok(()),
            false => Err(Box::new(Diagnosed { document: self.document.clone(), diagnostics, more: 0 }).into()),
        }
    }

    /// The line and the column at which a place begins, counted from 1.
    pub fn position(&self, place: &str) -> (usize, usize) {
        self.document.position(place)
    }
}
