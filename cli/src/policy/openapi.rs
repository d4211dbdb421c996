//! An OpenAPI document (3.0 to 3.2) as far as a policy needs it: operations, where they are served, who may call them.
//!
//! Real documents are large and seldom without fault. So only the few members that count are read, and what can't be read
//! becomes part of the answer instead of ending it.

mod read;
mod refs;
mod security;
mod servers;
mod value;

pub(super) use security::{Scheme, SchemeKind, Security};
pub(super) use servers::Base;
#[cfg(test)]
pub(super) use value::parse;
pub(super) use value::{Shape, Value, load};

use crate::exit::Trouble;
use std::path::Path;

/// A document, read.
#[derive(Debug)]
pub(super) struct Api {
    /// `info.title` and `info.version`.
    pub(super) title: String,
    /// The version of OpenAPI.
    pub(super) openapi: String,
    /// In the order of the document.
    pub(super) operations: Vec<Operation>,
    /// In the order of the document.
    pub(super) schemes: Vec<Scheme>,
    /// What somebody should know of the document as a whole.
    pub(super) notes: Vec<String>,
}

/// An operation: a method of a path.
#[derive(Debug)]
pub(super) struct Operation {
    /// Upper-case; none where nobody can say which methods the path has.
    pub(super) method: Option<String>,
    /// As it stands in the document, without the servers' part.
    pub(super) path: String,
    /// `operationId`
    pub(super) id: Option<String>,
    /// `summary`
    pub(super) summary: Option<String>,
    /// Where it is served; never empty.
    pub(super) bases: Vec<Base>,
    /// Who may call it.
    pub(super) security: Security,
    /// Why it can't be read, or why no rule could match its requests.
    pub(super) trouble: Option<String>,
}

impl Operation {
    /// Method and path, as people know it.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.method.as_deref().unwrap_or("(any)"), self.path)
    }
}

impl Api {
    /// Reads a file, or standard input for `-`.
    pub(super) fn read(path: &Path) -> Result<Self, Trouble> {
        let root = load(path, Shape::Root)?;
        read::api(&root).map_err(|message| Trouble::faulty(format_args!("`{}`: {message}", path.display())))
    }

    /// Reads the text of a document.
    #[cfg(test)]
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        read::api(&value::parse(text, Shape::Root)?)
    }
}

#[cfg(test)]
pub(super) use tests::any_json;

#[cfg(test)]
mod tests;
